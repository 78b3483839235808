//! What a device, its handles and its queue tasks have in common.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use virtio_core::{ConfigSpace, Event, LogLimit, RateLimit};

use crate::backend::{BlockBackend, OperationKind};
use crate::counters::Counters;
use crate::policy::{OnError, OnStop, Stopped};
use crate::wire::{ID_LEN, field, put};

pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn BlockBackend>,
    pub(crate) config: ConfigSpace,
    pub(crate) read_only: bool,
    pub(crate) id: [u8; ID_LEN],
    pub(crate) limits: Limits,
    pub(crate) options: Options,
    /// One for each queue.
    pub(crate) counters: Box<[Counters]>,
    /// For what a driver can cause.
    pub(crate) log: LogLimit,
    /// As in the configuration space.
    sectors: AtomicU64,
    /// As in the configuration space.
    writeback: AtomicBool,
    /// As in the configuration space.
    may_unmap: AtomicBool,
    /// Whether `stop` says why the device has stopped.
    is_stopped: AtomicBool,
    stop: Mutex<Stop>,
}

/// What the configuration space says that requests may ask for, in sectors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Of one request for ranges.
    pub(crate) segments: u32,
    pub(crate) discard: u32,
    pub(crate) write_zeroes: u32,
    pub(crate) secure_erase: u32,
    pub(crate) append_sectors: u32,
}

impl Limits {
    /// Sectors of one range.
    pub(crate) fn longest(&self, kind: OperationKind) -> u32 {
        match kind {
            OperationKind::Discard => self.discard,
            OperationKind::WriteZeroes { .. } => self.write_zeroes,
            OperationKind::SecureErase => self.secure_erase,
            _ => 0,
        }
    }
}

/// What the embedder chose.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// The driver may give storage back.
    pub(crate) discard: bool,
    pub(crate) merge: bool,
    pub(crate) on_read_error: OnError,
    pub(crate) on_write_error: OnError,
    pub(crate) on_stop: Option<OnStop>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rate: Option<RateLimit>,
}

#[derive(Default)]
struct Stop {
    why: Option<Stopped>,
    /// Wakes each task.
    tasks: Vec<Event>,
}

impl Shared {
    /// `config` holds everything but the capacity, the cache mode and whether zeroing may give storage back.
    pub(crate) fn new(
        backend: Arc<dyn BlockBackend>,
        config: ConfigSpace,
        read_only: bool,
        id: [u8; ID_LEN],
        limits: Limits,
        options: Options,
        queues: u16,
    ) -> Shared {
        Shared {
            backend,
            config,
            read_only,
            id,
            limits,
            options,
            counters: (0..queues).map(|_| Counters::default()).collect(),
            log: LogLimit::default(),
            sectors: AtomicU64::new(0),
            writeback: AtomicBool::new(false),
            may_unmap: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            stop: Mutex::default(),
        }
    }

    /// Sectors of 512 bytes that the driver may access now.
    pub(crate) fn capacity(&self) -> u64 {
        self.sectors.load(Ordering::Acquire)
    }

    /// BLK-OP-01, BLK-OP-02: the driver is interrupted if it is another capacity.
    pub(crate) fn set_capacity(&self, sectors: u64) {
        self.config.update(|bytes| self.put_capacity(bytes, sectors));
    }

    /// The capacity as it was saved: nothing new for the driver.
    pub(crate) fn restore_capacity(&self, sectors: u64) {
        self.config.store(|bytes| self.put_capacity(bytes, sectors));
    }

    /// Both at once, so that calls at the same time leave them the same.
    fn put_capacity(&self, bytes: &mut [u8], sectors: u64) {
        self.sectors.store(sectors, Ordering::Release);
        put(bytes, field::CAPACITY, &sectors.to_le_bytes());
    }

    /// Whether completed writes may still be in a cache.
    pub(crate) fn writeback(&self) -> bool {
        self.writeback.load(Ordering::SeqCst)
    }

    /// For what the driver brings about: it is not interrupted.
    pub(crate) fn set_writeback(&self, writeback: bool) {
        self.config.store(|bytes| {
            self.writeback.store(writeback, Ordering::SeqCst);
            put(bytes, field::WRITEBACK, &[u8::from(writeback)]);
        });
    }

    /// Whether zeroing may give storage back (BLK-OP-10).
    pub(crate) fn may_unmap(&self) -> bool {
        self.may_unmap.load(Ordering::Relaxed)
    }

    /// Asks the backend; BLK-OP-11, BLK-OP-12: the driver is interrupted if that has changed.
    pub(crate) fn look_whether_zeroes_unmap(&self) {
        let may = self.options.discard && self.limits.write_zeroes != 0 && self.backend.capabilities().zeroes_may_unmap;
        self.config.update(|bytes| {
            self.may_unmap.store(may, Ordering::Relaxed);
            put(bytes, field::WRITE_ZEROES_MAY_UNMAP, &[u8::from(may)]);
        });
    }

    fn stop_state(&self) -> MutexGuard<'_, Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes a task when the device goes on after a stop: a queue's doorbell, which a reset of the queue leaves the same.
    pub(crate) fn enter_task(&self, wake: Event) {
        self.stop_state().tasks.push(wake);
    }

    /// A device that has been reset has no tasks, and nothing that it could have stopped for.
    pub(crate) fn leave_tasks(&self) {
        let mut stop = self.stop_state();
        *stop = Stop::default();
        self.is_stopped.store(false, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stop_state().why.clone()
    }

    /// Stops the device, and tells the embedder if it has not been stopped.
    pub(crate) fn stop(&self, why: Stopped) {
        let mut stop = self.stop_state();
        if stop.why.is_some() {
            return;
        }
        stop.why = Some(why.clone());
        self.is_stopped.store(true, Ordering::Release);
        drop(stop);
        self.log.log(log::Level::Warn, format_args!("the block device has {why}"));
        if let Some(tell) = &self.options.on_stop {
            tell(&why);
        }
    }

    /// Has all tasks go on; whether they had stopped.
    pub(crate) fn resume(&self) -> bool {
        let mut stop = self.stop_state();
        self.is_stopped.store(false, Ordering::Release);
        let stopped = stop.why.take().is_some();
        if stopped {
            stop.tasks.iter().for_each(Event::signal);
        }
        stopped
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("sectors", &self.capacity())
            .field("read_only", &self.read_only)
            .field("writeback", &self.writeback())
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}
