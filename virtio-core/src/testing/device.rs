//! A device that copies what it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::config::ConfigSpace;
use crate::device::{ActivateError, Activation, DeviceState, FeatureRefusal, StateError, VirtioDevice};
use crate::device_type::DeviceType;
use crate::event::Event;
use crate::features::Features;
use crate::memory::GuestBuffers;
use crate::ring::{Ticket, Virtqueue};
use crate::task::{Next, QueueTask, Quiesce, Source, Sources, TaskContext};

/// A device whose queues copy the readable part of each chain into its writable part. One task serves all queues.
///
/// It has the feature [`ALPHA`](Self::ALPHA), the feature [`BETA`](Self::BETA) that depends on it, a configuration
/// space of 16 bytes that the driver may write from byte 8 on, and queues of up to 256 descriptors.
#[derive(Debug)]
pub struct TestDevice {
    sizes: Vec<u16>,
    config: ConfigSpace,
    handle: TestHandle,
}

/// What a test sees of a [`TestDevice`], and what it can make it do. Clones are of the same device.
#[derive(Clone, Debug)]
pub struct TestHandle {
    shared: Arc<Shared>,
    config: ConfigSpace,
}

#[derive(Debug)]
struct Shared {
    hold: AtomicBool,
    stubborn: AtomicBool,
    reverse: AtomicBool,
    refuse_to_start: AtomicBool,
    runs: AtomicU64,
    resets: AtomicU64,
    nudge: Event,
}

impl TestDevice {
    /// A feature without dependencies.
    pub const ALPHA: Features = Features::bit(0);
    /// A feature that needs ALPHA.
    pub const BETA: Features = Features::bit(1);

    /// A device with so many queues, and its handle.
    pub fn new(queues: usize) -> (TestDevice, TestHandle) {
        let config = ConfigSpace::new((0..16).collect());
        let shared = Shared {
            hold: AtomicBool::new(false),
            stubborn: AtomicBool::new(false),
            reverse: AtomicBool::new(false),
            refuse_to_start: AtomicBool::new(false),
            runs: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            nudge: Event::new().expect("an event"),
        };
        let handle = TestHandle { shared: Arc::new(shared), config: config.clone() };
        (TestDevice { sizes: vec![256; queues], config, handle: handle.clone() }, handle)
    }
}

impl TestHandle {
    /// Whether requests are kept in flight from now on; those in flight are answered when it ends.
    pub fn hold(&self, hold: bool) {
        self.shared.hold.store(hold, SeqCst);
        self.shared.nudge.signal();
    }

    /// Whether requests in flight cannot be cancelled.
    pub fn stubborn(&self, stubborn: bool) {
        self.shared.stubborn.store(stubborn, SeqCst);
        self.shared.nudge.signal();
    }

    /// Whether requests that are in flight together are answered in reverse order.
    pub fn reverse(&self, reverse: bool) {
        self.shared.reverse.store(reverse, SeqCst);
    }

    /// Whether activation fails.
    pub fn refuse_to_start(&self, refuse: bool) {
        self.shared.refuse_to_start.store(refuse, SeqCst);
    }

    /// How often the task has been run.
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(SeqCst)
    }

    /// How often the device has been reset.
    pub fn resets(&self) -> u64 {
        self.shared.resets.load(SeqCst)
    }

    /// The device's configuration space.
    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }
}

impl VirtioDevice for TestDevice {
    fn device_type(&self) -> DeviceType {
        DeviceType::ENTROPY
    }

    fn features(&self) -> Features {
        TestDevice::ALPHA | TestDevice::BETA
    }

    fn consistent(&self, offered: Features) -> Features {
        if offered.contains(TestDevice::ALPHA) { offered } else { offered - TestDevice::BETA }
    }

