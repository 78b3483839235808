//! Making a host.

use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::{Control, Counters, DeviceHost, HostError, Phase, QueueHandles, QueueRegisters, Shared, TransportHooks};
use crate::config::ConfigListener;
use crate::device::VirtioDevice;
use crate::event::Event;
use crate::features::Features;
use crate::log_limit::LogLimit;
use crate::memory::GuestRam;
use crate::ring::Virtqueue;
use crate::runtime::Runtime;

/// A device with what it needs, on its way to a transport.
#[must_use]
pub struct HostBuilder {
    device: Box<dyn VirtioDevice>,
    memory: GuestRam,
    runtime: Arc<dyn Runtime>,
    with: Features,
    without: Features,
    impossible: Features,
    reset_wait: Duration,
    reset_limit: Duration,
}

impl HostBuilder {
    pub(super) fn new(device: Box<dyn VirtioDevice>, memory: GuestRam, runtime: Arc<dyn Runtime>) -> HostBuilder {
        HostBuilder {
            device,
            memory,
            runtime,
            with: Features::NONE,
            without: Features::NONE,
            impossible: Features::NONE,
            reset_wait: Duration::from_millis(10),
            reset_limit: Duration::from_secs(5),
        }
    }

    /// Features of rings and of notifications to offer besides the usual ones, which are INDIRECT_DESC, EVENT_IDX and
    /// RING_RESET. They are a matter of what suits the device:
    ///
    /// - NOTIFICATION_DATA: doorbells say how much there is to take. No device of this workspace makes use of it, and
    ///   over MMIO a hypervisor cannot tell the queues' doorbells apart any more: see
    ///   [`DoorbellSite`](crate::DoorbellSite).
    /// - RING_PACKED: queues of the packed layout, of any size.
    /// - IN_ORDER: buffers come back in the order in which they were made available, however long one of them takes.
    /// - NOTIF_CONFIG_DATA: doorbells carry a value of the device's choice. Over PCI only.
    ///
    /// To ask for what the device's queues or the transport do not understand is an error.
    pub fn with(mut self, features: Features) -> HostBuilder {
        self.with |= features;
        self
    }

    /// Features that the transport does not have: not offered, and to ask for them is an error. For transports.
    pub fn impossible(mut self, features: Features) -> HostBuilder {
        self.impossible |= features;
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

    /// The host, which tells the driver through `hooks`. For transports.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn build(self, hooks: Arc<dyn TransportHooks>) -> Result<DeviceHost, HostError> {
        let HostBuilder { device, memory, runtime, with, without, impossible, reset_wait, reset_limit } = self;
        let offered = offered(&*device, with, without, impossible)?;
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
            hooks,
            counters: Counters::default(),
            log: LogLimit::default(),
        });
        let config = device.config();
        let listener: Weak<Shared> = Arc::downgrade(&shared);
        config.listen(listener as Weak<dyn ConfigListener>);
        Ok(DeviceHost {
            device_type: device.device_type(),
            offered,
            config,
            memory,
            runtime,
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

/// The features that are offered.
fn offered(
    device: &dyn VirtioDevice,
    with: Features,
    without: Features,
    impossible: Features,
) -> Result<Features, HostError> {
    let understood = (device.ring_features() | device.features()) - impossible;
    let stray = with - understood;
    if !stray.is_empty() {
        return Err(HostError::Features(stray));
    }
    let rings = device.ring_features() & Virtqueue::USUAL;
    // BASIC-FEAT-01
    let offered = device.consistent((device.features() | rings | with) - impossible - without);
    // FEAT-RSVD-01
    Ok(offered | Features::VERSION_1)
}
