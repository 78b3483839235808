//! Guest memory whose pages somebody keeps where they are.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::regions::Region;
use super::{DiscardInhibitor, GuestBuffers, GuestRam, RawIoSlice};

/// One version of guest memory whose pages were pinned, as buffers that are registered with an io_uring are.
///
/// While it lives, nobody discards pages of that memory: the pinned ones would be left behind, and what is read into
/// them would be lost. It does not keep the memory mapped, and so never holds up a [`MemoryBarrier`](super::MemoryBarrier):
/// what was pinned is accessed by operations alone, and those hold on to their memory. Whoever has it looks at
/// [`is_stale`](Self::is_stale) when memory changes, unpins the pages, and drops it.
///
/// Send and Sync. No call blocks.
pub struct PinnedPages {
    ram: GuestRam,
    version: u64,
    _inhibitor: DiscardInhibitor,
}

impl GuestRam {
    /// Has `pin` pin the pages of guest memory as it is now. It is given the memory behind each region, in the order of
    /// the regions, which stays mapped until it returns. Blocks for as long as `pin` does.
    ///
    /// # Errors
    /// Those of `pin`; nothing is kept from being discarded then.
    pub fn pin_pages<E>(&self, pin: impl FnOnce(&[RawIoSlice]) -> Result<(), E>) -> Result<PinnedPages, E> {
        // First of all: a page that is discarded before it is pinned does no harm, one that is discarded afterwards does.
        let inhibitor = self.inhibit_discards();
        let map = self.current_map();
        let slices: Vec<_> = map.regions.iter().map(Region::io_slice).collect();
        pin(&slices)?;
        Ok(PinnedPages { ram: self.clone(), version: map.version, _inhibitor: inhibitor })
    }
}

impl PinnedPages {
    /// Whether memory has changed since. The pages are of no use any more then, and should be unpinned.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.ram.0.version.load(Ordering::Acquire) != self.version
    }

    /// Whether `buffers` are in these pages: the memory is the same, in the same version.
    #[inline]
    pub fn hold(&self, buffers: &GuestBuffers) -> bool {
        buffers.map().is_some_and(|map| map.version == self.version && Arc::ptr_eq(&map.versions, &self.ram.0.versions))
    }
}

impl fmt::Debug for PinnedPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedPages(version {})", self.version)
    }
}
