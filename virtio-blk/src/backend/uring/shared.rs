//! What the queues of a backend have in common.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use log::Level;
use virtio_core::{GuestRam, LogLimit};

use super::super::file::Disk;

/// One for all queues.
pub(super) struct Shared {
    pub(super) disk: Arc<Disk>,
    /// Entries of each ring; as many as the queue is deep, if none is given.
    pub(super) entries: Option<u32>,
    /// Memory to be registered with the rings.
    pub(super) ram: Option<GuestRam>,
    pub(super) log: LogLimit,
    /// Queues that have no ring.
    pub(super) fallbacks: AtomicU64,
    said: AtomicBool,
    pub(super) stuck: Stuck,
}

impl Shared {
    pub(super) fn new(disk: Arc<Disk>, entries: Option<u32>, ram: Option<GuestRam>) -> Shared {
        Shared {
            stuck: Stuck::on(&disk),
            disk,
            entries,
            ram,
            log: LogLimit::default(),
            fallbacks: AtomicU64::new(0),
            said: AtomicBool::new(false),
        }
    }

    /// A queue does without a ring. Said once: whatever keeps one queue from having one keeps the others, too.
    pub(super) fn falls_back(&self, error: &io::Error) {
        self.fallbacks.fetch_add(1, Ordering::SeqCst);
        if self.said.swap(true, Ordering::SeqCst) {
            return;
        }
        let cause = match error.raw_os_error() {
            Some(libc::ENOSYS) => "the kernel does not have it, or a seccomp filter hides it",
            Some(libc::EPERM | libc::EACCES) => "it is forbidden, by kernel.io_uring_disabled or by a seccomp filter",
            Some(libc::ENOMEM) => "there is not enough memory, or not enough that may be locked (ulimit -l)",
            Some(libc::EMFILE | libc::ENFILE) => "too many files are open",
            _ => "no ring could be made",
        };
        log::warn!("the disk is served without io_uring, each request waits for its storage: {cause}: {error}");
    }

    /// Something that a driver may cause again and again.
    pub(super) fn warn(&self, line: std::fmt::Arguments<'_>) {
        self.log.log(Level::Warn, line);
    }
}

/// How many operations the kernel has not given back although their queue is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Stuck {
    count: Arc<AtomicU64>,
    /// Stays as long as something is stuck: the image has to be locked until nothing writes it any more.
    _disk: Option<Arc<Disk>>,
}

impl Stuck {
    fn on(disk: &Arc<Disk>) -> Stuck {
        Stuck { count: Arc::default(), _disk: Some(Arc::clone(disk)) }
    }

    pub(super) fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::SeqCst);
    }

    pub(super) fn sub(&self, count: u64) {
        self.count.fetch_sub(count, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}
