//! Logs of what is in flight, in memory that outlives the device: those of vhost-user, in both layouts. After a device
//! has been killed, whenever that was, they name the chains that it had taken and the driver has not got back.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use virtio_core::ring::{InFlight, Recorder};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, QueuePosition, Ticket, Virtqueue};

use crate::packed_log::PackedLog;
use crate::split_log::SplitLog;

pub(crate) const SIZE: u16 = 8;
const MEMORY: usize = 1 << 16;

/// What a log makes of the calls.
pub(crate) trait Log: Default + Send + 'static {
    type Driver: RingDriver;

    fn popped(&mut self, chain: InFlight);
    fn staged(&mut self, id: u16);
    fn publishing(&mut self);
    fn published(&mut self, position: QueuePosition);
    /// The chains in flight, in the order in which they were taken, by the log and what is to be seen in the ring.
    fn recover(&mut self, driver: &Self::Driver) -> Vec<u16>;
}

/// A device's memory and its log, until it is killed.
struct Life<L> {
    memory: TestMemory,
    log: L,
    /// Calls before its death.
    calls: usize,
    /// Guest memory, when it died.
    end: Option<Vec<u8>>,
    /// The chains in the log and not published, and all that the log has ever had.
    in_flight: Vec<InFlight>,
    staged: Vec<u16>,
    popped: Vec<u16>,
}

impl<L> Life<L> {
    /// Whether the device is alive, with one call less to come.
    fn goes_on(&mut self) -> bool {
        if self.calls == 0 && self.end.is_none() {
            self.end = Some(self.memory.bytes(0, MEMORY));
        }
        self.calls = self.calls.saturating_sub(1);
        self.end.is_none()
    }
}

struct Mortal<L>(Mutex<Life<L>>);

impl<L: Log> Recorder for Mortal<L> {
    fn popped(&self, chain: InFlight) {
        let mut life = self.0.lock().unwrap();
        assert!(life.in_flight.iter().all(|other| other.id != chain.id), "{chain:?} is there already");
        if life.goes_on() {
            life.in_flight.push(chain);
            life.popped.push(chain.id);
            life.log.popped(chain);
        }
    }

    fn put_back(&self, _id: u16) {
        unreachable!("this device puts nothing back");
    }

    fn staged(&self, id: u16, _len: u32) {
        let mut life = self.0.lock().unwrap();
        if life.goes_on() {
            assert!(life.in_flight.iter().any(|chain| chain.id == id) && !life.staged.contains(&id));
            life.staged.push(id);
            life.log.staged(id);
        }
    }

    fn publishing(&self, _position: QueuePosition) {
        let mut life = self.0.lock().unwrap();
        if life.goes_on() {
            assert!(!life.staged.is_empty());
            life.log.publishing();
        }
    }

    fn published(&self, position: QueuePosition) {
        let mut life = self.0.lock().unwrap();
        if life.goes_on() {
            let staged = std::mem::take(&mut life.staged);
            life.in_flight.retain(|chain| !staged.contains(&chain.id));
            // What lies between used and available is what is in flight, and nothing else.
            let slots = life.in_flight.iter().map(|chain| chain.slots).sum::<u16>();
            assert_eq!(in_flight_slots(position), slots);
            life.log.published(position);
        }
    }
}

fn in_flight_slots(position: QueuePosition) -> u16 {
    match position {
        QueuePosition::Split { available, used, .. } => available.wrapping_sub(used),
        QueuePosition::Packed { available, available_wrap, used, used_wrap, .. } => {
            (available + if available_wrap == used_wrap { 0 } else { SIZE }) - used
        }
        _ => unreachable!("another layout"),
    }
}

/// A driver and a device.
struct Run<L: Log> {
    driver: L::Driver,
    queue: Virtqueue,
    life: Arc<Mortal<L>>,
    tickets: Vec<Ticket>,
    /// The chains that came back.
    back: Vec<u16>,
}

