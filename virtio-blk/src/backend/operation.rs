//! One thing that a backend is asked to do.

use std::fmt;
use std::io;

use virtio_core::memory::RawIoSlice;
use virtio_core::{GuestBuffers, Reader, Writer};

const ZEROS: [u8; 4096] = [0; 4096];

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The range is not needed any more: its storage may be given back. What it reads as afterwards is up to the
    /// backend, but nothing that was never on this disk.
    Discard,
    /// The range reads as zeros afterwards (BLK-OP-09).
    WriteZeroes {
        /// Its storage may be given back.
        unmap: bool,
        /// As for a write.
        durable: bool,
    },
    /// Nobody can read what was in the range, by whatever means.
    SecureErase,
    /// Descriptions of the zones from the one that holds the offset on go into the operation's memory: see
    /// [`zone`](super::zone).
    ZoneReport,
    /// The zone at the offset is opened explicitly.
    ZoneOpen,
    /// The zone at the offset is closed.
    ZoneClose,
    /// The zone at the offset becomes full.
    ZoneFinish,
    /// The zone at the offset becomes empty.
    ZoneReset,
    /// All zones that can become empty do so.
    ZoneResetAll,
    /// The operation's memory goes to where the zone at the offset has its write pointer.
    ZoneAppend {
        /// As for a write.
        durable: bool,
    },
}

impl OperationKind {
    /// Whether it changes what is on the disk, so that a disk that can only be read is never asked for it.
    pub fn changes(self) -> bool {
        !matches!(self, OperationKind::Read | OperationKind::Flush | OperationKind::ZoneReport)
    }
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
    /// Bytes of the disk, where it has no memory.
    pub(crate) range: u64,
    pub(crate) buffers: GuestBuffers,
    /// Operations that were merged into this one, in the order of the disk. Their memory is at the end of its own.
    #[allow(clippy::vec_box)] // an operation stays in its box from submission to completion
    pub(crate) merged: Vec<Box<Operation>>,
}

impl Operation {
    pub(crate) fn new(tag: u16) -> Operation {
        let (kind, buffers) = (OperationKind::Flush, GuestBuffers::new());
        Operation { tag, kind, offset: 0, range: 0, buffers, merged: Vec::new() }
    }

    /// A number below the queue's depth that no other operation in flight on it has.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// What is to be done.
    pub fn kind(&self) -> OperationKind {
        self.kind
    }

    /// Where on the disk it starts, in bytes: a multiple of 512; zero for what concerns the whole disk.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes to be read or written, discarded, zeroed or erased: a multiple of 512; for a report, the bytes that there is
    /// room for; zero for everything else.
    pub fn len(&self) -> u64 {
        // One of them is zero.
        self.buffers.len() as u64 + self.range
    }

    /// Whether there is nothing to be read, written, discarded, zeroed or erased.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The data of a write, to be copied out of guest memory; empty for kinds without. Each byte should be read once.
    pub fn reader(&self) -> Reader<'_> {
        self.buffers.reader()
    }

    /// The place for the data of a read or a report, to be copied into guest memory; empty for other kinds. The device
    /// records as dirty what is written here.
    pub fn writer(&self) -> Writer<'_> {
        self.buffers.unmarked_writer()
    }

    /// Fills the memory of a read or a report with zeros.
    pub(crate) fn fill_with_zeros(&self) -> io::Result<()> {
        let mut writer = self.writer();
        while let Some(zeros) = ZEROS.get(..writer.remaining().min(ZEROS.len())).filter(|zeros| !zeros.is_empty()) {
            writer.write(zeros).map_err(io::Error::other)?;
        }
        Ok(())
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

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The storage failed; the driver is told of an I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The storage cannot do that; the driver is told so. For what a backend says in its
    /// [`Capabilities`](super::Capabilities) that it can do and turns out not to.
    #[error("the storage cannot do that")]
    Unsupported,
    /// A rule of zones was broken; the driver is told which.
    #[error("{0}")]
    Zone(#[from] ZoneError),
}

/// Which rule of zones a request broke (virtio 1.4, section 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The zone's type or state does not allow it, or its range is wrong.
    #[error("not with this zone as it is")]
    InvalidCommand,
    /// A write that does not start at the write pointer.
    #[error("not at the zone's write pointer")]
    UnalignedWritePointer,
    /// As many zones are open as can be.
    #[error("no more zones can be open")]
    OpenResource,
    /// As many zones are active as can be.
    #[error("no more zones can be active")]
    ActiveResource,
}

/// What came of an operation: for an append, where on the disk its data is, in bytes; for everything else, how many
/// bytes were read (into memory, for a report), written, discarded, zeroed or erased from its start on. Fewer than asked
/// for are a failure, except for a report: the disk ends there.
pub type OperationResult = Result<u64, OperationError>;

/// An operation that has finished.
///
/// Send, not Sync, as the operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation that was submitted.
    pub operation: Box<Operation>,
    /// What came of it.
    pub result: OperationResult,
}
