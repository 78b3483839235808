//! Making a host.

use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::{Control, Counters, DeviceHost, HostError, Phase, QueueHandles, QueueRegisters, Shared};
use crate::config::ConfigListener;
use crate::device::VirtioDevice;
use crate::event::Event;
use crate::features::Features;
use crate::interrupt::Interrupts;
use crate::log_limit::LogLimit;
use crate::memory::GuestRam;
use crate::runtime::Runtime;

/// A device with what it needs, on its way to a transport.
#[must_use]
pub struct HostBuilder {
    device: Box<dyn VirtioDevice>,
    memory: Option<GuestRam>,
    runtime: Option<Arc<dyn Runtime>>,
    without: Features,
    reset_wait: Duration,
    reset_limit: Duration,
}

impl HostBuilder {
    pub(super) fn new(device: Box<dyn VirtioDevice>) -> HostBuilder {
        HostBuilder {
            device,
            memory: None,
            runtime: None,
            without: Features::NONE,
            reset_wait: Duration::from_millis(10),
            reset_limit: Duration::from_secs(5),
        }
    }

    /// The guest memory that the device may access. Needed.
    pub fn memory(mut self, memory: GuestRam) -> HostBuilder {
        self.memory = Some(memory);
        self
    }

    /// What runs the device's tasks. Needed.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> HostBuilder {
        self.runtime = Some(runtime);
        self
    }

    /// Features not to offer although the device has them.
    pub fn without(mut self, features: Features) -> HostBuilder {
        self.without |= features;
        self
    }

    /// How long a reset may hold the write that asks for it: 10 milliseconds unless said otherwise. One that takes
    /// longer ends by itself, and the status stays other than zero until then.
    pub fn reset_wait(mut self, wait: Duration) -> HostBuilder {
        self.reset_wait = wait;
        self
    }

    /// How long a later control write, or the removal of the device, waits for a reset that has not ended: 5 seconds
    /// unless said otherwise. After that the write is dropped and the device shows FAILED.
    pub fn reset_limit(mut self, limit: Duration) -> HostBuilder {
        self.reset_limit = limit;
        self
    }

    /// The device, for a transport that asks before it builds.
    pub fn device(&self) -> &dyn VirtioDevice {
        &*self.device
    }

    /// The host, which notifies the driver through `interrupts`. For transports.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn build(self, interrupts: Arc<dyn Interrupts>) -> Result<DeviceHost, HostError> {
        let HostBuilder { device, memory, runtime, without, reset_wait, reset_limit } = self;
        let sizes = device.queue_sizes();
        if sizes.len() > usize::from(u16::MAX) {
            return Err(HostError::TooManyQueues(sizes.len()));
        }
        let mut queues = Vec::with_capacity(sizes.len());
        for (queue, &size) in sizes.iter().enumerate() {
            if !size.is_power_of_two() || size > 32768 {
                return Err(HostError::QueueSize { queue, size });
            }
            queues.push(QueueHandles { max_size: size, doorbell: Event::new()?, counters: Arc::default() });
        }
        let shared = Arc::new(Shared {
            status: AtomicU8::new(0),
            resetting: AtomicBool::new(false),
            config_pending: AtomicBool::new(false),
            telling: Mutex::new(()),
            interrupts,
            counters: Counters::default(),
            log: LogLimit::default(),
        });
        let config = device.config();
        let listener: Weak<Shared> = Arc::downgrade(&shared);
        config.listen(listener as Weak<dyn ConfigListener>);
        // BASIC-FEAT-01
        let offered = device.consistent((device.features() | device.ring_features()) - without);
        Ok(DeviceHost {
            device_type: device.device_type(),
            // FEAT-RSVD-01
            offered: offered | Features::VERSION_1,
            config,
            memory: memory.ok_or(HostError::NoMemory)?,
            runtime: runtime.ok_or(HostError::NoRuntime)?,
            reset_wait,
            reset_limit,
            control: Mutex::new(Control {
                accepted: Features::NONE,
                queues: queues.iter().map(|queue| QueueRegisters::after_reset(queue.max_size)).collect(),
                phase: Phase::Idle,
                device,
            }),
            queues: queues.into_boxed_slice(),
            shared,
        })
    }
}
