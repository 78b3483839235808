//! Rings that went while the kernel had something of theirs.

#[cfg(test)]
mod tests;

use std::io::PipeReader;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_core::memory::PinnedPages;

use super::super::shared::Stuck;
use super::PATIENCE;
use crate::backend::Operation;

/// What a ring had lent to the kernel when it was closed. The kernel cancels it, or finishes it, and then frees the ring;
/// what came of each operation nobody knows.
///
/// Send, not Sync. Dropping it waits for a second; what the kernel has not given back by then is kept for as long as it
/// takes, by a thread that waits for that.
pub(in super::super) struct Retired {
    held: ManuallyDrop<Held>,
    stuck: Stuck,
}

#[allow(clippy::vec_box)] // an operation stays in its box
struct Held {
    operations: Vec<Box<Operation>>,
    _pages: Option<PinnedPages>,
    end: Arc<PipeReader>,
}

impl Retired {
    /// `end` ends when the kernel has freed the ring.
    #[allow(clippy::vec_box)]
    pub(super) fn new(
        operations: Vec<Box<Operation>>,
        pages: Option<PinnedPages>,
        end: PipeReader,
        stuck: Stuck,
    ) -> Retired {
        let held = Held { operations, _pages: pages, end: Arc::new(end) };
        Retired { held: ManuallyDrop::new(held), stuck }
    }

    /// Readable when the kernel has done with all of it.
    pub(in super::super) fn end(&self) -> Arc<PipeReader> {
        self.held.end.clone()
    }

    /// The operations, as soon as the kernel has done with them.
    #[allow(clippy::vec_box)]
    pub(in super::super) fn take(&mut self) -> Option<Vec<Box<Operation>>> {
        wait(&*self.held.end, Duration::ZERO).then(|| std::mem::take(&mut self.held.operations))
    }
}

impl Drop for Retired {
    fn drop(&mut self) {
        // SAFETY: nothing uses it afterwards.
        let held = unsafe { ManuallyDrop::take(&mut self.held) };
        if wait(&*held.end, PATIENCE) {
            return;
        }
        let (count, stuck) = (held.operations.len() as u64, self.stuck.clone());
        stuck.add(count);
        log::error!("{count} block operations are stuck in the kernel: their memory is kept until they end");
        // Not dropped where no thread can be had: the memory is kept for ever then.
        let mut held = ManuallyDrop::new(held);
        let keep = move || {
            while !wait(&*held.end, Duration::from_secs(3600)) {}
            // SAFETY: taken once, in a function that is called once.
            drop(unsafe { ManuallyDrop::take(&mut held) });
            stuck.sub(count);
        };
        let keeper = std::thread::Builder::new().name("virtio-blk-stuck".into()).spawn(keep);
        if let Err(error) = keeper {
            log::error!("there is no thread to wait for them, so it is kept for ever: {error}");
        }
    }
}

/// Waits until `file` is readable or has ended, at most for `timeout`; says whether it is.
pub(in super::super) fn wait(file: &impl AsRawFd, timeout: Duration) -> bool {
    let limit = Instant::now() + timeout;
    loop {
        let left = limit.saturating_duration_since(Instant::now());
        let milliseconds = i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which is ours, and a file that is borrowed.
        match unsafe { libc::poll(&mut poll, 1, milliseconds) } {
            1.. => return poll.revents != 0,
            // The kernel interrupts it to finish what a ring has.
            -1 if !left.is_zero() => {}
            _ => return false,
        }
    }
}