#[derive(Clone, Debug)]
enum Step {
    Offer(usize),
    Reap,
    Complete(u32),
    Drop,
    PutBack,
    Keep,
    CompleteLate(usize, u32),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..4).prop_map(Step::Offer),
        2 => Just(Step::Reap),
        2 => (0u32..25).prop_map(Step::Complete),
        1 => Just(Step::Drop),
        1 => Just(Step::PutBack),
        3 => Just(Step::Keep),
        3 => (any::<usize>(), 0u32..25).prop_map(|(which, len)| Step::CompleteLate(which, len)),
        2 => Just(Step::Publish),
    ]
}

impl<L: Log> Run<L> {
    fn new(features: Features, calls: usize) -> Run<L> {
        let memory = TestMemory::new(MEMORY);
        let driver = L::Driver::new(&memory, SIZE, features);
        let (in_flight, staged, popped) = Default::default();
        let life = Life { memory, log: L::default(), calls, end: None, in_flight, staged, popped };
        let life = Arc::new(Mortal(Mutex::new(life)));
        let mut setup = driver.setup();
        setup.recorder = Some(life.clone());
        let queue = Virtqueue::new(setup).unwrap();
        Run { driver, queue, life, tickets: Vec::new(), back: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer(buffers) => {
                self.driver.add(&vec![Buffer::writable(0x8000, 8); *buffers]);
                self.driver.show();
            }
            Step::Reap => self.reap(),
            Step::Publish => self.queue.publish(),
            Step::CompleteLate(which, len) => {
                if !self.tickets.is_empty() {
                    let ticket = self.tickets.remove(which % self.tickets.len());
                    self.queue.complete(ticket, *len).unwrap();
                }
            }
            Step::Complete(_) | Step::Drop | Step::PutBack | Step::Keep => {
                let Some(chain) = self.queue.pop() else { return };
                match step {
                    Step::PutBack => chain.put_back(),
                    Step::Complete(len) => chain.complete(*len),
                    Step::Drop => drop(chain),
                    _ => self.tickets.push(chain.into_ticket()),
                }
            }
        }
    }

    fn reap(&mut self) {
        self.back.extend(std::iter::from_fn(|| self.driver.used()).map(|used| used.id as u16));
    }

    /// The chains that the log has had and that have not come back, in their order; and what the log says.
    fn outstanding(mut self) -> (Vec<u16>, Vec<u16>) {
        let mut life = self.life.0.lock().unwrap();
        // Whatever the device wrote after its death has not been.
        let end = life.end.take().unwrap_or_else(|| life.memory.bytes(0, MEMORY));
        life.memory.write(0, &end);
        let recovered = life.log.recover(&self.driver);
        let mut expected = std::mem::take(&mut life.popped);
        drop(life);
        self.reap();
        for id in &self.back {
            let at = expected.iter().position(|popped| popped == id).expect("a chain that the log has had");
            expected.remove(at);
        }
        (expected, recovered)
    }
}

fn features() -> impl Strategy<Value = Features> {
    any::<bool>().prop_map(|in_order| if in_order { Features::IN_ORDER } else { Features::NONE })
}

fn a_killed_device_leaves_its_log<L: Log>() {
    let history = (features(), 0usize..120, prop::collection::vec(step(), 1..150));
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(1000) };
    proptest!(config, |((features, calls, steps) in history)| {
        let mut run = Run::<L>::new(features, calls);
        for step in &steps {
            run.step(step);
            if run.life.0.lock().unwrap().end.is_some() {
                break;
            }
        }
        let (expected, recovered) = run.outstanding();
        prop_assert_eq!(recovered, expected);
    });
}

#[test]
fn a_killed_device_leaves_its_log_of_a_split_ring() {
    a_killed_device_leaves_its_log::<SplitLog>();
}

#[test]
fn a_killed_device_leaves_its_log_of_a_packed_ring() {
    a_killed_device_leaves_its_log::<PackedLog>();
}
