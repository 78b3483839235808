//! The host of a device: its status, its queues' configuration and its running tasks. All lifecycle rules are here;
//! transports decode registers and call it.

mod builder;
mod error;
mod hooks;
mod lifecycle;
mod queues;
#[cfg(feature = "virtio-queue")]
mod rust_vmm;
mod snapshot;
pub mod status;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use log::Level;

use crate::config::{ConfigListener, ConfigSpace};
use crate::device::VirtioDevice;
use crate::device_type::DeviceType;
use crate::event::Event;
use crate::features::Features;
use crate::log_limit::LogLimit;
use crate::memory::GuestRam;
use crate::ring::{FaultSink, QueueCounters, QueueCounts, QueuePosition, RingFault};
use crate::runtime::Runtime;
use crate::task::TaskControl;

pub use builder::HostBuilder;
pub use error::{HostError, PauseError};
pub use hooks::TransportHooks;
pub use queues::{QueueActivity, QueueConfig, QueueRegisters, set_high, set_low};
#[cfg(feature = "virtio-queue")]
pub use rust_vmm::{SplitQueueError, SplitQueueState};
pub use snapshot::{HostState, QueueState};

use status::{DRIVER_OK, FEATURES_OK, NEEDS_RESET};

/// Owns one device behind a transport.
///
/// Every call takes `&self` and may come from any thread. Control writes take turns, by one lock:
///
/// | call | takes the lock | waits at most |
/// |---|---|---|
/// | [`notify`](Self::notify), [`doorbell`](Self::doorbell), [`offered`](Self::offered), [`read_config`](Self::read_config), counts, what never changes | no | for nothing |
/// | [`status`](Self::status) | if it is free | for nothing |
/// | [`queue`](Self::queue), [`accepted`](Self::accepted), [`negotiated`](Self::negotiated), [`feature_names`](Self::feature_names) | yes | for the call that has it |
/// | [`write_status`](Self::write_status), [`disable_queue`](Self::disable_queue), [`reset_queue`](Self::reset_queue) | yes | [`reset_wait`](HostBuilder::reset_wait) for what it begins |
/// | each control write, [`settle`](Self::settle) | yes | [`reset_limit`](HostBuilder::reset_limit), while a reset goes on |
/// | [`save`](Self::save), [`resume`](Self::resume), [`restore`](Self::restore) | yes | for the call that has it |
/// | [`pause`](Self::pause) | yes | its limit |
/// | drop, a surprise removal: stops the device as a reset does | yes | [`reset_limit`](HostBuilder::reset_limit) |
///
/// A reset that outlasts the write that asked for it is completed by whoever comes first after its tasks have ended: who
/// reads the status, writes control, or drops the host. In that call the device and the transport are reset. A reset of
/// a queue is completed likewise, by whoever reads or writes its registers. Where tasks run in their callers
/// ([`InlineRuntime`](crate::InlineRuntime)), they run in those that wait or poll, too.
///
/// Send and Sync. What is not named above may block, and so may dropping it.
pub struct DeviceHost {
    shared: Arc<Shared>,
    control: Mutex<Control>,
    queues: Box<[QueueHandles]>,
    device_type: DeviceType,
    offered: Features,
    config: ConfigSpace,
    memory: GuestRam,
    runtime: Arc<dyn Runtime>,
    reset_wait: Duration,
    reset_limit: Duration,
}

/// What tasks, the configuration space and the host have in common; nothing in it waits.
struct Shared {
    /// What the embedder calls the device.
    name: String,
    status: AtomicU8,
    /// A reset has begun and not ended.
    resetting: AtomicBool,
    /// The configuration changed after the driver may have read it, before it could be interrupted.
    config_pending: AtomicBool,
    /// Held while the driver is told of a change, and while a reset ends: so that none is told after it.
    telling: Mutex<()>,
    hooks: Arc<dyn TransportHooks>,
    counters: Counters,
    last_fault: Mutex<Option<(u16, RingFault)>>,
    /// For what a driver can cause.
    log: LogLimit,
}

#[derive(Default)]
struct Counters {
    needs_reset: AtomicU64,
    features_refused: AtomicU64,
    slow_resets: AtomicU64,
    failed_resets: AtomicU64,
}

/// What happened to a device as a whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostCounts {
    /// Times that the device asked for a reset.
    pub needs_reset: u64,
    /// Times that the driver's choice of features was refused.
    pub features_refused: u64,
    /// Resets that did not end within the write that asked for them.
    pub slow_resets: u64,
    /// Times that a control write gave up waiting for a reset, because something in flight could not be cancelled.
    pub failed_resets: u64,
}

/// What is kept for each queue over resets.
struct QueueHandles {
    max_size: u16,
    doorbell: Event,
    counters: Arc<QueueCounters>,
}

/// What control calls change.
struct Control {
    device: Box<dyn VirtioDevice>,
    accepted: Features,
    queues: Vec<QueueRegisters>,
    phase: Phase,
}

enum Phase {
    /// No tasks.
    Idle,
    Live(Vec<Task>),
    Paused(Vec<Task>, Vec<(u16, QueuePosition)>),
    /// The tasks were told to stop.
    Resetting(Vec<Task>),
}

impl Phase {
    /// The task that serves queue `index`, if one does.
    fn task_of(&self, index: u16) -> Option<&TaskControl> {
        let (Phase::Live(tasks) | Phase::Paused(tasks, _)) = self else {
            return None;
        };
        Some(&tasks.iter().find(|task| task.queues.contains(&index))?.control)
    }
}

