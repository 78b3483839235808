//! A disk in a file, by io_uring.

mod pieces;
mod queue;
mod shared;
mod steps;
mod sys;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use virtio_core::GuestRam;

use super::{BlockBackend, BlockQueue, Capabilities, FileBackend, Lifetime, SyncQueue};
use queue::UringQueue;
use shared::Shared;
use sys::{Ring, Way};

/// The most entries of a ring, if none are asked for.
const MOST_ENTRIES: u32 = 1024;
/// The most that the kernel takes.
const KERNEL_ENTRIES: u32 = 32768;

/// A disk in a file or on a block device of the host, as a [`FileBackend`], whose operations are done by io_uring.
///
/// No call waits for storage: many operations of one queue are in flight at once, and one thread can serve many queues.
/// Each queue of the device has a ring of its own, made on the thread that serves it, and a batch of requests costs one
/// system call. Flushes, discards and zeroes are done in the kernel's threads. What a ring cannot do is done as a
/// `FileBackend` does it, in the thread that serves the queue: discarding ranges of a block device, erasing securely, and
/// zeroes on a file system that can only have them written.
///
/// Where there is no io_uring (Linux before 5.6, `kernel.io_uring_disabled`, a seccomp filter), the queues are a
/// `FileBackend`'s, the log says why, and [`is_uring`](Self::is_uring) is false: each queue should have a thread of its own then.
///
/// An operation that the kernel does not give back, because its storage hangs, keeps its guest memory mapped for as long
/// as it takes, also when its queue is gone: see [`stuck`](Self::stuck).
///
/// Send and Sync. Opening a queue blocks while the kernel makes the ring, and pins guest memory if that was asked for.
pub struct UringBackend {
    file: FileBackend,
    shared: Arc<Shared>,
}

/// How a [`UringBackend`] is to be.
///
/// Send and Sync. No call blocks.
#[derive(Debug)]
pub struct UringBuilder {
    file: FileBackend,
    entries: Option<u32>,
    ram: Option<GuestRam>,
}

impl UringBackend {
    /// The disk of `file`, by io_uring.
    pub fn new(file: FileBackend) -> UringBackend {
        UringBackend::builder(file).build()
    }

    /// The same with options.
    pub fn builder(file: FileBackend) -> UringBuilder {
        UringBuilder { file, entries: None, ram: None }
    }

    /// Whether all queues that were opened have rings.
    pub fn is_uring(&self) -> bool {
        self.fallbacks() == 0
    }

    /// How many queues that were opened have no ring.
    pub fn fallbacks(&self) -> u64 {
        self.shared.fallbacks.load(Ordering::SeqCst)
    }

    /// How many operations of queues that are gone the kernel still has. Their memory is kept until it gives them back.
    pub fn stuck(&self) -> u64 {
        self.shared.stuck.get()
    }

    fn ring(&self, depth: u16) -> io::Result<Ring> {
        ring(&self.shared, depth, &Way::ALL)
    }
}

impl UringBuilder {
    /// Entries of each ring: operations that the kernel is given by one system call. As many as the queue is deep, up to
    /// 1024, if this is not said. Rounded up to a power of two; more operations than that wait for their turn.
    #[must_use]
    pub fn entries(mut self, entries: u32) -> UringBuilder {
        self.entries = Some(entries.clamp(1, KERNEL_ENTRIES));
        self
    }

    /// Registers guest memory with each ring, which has the kernel look its pages up once, and not for each operation.
    /// For direct I/O to fast storage.
    ///
    /// All of that memory is locked then, once for each queue, and counts against RLIMIT_MEMLOCK; opening a queue takes
    /// as long as it takes to touch all of it, and so does a change of it, in the thread that serves the queue. Nobody
    /// discards its pages meanwhile ([`GuestRam::discard`]), so that a balloon gives nothing back. Where it
    /// cannot be registered, the log says so, and the queue does without.
    #[must_use]
    pub fn fixed_buffers(mut self, ram: GuestRam) -> UringBuilder {
        self.ram = Some(ram);
        self
    }

    /// The backend.
    pub fn build(self) -> UringBackend {
        let disk = Arc::clone(self.file.disk());
        UringBackend { file: self.file, shared: Arc::new(Shared::new(disk, self.entries, self.ram)) }
    }
}

/// A ring for the disk of `shared`.
fn ring(shared: &Shared, depth: u16, ways: &[Way]) -> io::Result<Ring> {
    let files = [shared.disk.file(), shared.disk.buffered()];
    let entries = shared.entries.unwrap_or(u32::from(depth).clamp(8, MOST_ENTRIES));
    Ring::open(files, entries.next_power_of_two(), depth, ways, shared.stuck.clone())
}

impl BlockBackend for UringBackend {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn capabilities(&self) -> Capabilities {
        self.file.capabilities()
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        self.file.lifetime()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        match self.ring(depth) {
            Ok(ring) => Ok(Box::new(UringQueue::new(Arc::clone(&self.shared), ring, depth))),
            Err(error) => {
                self.shared.falls_back(&error);
                Ok(Box::new(SyncQueue::new(Arc::clone(&self.shared.disk), depth)))
            }
        }
    }
}

impl fmt::Debug for UringBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UringBackend({:?}, {} queues without rings)", self.file, self.fallbacks())
    }
}
