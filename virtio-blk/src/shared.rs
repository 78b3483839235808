//! What a device, its handles and its queue tasks have in common.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use virtio_core::{ConfigSpace, LogLimit};

use crate::backend::BlockBackend;
use crate::counters::Counters;
use crate::wire::{ID_LEN, field, put};

pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn BlockBackend>,
    pub(crate) config: ConfigSpace,
    pub(crate) read_only: bool,
    pub(crate) id: [u8; ID_LEN],
    /// One for each queue.
    pub(crate) counters: Box<[Counters]>,
    /// For what a driver can cause.
    pub(crate) log: LogLimit,
    /// As in the configuration space.
    sectors: AtomicU64,
    /// As in the configuration space.
    writeback: AtomicBool,
}

impl Shared {
    /// `config` holds everything but the capacity and the cache mode.
    pub(crate) fn new(
        backend: Arc<dyn BlockBackend>,
        config: ConfigSpace,
        read_only: bool,
        id: [u8; ID_LEN],
        queues: u16,
        sectors: u64,
    ) -> Shared {
        let shared = Shared {
            backend,
            config,
            read_only,
            id,
            counters: (0..queues).map(|_| Counters::default()).collect(),
            log: LogLimit::default(),
            sectors: AtomicU64::new(0),
            writeback: AtomicBool::new(false),
        };
        shared.set_capacity(sectors);
        shared.set_writeback(true);
        shared
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
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("sectors", &self.capacity())
            .field("read_only", &self.read_only)
            .field("writeback", &self.writeback())
            .finish_non_exhaustive()
    }
}