/// The host's end of a task.
struct Task {
    control: Arc<TaskControl>,
    queues: Vec<u16>,
}

impl DeviceHost {
    /// A host for `device`, which may access `memory` and whose tasks `runtime` runs: to be given to a transport.
    pub fn builder(device: impl VirtioDevice + 'static, memory: GuestRam, runtime: Arc<dyn Runtime>) -> HostBuilder {
        HostBuilder::new(Box::new(device), memory, runtime)
    }

    /// What log lines call the device.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What kind of device it is.
    pub fn device_type(&self) -> DeviceType {
        self.device_type
    }

    /// The features that are offered.
    pub fn offered(&self) -> Features {
        self.offered
    }

    /// The features that the driver chose; they are negotiated once the status says FEATURES_OK.
    pub fn accepted(&self) -> Features {
        self.control().accepted
    }

    /// The features that were negotiated; none before that.
    pub fn negotiated(&self) -> Features {
        self.negotiated_in(&self.control())
    }

    fn negotiated_in(&self, control: &Control) -> Features {
        if self.shared.status() & FEATURES_OK != 0 { control.accepted } else { Features::NONE }
    }

    /// The names of the negotiated features, for people; none before that.
    pub fn feature_names(&self) -> Vec<String> {
        let control = self.control();
        self.negotiated_in(&control).names(|bit| control.device.feature_name(bit))
    }

    /// The guest memory that the device works on.
    pub fn memory(&self) -> &GuestRam {
        &self.memory
    }

    /// Bytes of configuration that the device has.
    pub fn config_len(&self) -> usize {
        self.config.len()
    }

    /// The driver reads the configuration space: any offset, any width.
    pub fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    /// The configuration's generation; a transport shows as many of its low bits as it has.
    pub fn config_generation(&self) -> u32 {
        self.config.generation()
    }

    /// The driver writes the configuration space.
    pub fn write_config(&self, offset: u64, data: &[u8]) {
        let mut control = self.control();
        if self.settled(&mut control) {
            control.device.write_config(offset, data);
        }
    }

    /// What happened to the device as a whole.
    pub fn counts(&self) -> HostCounts {
        let Counters { needs_reset, features_refused, slow_resets, failed_resets } = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HostCounts {
            needs_reset: read(needs_reset),
            features_refused: read(features_refused),
            slow_resets: read(slow_resets),
            failed_resets: read(failed_resets),
        }
    }

    /// The last fault of a ring, by its queue, since the host was made: why the device asked for a reset, if it was for
    /// that.
    pub fn last_fault(&self) -> Option<(u16, RingFault)> {
        *self.shared.last_fault()
    }

    /// What queue `index` has counted; none for a queue that does not exist.
    pub fn queue_counts(&self, index: u16) -> Option<QueueCounts> {
        Some(self.queues.get(usize::from(index))?.counters.read())
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_control(&self) -> Option<MutexGuard<'_, Control>> {
        match self.control.try_lock() {
            Ok(control) => Some(control),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Shared {
    fn status(&self) -> u8 {
        self.status.load(Ordering::SeqCst)
    }

    /// BASIC-STATUS-03, BASIC-STATUS-04
    fn needs_reset(&self) {
        let before = self.status.fetch_or(NEEDS_RESET, Ordering::SeqCst);
        if before & NEEDS_RESET == 0 {
            self.counters.needs_reset.fetch_add(1, Ordering::Relaxed);
            if before & DRIVER_OK != 0 {
                self.hooks.config_interrupt();
            }
        }
    }
}

impl FaultSink for Shared {
    fn ring_fault(&self, index: u16, fault: RingFault) {
        self.fault(index, fault, "is broken");
    }
}

impl ConfigListener for Shared {
    /// BASIC-NOTF-01
    fn config_changed(&self, seen: bool) {
        // Before the end of a reset or after it, not around it.
        let telling = self.telling();
        let live = self.status() & DRIVER_OK != 0;
        // A driver that is not ready yet is told when it is, unless it reads the new bytes anyway.
        if live || seen {
            self.config_pending.store(true, Ordering::SeqCst);
        }
        self.tell_config_change(telling);
    }
}

impl Shared {
    /// Tells a live driver of a change, if there is one to tell.
    fn send_config_change(&self) {
        self.tell_config_change(self.telling());
    }

    fn tell_config_change(&self, _telling: MutexGuard<'_, ()>) {
        if self.status() & DRIVER_OK != 0 && self.config_pending.swap(false, Ordering::SeqCst) {
            self.hooks.config_interrupt();
        }
    }

    /// Queue `index` cannot be used: `what` of it is told to people, and the need for a reset to the driver.
    fn fault(&self, index: u16, fault: RingFault, what: &str) {
        *self.last_fault() = Some((index, fault));
        self.log(Level::Warn, format_args!("queue {index} {what}: {fault}"));
        self.needs_reset();
    }

    fn last_fault(&self) -> MutexGuard<'_, Option<(u16, RingFault)>> {
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        self.log.log(level, format_args!("{}: {line}", self.name));
    }

    fn telling(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DeviceHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceHost")
            .field("name", &self.shared.name)
            .field("device_type", &self.device_type)
            .field("offered", &self.offered)
            .field("status", &format_args!("{:#04x}", self.shared.status()))
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}
