//! Guest memory: one region below the hole for devices, one above 4 GiB if there is more.

use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::error::Error;
use crate::layout::{HIGH_RAM_START, LOW_RAM_END};

/// The memory of the machine. Clones share it.
pub(crate) type GuestMemory = GuestMemoryMmap<()>;

/// Start and length of the RAM regions of a machine with `size` bytes.
pub(crate) fn regions(size: u64) -> Vec<(u64, u64)> {
    let low = size.min(LOW_RAM_END);
    let high = size - low;
    let mut regions = vec![(0, low)];
    if high > 0 {
        regions.push((HIGH_RAM_START, high));
    }
    regions
}

/// First address behind the RAM of a machine with `size` bytes.
pub(crate) fn end(size: u64) -> u64 {
    regions(size).last().map_or(0, |(start, length)| start.saturating_add(*length))
}

/// Maps `size` bytes of guest memory.
pub(crate) fn map(size: u64) -> Result<GuestMemory, Error> {
    let ranges = regions(size)
        .into_iter()
        .map(|(start, length)| {
            let length = usize::try_from(length).map_err(|_| Error::MemorySize(size))?;
            Ok((GuestAddress(start), length))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    GuestMemory::from_ranges(&ranges).map_err(|source| Error::MapMemory { size, source })
}