    fn feature_name(&self, bit: u32) -> Option<&'static str> {
        ["ALPHA", "BETA"].get(bit as usize).copied()
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.sizes
    }

    fn config(&self) -> ConfigSpace {
        self.config.clone()
    }

    fn negotiate(&mut self, features: Features) -> Result<(), FeatureRefusal> {
        if features.contains(TestDevice::BETA) && !features.contains(TestDevice::ALPHA) {
            return Err(FeatureRefusal::Dependency { feature: TestDevice::BETA, needs: TestDevice::ALPHA });
        }
        Ok(())
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        self.config.store(|bytes| {
            for (at, byte) in (offset..).zip(data) {
                if (8..16).contains(&at) {
                    bytes[at as usize] = *byte;
                }
            }
        });
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        if self.handle.shared.refuse_to_start.load(SeqCst) {
            return Err(ActivateError::Device("told to refuse".into()));
        }
        let queues = activation.into_queues()?;
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let held = Vec::new();
        Ok(vec![Box::new(CopyTask { queues, held, shared: self.handle.shared.clone() })])
    }

    fn reset(&mut self) {
        self.shared().resets.fetch_add(1, SeqCst);
        self.config.store(|bytes| bytes.copy_from_slice(&(0..16).collect::<Vec<u8>>()));
    }

    fn save(&self) -> DeviceState {
        let mut data = vec![0; 8];
        self.config.read(8, &mut data);
        DeviceState { version: 1, data }
    }

    fn restore(&mut self, state: &DeviceState) -> Result<(), StateError> {
        let DeviceState { version, data } = state;
        if *version != 1 {
            return Err(StateError::Version { version: *version });
        }
        let data: [u8; 8] = data[..].try_into().map_err(|_| StateError::Corrupt { what: "not 8 bytes" })?;
        self.config.store(|bytes| bytes[8..].copy_from_slice(&data));
        Ok(())
    }
}

impl TestDevice {
    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

struct CopyTask {
    queues: Vec<Virtqueue>,
    held: Vec<Held>,
    shared: Arc<Shared>,
}

/// A request in flight.
struct Held {
    queue: usize,
    ticket: Ticket,
    from: GuestBuffers,
    to: GuestBuffers,
}

impl CopyTask {
    fn answer(&mut self, copy: bool) {
        if self.shared.reverse.load(SeqCst) {
            self.held.reverse();
        }
        for Held { queue, ticket, from, to } in self.held.drain(..) {
            let queue = &mut self.queues[queue];
            let mut data = vec![0; if copy { from.len().min(to.len()) } else { 0 }];
            from.reader().read(&mut data).expect("memory that is held");
            to.writer(queue.view()).write(&data).expect("memory that is held");
            queue.complete(ticket, data.len() as u32).expect("a ticket of this queue");
        }
    }
}

impl QueueTask for CopyTask {
    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut self.queues
    }

    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.shared.nudge.clone()), 0);
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        self.shared.runs.fetch_add(1, SeqCst);
        let hold = self.shared.hold.load(SeqCst);
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            while let Some(chain) = queue.pop() {
                let (mut from, mut to) = (GuestBuffers::new(), GuestBuffers::new());
                let held = from.hold_readable(&chain.reader()).and_then(|()| to.hold_writable(&chain.writer()));
                if chain.fault().is_some() || held.is_err() {
                    chain.complete(0);
                    continue;
                }
                self.held.push(Held { queue: index, ticket: chain.into_ticket(), from, to });
            }
        }
        if !hold {
            self.answer(true);
        }
        Next::Wait
    }

    fn quiesce(&mut self, number: u16, how: Quiesce) -> Next {
        let cancel = how == Quiesce::Cancel && !self.shared.stubborn.load(SeqCst);
        let CopyTask { queues, held, .. } = self;
        let of_it = |held: &Held| queues[held.queue].index() == number;
        held.retain(|held| !(cancel && of_it(held)));
        if held.iter().any(of_it) { Next::Wait } else { Next::Done }
    }
}
