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
///
/// Send, not Sync. No call blocks longer than a short mutex.
#[must_use]
pub struct HostBuilder {
    name: String,
    device: Box<dyn VirtioDevice>,
    memory: GuestRam,
    runtime: Arc<dyn Runtime>,
    with: Features,
    without: Features,
    reset_wait: Duration,
    reset_limit: Duration,
}

impl HostBuilder {
    pub(super) fn new(device: Box<dyn VirtioDevice>, memory: GuestRam, runtime: Arc<dyn Runtime>) -> HostBuilder {
        HostBuilder {
            name: format!("{:?}", device.device_type()),
            device,
            memory,
            runtime,
            with: Features::NONE,
            without: Features::NONE,
            reset_wait: Duration::from_millis(10),
            reset_limit: Duration::from_secs(5),
        }
    }

    /// What log lines call the device, such as "disk0": the name of its type unless said otherwise.
    pub fn name(mut self, name: impl Into<String>) -> HostBuilder {
        self.name = name.into();
        self
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

    /// Features not to offer although the device has them.
    pub fn without(mut self, features: Features) -> HostBuilder {
        self.without |= features;
        self
    }

    /// How long a reset may hold the write that asks for it: 10 milliseconds unless said otherwise. While one takes longer
    /// the status stays other than zero; whoever reads it after the tasks have ended, or writes control, completes it.
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
}

/// For transports.
impl HostBuilder {
    /// The features that take a transport's part. Behind one that does not say that it [can](Self::build) they are not
    /// offered.
    pub const OF_TRANSPORTS: Features = Features::from_bits(
        Features::RING_RESET.bits()
            | Features::NOTIFICATION_DATA.bits()
            | Features::NOTIF_CONFIG_DATA.bits()
            | Features::ADMIN_VQ.bits()
            | Features::SR_IOV.bits(),
    );

    /// The device, for a transport that asks before it builds.
    pub fn device(&self) -> &dyn VirtioDevice {
        &*self.device
    }

    /// The host, which tells the driver through `hooks`, behind a transport that can do its part for the features `can`:
    /// - RING_RESET: drivers can ask for [`DeviceHost::reset_queue`], and see when it has ended.
    /// - NOTIFICATION_DATA: doorbells are rung whatever stands beside the queue's number.
    /// - NOTIF_CONFIG_DATA: each queue has a value that its doorbells carry, and drivers can read it.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn build(self, can: Features, hooks: Arc<dyn TransportHooks>) -> Result<DeviceHost, HostError> {
        let HostBuilder { name, device, memory, runtime, with, without, reset_wait, reset_limit } = self;
        let offered = offered(&*device, with, without, HostBuilder::OF_TRANSPORTS - can)?;
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
            name,
            status: AtomicU8::new(0),
            resetting: AtomicBool::new(false),
            config_pending: AtomicBool::new(false),
            telling: Mutex::new(()),
            hooks,
            counters: Counters::default(),
            last_fault: Mutex::new(None),
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
    cannot: Features,
) -> Result<Features, HostError> {
    let understood = (device.ring_features() | device.features()) - cannot;
    let stray = with - understood;
    if !stray.is_empty() {
        return Err(HostError::Features(stray));
    }
    let rings = device.ring_features() & Virtqueue::USUAL;
    // BASIC-FEAT-01
    let offered = device.consistent((device.features() | rings | with) - cannot - without);
    // FEAT-RSVD-01
    Ok(offered | Features::VERSION_1)
}
