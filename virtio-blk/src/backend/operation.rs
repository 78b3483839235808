//! One thing that a backend is asked to do.

use std::fmt;
use std::io;

use virtio_core::memory::RawIoSlice;
use virtio_core::{GuestBuffers, Reader, Writer};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationKind {
    /// Bytes of the disk go into the operation's memory.
    Read,
    /// The operation's memory goes to the disk.
    Write {
        /// The completion says that the data is on stable storage, not merely in a cache: a write with a sync behind
        /// it, for this write's data (BLK-STABLE-01).
        durable: bool,
    },
    /// All writes of all queues that completed before this was submitted go to stable storage.
    Flush,
}

/// An operation, and the guest memory that it works on.
///
/// The memory stays mapped while this lives, and others may write it at any time. A backend whose system calls work on
/// it by address keeps the operation until the kernel has let go of it.
///
/// Send, not Sync: a backend may finish it on another thread. No call blocks.
pub struct Operation {
    pub(crate) tag: u16,
    pub(crate) kind: OperationKind,
    pub(crate) offset: u64,
    pub(crate) buffers: GuestBuffers,
}

impl Operation {
    pub(crate) fn new(tag: u16) -> Operation {
        Operation { tag, kind: OperationKind::Flush, offset: 0, buffers: GuestBuffers::new() }
    }

    /// A number below the queue's depth that no other operation in flight on it has.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// What is to be done.
    pub fn kind(&self) -> OperationKind {
        self.kind
    }

    /// Where on the disk it starts, in bytes: a multiple of 512.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes to be read or written: a multiple of 512, zero for a flush.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether there is nothing to be read or written.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// The data of a write, to be copied out of guest memory. Each byte should be read once.
    pub fn reader(&self) -> Reader<'_> {
        self.buffers.reader()
    }

    /// The place for the data of a read, to be copied into guest memory; empty for other kinds. The device records as
    /// dirty what is written here.
    pub fn writer(&self) -> Writer<'_> {
        self.buffers.unmarked_writer()
    }

    /// The memory as the system's vectored calls want it. Not to be used once the operation was given back or dropped,
    /// and to be written only by a read.
    pub fn io_slices(&self) -> &[RawIoSlice] {
        self.buffers.io_slices()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({}: {:?} of {} bytes at {:#x})", self.tag, self.kind, self.len(), self.offset)
    }
}

/// An operation that has finished.
///
/// Send, not Sync, as the operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation that was submitted.
    pub operation: Box<Operation>,
    /// How many bytes were read or written from its start on. Fewer than asked for are a failure: the disk ends there.
    pub result: io::Result<usize>,
}
