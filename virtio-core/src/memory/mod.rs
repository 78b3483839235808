//! Guest memory as a device sees it.
//!
//! - [`GuestRam`]: the map of regions, changed at run time behind a barrier.
//! - [`MemoryView`]: what a queue's task holds of it; refreshed at batch boundaries.
//! - [`Reader`], [`Writer`]: the two halves of a descriptor chain, or of buffers taken out of one.
//! - [`GuestBuffers`]: pieces of guest memory that an operation in flight holds on to.
//! - [`PinnedPages`]: guest memory whose pages an operating system keeps where they are.
//!
//! This module is where the workspace touches guest memory; but for one line about an epoll, all unsafe code of this crate is
//! here. No
//! reference into guest memory exists anywhere: the driver may write it at any time, so it is only accessed by
//! volatile and atomic operations on pointers that were checked against a region, and whoever holds such a pointer
//! also holds the mapping. `README.md` beside this file argues for each unsafe block.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("descriptors are read by 64-bit atomics, which this machine does not have");

mod barrier;
mod buffers;
mod copy;
mod descriptors;
mod filling;
mod index;
mod io;
mod pinned;
mod ram;
mod regions;
mod segments;
#[cfg(test)]
mod tests;
mod view;
#[cfg(feature = "vm-memory")]
mod vm_memory;
mod window;

pub use barrier::MemoryBarrier;
pub use buffers::{Buffer, GuestBuffers, RawIoSlice};
pub use io::{Reader, Writer};
pub use pinned::PinnedPages;
pub use ram::{DiscardInhibitor, GuestRam, RawRegion};
pub use view::MemoryView;

pub(crate) use descriptors::{Descriptor, Descriptors, Format, PackedChain, PackedTable, SplitChain};
pub(crate) use filling::{Behind, Filling};
pub(crate) use segments::SegmentList;
pub(crate) use window::{Array, Window, Words};

/// Where writes of the device into guest memory are recorded, so that a migration can copy them.
///
/// `mark` is called after the bytes were written and before the driver is told of them.
pub trait DirtyLog: Send + Sync {
    /// `len` bytes from `address` on were written. Ranges may be larger than what was really written, and may lie
    /// outside of what the log covers: such parts are ignored.
    fn mark(&self, address: u64, len: u64);
}

/// Why guest memory could not be accessed or changed. Addresses are device-visible ones, lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The range is not, or not wholly, guest memory.
    #[error("{len:#x} bytes at {address:#x} are not guest memory")]
    Unmapped {
        /// Where the range starts.
        address: u64,
        /// How long it is.
        len: u64,
    },
    /// More was asked for than the buffer has left.
    #[error("{wanted} bytes wanted where {left} are left")]
    Short {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes there were.
        left: usize,
    },
    /// A region is empty, wraps around the address space, or is larger than the host's.
    #[error("a region of {len:#x} bytes cannot start at {start:#x}")]
    BadRegion {
        /// Its first address.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// A region overlaps another one.
    #[error("the region of {len:#x} bytes at {start:#x} overlaps another one")]
    Overlap {
        /// Its first address.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// There is no such region to take away.
    #[error("there is no region of {len:#x} bytes at {start:#x}")]
    NoRegion {
        /// Its first address.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// The region cannot be read and written: an access would end the process.
    #[error("the region at {start:#x} is not mapped for reading and writing")]
    Protected {
        /// Its first address.
        start: u64,
    },
    /// The memory type maps its pages on demand, so no pointer to it can be kept.
    #[error("the region at {start:#x} has no permanent mapping")]
    NotPermanent {
        /// Its first address.
        start: u64,
    },
}
