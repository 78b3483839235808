//! What the server may have in a cache only, and whether that was lost.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// BLK-STABLE-01: what the server has acknowledged and not flushed, on all connections of all queues together.
///
/// A server that dies takes its cache with it, and one that answers in its place knows nothing of that. So once a
/// connection ends with something unflushed, no flush can promise anything any more.
#[derive(Debug)]
pub(super) struct Cache {
    /// Changes that were acknowledged, and how many of them, from the first one on, were flushed.
    changes: AtomicU64,
    flushed: AtomicU64,
    lost: AtomicBool,
    /// There is no cache, or it outlives the server.
    survives: bool,
}

impl Cache {
    pub(super) fn new(survives: bool) -> Cache {
        Cache { changes: AtomicU64::new(0), flushed: AtomicU64::new(0), lost: AtomicBool::new(false), survives }
    }

    /// A change was acknowledged that is not known to be stable.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    /// The changes that a flush covers which is sent after this.
    pub(super) fn mark(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// A flush that covers these changes was acknowledged.
    pub(super) fn flushed(&self, mark: u64) {
        self.flushed.fetch_max(mark, SeqCst);
    }

    /// A connection has ended. Says whether flushes fail from now on that did not before.
    ///
    /// To be told before another connection is made in its place, so that no flush on that one comes before it.
    pub(super) fn disconnected(&self) -> bool {
        let unflushed = self.changes.load(SeqCst) > self.flushed.load(SeqCst);
        unflushed && !self.survives && !self.lost.swap(true, SeqCst)
    }

    /// What a flush comes to that the server has acknowledged.
    pub(super) fn promise(&self) -> io::Result<()> {
        match self.lost.load(SeqCst) {
            true => Err(io::Error::other(
                "a connection to the NBD server ended before, and what was not flushed then may be lost",
            )),
            false => Ok(()),
        }
    }
}
