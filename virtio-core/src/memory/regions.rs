//! The map of the regions that one version of guest memory consists of.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::barrier::Versions;
use super::index::Index;
use super::{DirtyLog, MemoryError, RawIoSlice};

/// Where host memory is that others write while we look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host(pub(super) *mut u8);

// SAFETY: a bare address; whoever uses it argues for that. Those who do take the accesses of this module, which may come
// from any thread.
unsafe impl Send for Host {}

impl Host {
    /// No memory.
    pub(super) const NULL: Host = Host(std::ptr::null_mut());
}

/// One contiguous range of device-visible addresses and the host memory behind it.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) place: Place,
    /// The region's own log; its addresses count from its start.
    pub(super) dirty: Option<Arc<dyn DirtyLog>>,
    /// Keeps the host mapping alive.
    pub(super) _owner: Arc<dyn Any + Send + Sync>,
}

impl Region {
    /// Its start and its length.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.place.start, self.place.len)
    }

    /// The host memory behind it.
    pub(super) fn io_slice(&self) -> RawIoSlice {
        // No region is longer than an `isize`.
        RawIoSlice { base: self.place.host.0, len: self.place.len as usize }
    }

    /// Its first address.
    pub(super) fn start(&self) -> u64 {
        self.place.start
    }

    /// Its last address.
    pub(super) fn last(&self) -> u64 {
        self.place.start + (self.place.len - 1)
    }
}

/// Where a region is, or (by default) no place at all. Valid as long as the map that it came from.
#[derive(Clone, Copy)]
pub(super) struct Place {
    start: u64,
    len: u64,
    host: Host,
}

impl Default for Place {
    fn default() -> Place {
        Place { start: 0, len: 0, host: Host::NULL }
    }
}

// SAFETY: it is never changed, and tells where memory is; what of that is done from several threads is up to those who
// use it, as for `Host`.
unsafe impl Sync for Place {}

impl Place {
    pub(super) fn new(start: u64, len: u64, host: *mut u8) -> Place {
        Place { start, len, host: Host(host) }
    }

    /// Whether it holds `address`.
    #[inline(always)]
    pub(super) fn holds(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.len
    }

    /// Whether it starts at `address` or before.
    pub(super) fn starts_by(&self, address: u64) -> bool {
        self.start <= address
    }

    /// `[address, address + len)`, where that is not empty and wholly in this place.
    #[inline(always)]
    pub(super) fn whole(self, address: u64, len: u32) -> Option<Segment> {
        let offset = address.wrapping_sub(self.start);
        // One that is empty, or wraps around, does not end behind its start.
        let end = offset.wrapping_add(u64::from(len));
        // Two branches that are never taken cost less than one that joins both.
        if end <= offset {
            return none();
        }
        if end > self.len {
            return none();
        }
        // SAFETY: `offset` is below the region's length, so it fits an isize (`RegionMap::sorted` has checked the length)
        // and the pointer stays inside the mapping.
        let host = unsafe { self.host.0.add(offset as usize) };
        Some(Segment { address, host: Host(host), len })
    }

    /// As much of `[address, address + len)` as is in this place, if `address` is.
    pub(super) fn piece(self, address: u64, len: u32) -> Option<Segment> {
        let left = self.len.checked_sub(address.wrapping_sub(self.start))?;
        self.whole(address, len.min(u32::try_from(left).unwrap_or(u32::MAX)))
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, len) = self.range();
        write!(f, "{start:#x}+{len:#x}")
    }
}

/// That it is called keeps the branches of [`Place::whole`] apart.
#[cold]
fn none() -> Option<Segment> {
    None
}

/// A piece of guest memory that is contiguous on the host, resolved and checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(super) address: u64,
    pub(super) host: Host,
    pub(super) len: u32,
}

/// One version of guest memory: immutable, replaced as a whole.
pub(super) struct RegionMap {
    /// Sorted by start, without overlaps.
    pub(super) regions: Box<[Region]>,
    /// Of `regions`.
    pub(super) index: Index,
    pub(super) version: u64,
    /// The log of everything that devices write, by device-visible address.
    pub(super) log: Option<Arc<dyn DirtyLog>>,
    /// Whether any write has to be marked anywhere.
    pub(super) marks: bool,
    pub(super) versions: Arc<Versions>,
}

impl Drop for RegionMap {
    fn drop(&mut self) {
        // The mappings go first, so that whoever waits for their release can rely on it.
        self.regions = Box::default();
        self.versions.released(self.version);
    }
}

impl RegionMap {
    /// Checks and sorts `regions`.
    pub(super) fn sorted(mut regions: Vec<Region>) -> Result<Box<[Region]>, MemoryError> {
        regions.sort_by_key(Region::start);
        for region in &regions {
            let (start, len) = region.range();
            let fits = len.checked_sub(1).and_then(|last| start.checked_add(last));
            // Nothing is further from a pointer than an isize tells.
            if fits.is_none() || isize::try_from(len).is_err() {
                return Err(MemoryError::BadRegion { start, len });
            }
        }
        for pair in regions.windows(2) {
            let ((before, room), (start, len)) = (pair[0].range(), pair[1].range());
            if start - before < room {
                return Err(MemoryError::Overlap { start, len });
            }
        }
        Ok(regions.into_boxed_slice())
    }

    /// Where the region that holds `address` is.
    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<Place> {
        Some(self.index.find(address)?.place)
    }

    /// The first host-contiguous piece of `[address, address + len)`, at most `len` bytes long.
    pub(super) fn piece(&self, address: u64, len: u32) -> Option<Segment> {
        self.find(address)?.piece(address, len)
    }

    /// Marks `[address, address + len)` as written by the device.
    #[cold]
    pub(super) fn mark(&self, mut address: u64, mut len: u64) {
        if let Some(log) = &self.log {
            log.mark(address, len);
        }
        while len > 0 {
            let found = self.index.find(address).and_then(|entry| self.regions.get(entry.region));
            let Some(region) = found else {
                return;
            };
            let (start, room) = region.range();
            let offset = address - start;
            let piece = len.min(room - offset);
            if let Some(dirty) = &region.dirty {
                dirty.mark(offset, piece);
            }
            len -= piece;
            address = address.wrapping_add(piece);
        }
    }
}
