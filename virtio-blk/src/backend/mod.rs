//! What a disk is made of: the interface between the block device and its storage.
//!
//! - [`BlockBackend`] describes a disk, and opens [`BlockQueue`]s on it: one for each queue of the device.
//! - An [`Operation`] owns the guest memory that it reads or writes, from [`BlockQueue::submit`] until it comes back in
//!   a [`Completion`].
//! - [`SyncDisk`] is the short way for storage that does each operation when it is asked to: one function.
//!
//! | backend | storage |
//! |---|---|
//! | [`FileBackend`] | a file or block device of the host, by vectored system calls straight to guest memory |
//! | `UringBackend` | the same by io_uring: many operations in flight, none of which waits |
//! | [`MemoryBackend`] | memory, for tests and throw-away disks |
//! | [`NbdBackend`] | an export of an NBD server, on this machine or another one |
//! | [`NullBackend`] | none: all zeros, for measurements |
//! | [`ZonedBackend`] | that of another backend, with zones on it; or a zoned block device of the host |
#![cfg_attr(feature = "imago", doc = "| [`ImageBackend`] | an image in a format of its own, such as qcow2 |")]

#[cfg(test)]
mod bench;
mod capabilities;
#[cfg(all(feature = "file", unix))]
mod file;
#[cfg(all(feature = "imago", unix))]
mod image;
mod memory;
#[cfg(all(feature = "nbd", unix))]
pub mod nbd;
mod null;
mod operation;
mod sync;
#[cfg(all(feature = "file", unix))]
mod sys;
#[cfg(all(test, feature = "file", unix))]
mod tests;
#[cfg(all(feature = "uring", target_os = "linux"))]
mod uring;
pub mod zone;
mod zoned;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use virtio_core::Sources;

pub use capabilities::{Capabilities, Lifetime, RangeLimits, Topology};
#[cfg(all(feature = "file", unix))]
pub use file::{FileBackend, FileOptions, OpenError};
#[cfg(all(feature = "imago", unix))]
pub use image::{ImageBackend, ImageError, ImageFormat, ImageOptions};
pub use memory::MemoryBackend;
#[cfg(all(feature = "nbd", unix))]
pub use nbd::NbdBackend;
pub use null::NullBackend;
pub use operation::{Completion, Operation, OperationError, OperationKind, OperationResult, ZoneError};
pub use sync::{SyncDisk, SyncQueue};
#[cfg(all(feature = "uring", target_os = "linux"))]
pub use uring::{UringBackend, UringBuilder};
pub use zoned::{HostZonesError, StateFileError, ZoneFault, ZoneStorage, ZonedBackend, ZonedBuilder, ZonedError};

/// A disk. Shared by the device's handle and its queues; one `Arc` of it may serve several devices only if it says so.
pub trait BlockBackend: Send + Sync {
    /// Bytes of the disk, now. The device shows whole sectors of 512 bytes.
    ///
    /// # Errors
    /// Whatever kept it from finding out.
    fn size(&self) -> io::Result<u64>;

    /// What it is like and can do; an ordinary disk unless it says otherwise. Only
    /// [`zeroes_may_unmap`](Capabilities::zeroes_may_unmap) may change.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// How much of its life the storage has behind it; `None` if it does not know, so that the driver cannot ask
    /// (BLK-LIFE-02). Whether there is an answer may not change.
    ///
    /// # Errors
    /// Whatever kept it from finding out.
    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        Ok(None)
    }

    /// Begins to serve one queue, with up to `depth` operations in flight. Called on the thread that then uses the
    /// queue, so a ring that wants a single issuer can be made here.
    ///
    /// # Errors
    /// Whatever kept it from doing so; the device asks for a reset then.
    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>>;
}

impl<B: BlockBackend + ?Sized> BlockBackend for Arc<B> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        (**self).lifetime()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        (**self).open_queue(depth)
    }
}

/// The operations of one queue of the device. Belongs to one task; no call may wait for storage, unless the backend is
/// a synchronous one.
///
/// Every operation that was submitted comes back exactly once, in any order, with the guest memory that it owns: the
/// device answers the driver then. Nothing touches that memory afterwards.
///
/// Dropped only by a task that ends. If operations are in flight then, drop must not return before nothing accesses
/// their memory any more, or must keep them alive until then.
pub trait BlockQueue: Send {
    /// Names what has to wake the task so that it looks for completions. None where all is done at submission.
    fn sources(&self, sources: &mut Sources) {
        let _ = sources;
    }

    /// Moves when [`sources`](Self::sources) has changed.
    fn sources_version(&self) -> u64 {
        0
    }

    /// When the task has to look for completions even if no source has anything.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Takes an operation. Never refused: fewer than the queue's depth are in flight. Its range lies in the disk as the
    /// device knows it, which may have shrunk since. Its kind is one that the disk [can](Capabilities) do.
    fn submit(&mut self, operation: Box<Operation>);

    /// Ends a batch of submissions: the operations taken so far have to make progress now. What cannot be handed on
    /// comes back with an error.
    fn kick(&mut self) {}

    /// Gives back what has finished, at most `most` operations.
    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion));

    /// Nobody waits for what is in flight any more: it should come back soon, with an error or without. Does not wait.
    /// May be called again while operations are in flight.
    fn cancel(&mut self) {}

    /// The same for the operation with this tag, which has been in flight for longer than it should.
    fn cancel_one(&mut self, tag: u16) {
        let _ = tag;
    }
}
