//! The memory that a device may access.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use super::barrier::{MemoryBarrier, Target, Versions};
use super::index::Index;
use super::regions::{Place, Region, RegionMap};
use super::view::{MemoryView, Pin, ViewSlot};
use super::{DirtyLog, MemoryError};
use crate::event::Event;

/// Guest memory: a sorted map of device-visible ranges and the host memory behind them.
///
/// Cheap to clone; all clones are the same memory. The embedder changes it at run time with [`map`](Self::map),
/// [`unmap`](Self::unmap) and [`replace`](Self::replace): each wakes every task and returns a [`MemoryBarrier`] that
/// completes when nobody accesses what was taken away. A ring whose memory goes away faults; a request whose buffers
/// go away gets an error.
///
/// Send and Sync; no call blocks longer than a short mutex, but for those that pin or discard pages.
#[derive(Clone)]
pub struct GuestRam(pub(super) Arc<Shared>);

pub(super) struct Shared {
    current: Mutex<Current>,
    /// The version of the current map: what a batch compares its own with.
    pub(super) version: AtomicU64,
    pub(super) versions: Arc<Versions>,
    /// Those who want no pages to be discarded. Read by those who discard some, for as long as they do.
    inhibitors: RwLock<usize>,
}

struct Current {
    map: Arc<RegionMap>,
    /// Everybody who has to hear of a change.
    views: Vec<Weak<ViewSlot>>,
}

/// A range of host memory to be used as guest memory.
///
/// Neither Send nor Sync, having a bare pointer in it: to be made where it is used.
pub struct RawRegion {
    /// Its first device-visible address.
    pub start: u64,
    /// Where it is mapped.
    pub host: *mut u8,
    /// Its length in bytes.
    pub len: usize,
    /// A log of this region alone; addresses in it count from the region's start.
    pub dirty: Option<Arc<dyn DirtyLog>>,
}

impl RawRegion {
    /// A region without a log of its own.
    pub fn new(start: u64, host: *mut u8, len: usize) -> RawRegion {
        RawRegion { start, host, len, dirty: None }
    }

    fn owned_by(self, owner: Arc<dyn Any + Send + Sync>) -> Region {
        Region { place: Place::new(self.start, self.len as u64, self.host), dirty: self.dirty, _owner: owner }
    }
}

impl GuestRam {
    /// Guest memory out of host memory that the caller mapped.
    ///
    /// # Errors
    /// [`MemoryError::BadRegion`] and [`MemoryError::Overlap`].
    ///
    /// # Safety
    /// Each region must be valid for reads and writes of its length for as long as `owner` lives, and must only be
    /// accessed by volatile or atomic operations, by other processes or by the guest meanwhile.
    pub unsafe fn from_raw(
        regions: Vec<RawRegion>,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Result<GuestRam, MemoryError> {
        GuestRam::from_regions(regions.into_iter().map(|region| region.owned_by(owner.clone())).collect())
    }

    pub(super) fn from_regions(regions: Vec<Region>) -> Result<GuestRam, MemoryError> {
        let regions = RegionMap::sorted(regions)?;
        let versions = Arc::new(Versions::default());
        let map = Arc::new(new_map(regions, 0, None, &versions));
        Ok(GuestRam(Arc::new(Shared {
            current: Mutex::new(Current { map, views: Vec::new() }),
            version: AtomicU64::new(0),
            versions,
            inhibitors: RwLock::new(0),
        })))
    }

    /// Adds regions.
    ///
    /// # Errors
    /// [`MemoryError::BadRegion`] and [`MemoryError::Overlap`]; nothing has changed then.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw).
    pub unsafe fn map(
        &self,
        regions: Vec<RawRegion>,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Result<MemoryBarrier, MemoryError> {
        self.change(|map| {
            let mut all = map.regions.to_vec();
            all.extend(regions.into_iter().map(|region| region.owned_by(owner.clone())));
            RegionMap::sorted(all)
        })
    }

    /// Takes away the region of exactly `len` bytes at `start`.
    ///
    /// # Errors
    /// [`MemoryError::NoRegion`] where there is none.
    pub fn unmap(&self, start: u64, len: u64) -> Result<MemoryBarrier, MemoryError> {
        self.change(|map| {
            let mut all = map.regions.to_vec();
            let index = all.iter().position(|region| region.range() == (start, len));
            all.remove(index.ok_or(MemoryError::NoRegion { start, len })?);
            Ok(all.into_boxed_slice())
        })
    }

    /// Puts other regions in the place of all there are.
    ///
    /// # Errors
    /// [`MemoryError::BadRegion`] and [`MemoryError::Overlap`]; nothing has changed then.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw).
    pub unsafe fn replace(
        &self,
        regions: Vec<RawRegion>,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Result<MemoryBarrier, MemoryError> {
        self.replace_regions(regions.into_iter().map(|region| region.owned_by(owner.clone())).collect())
    }

    pub(super) fn replace_regions(&self, regions: Vec<Region>) -> Result<MemoryBarrier, MemoryError> {
        self.change(|_| RegionMap::sorted(regions))
    }

    /// As [`replace`](Self::replace), with the regions that `other` has now.
    pub fn replace_with(&self, other: &GuestRam) -> MemoryBarrier {
        let regions = other.current_map().regions.clone();
        let current = self.current();
        let log = current.map.log.clone();
        self.barrier(Target::Released(self.install(current, regions, log)))
    }

    /// Starts (or with `None` ends) the recording of everything that devices write, by device-visible address.
    ///
    /// The barrier completes when every task marks in the new log; from then on each write is in it.
    pub fn set_log(&self, log: Option<Arc<dyn DirtyLog>>) -> MemoryBarrier {
        let current = self.current();
        let regions = current.map.regions.clone();
        self.barrier(Target::Seen(self.install(current, regions, log)))
    }

    /// Asks that nobody discards pages of this memory while the returned guard lives: somebody pins them. Waits until a
    /// [`discard`](Self::discard) that goes on has ended.
    pub fn inhibit_discards(&self) -> DiscardInhibitor {
        *self.0.inhibitors.write().unwrap_or_else(PoisonError::into_inner) += 1;
        DiscardInhibitor(self.0.clone())
    }

    /// Whether somebody asked that no pages are discarded. By the time it is known somebody else may have: whoever is about
    /// to discard some asks [`discard`](Self::discard).
    pub fn discards_inhibited(&self) -> bool {
        *self.inhibitors() != 0
    }

    /// Has `discard` give back pages of this memory, unless somebody asked that nobody does; none then. Nobody pins pages
    /// before it has ended, so it must not wait for anybody who may.
    pub fn discard<T>(&self, discard: impl FnOnce() -> T) -> Option<T> {
        let inhibitors = self.inhibitors();
        (*inhibitors == 0).then(discard)
    }

    fn inhibitors(&self) -> RwLockReadGuard<'_, usize> {
        self.0.inhibitors.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ranges that are mapped now, as (start, length), ascending.
    pub fn regions(&self) -> Vec<(u64, u64)> {
        self.current_map().regions.iter().map(Region::range).collect()
    }

    /// A view for a task. `wake` is signalled when memory changes, so that the task refreshes the view.
    pub fn view(&self, wake: Option<Event>) -> MemoryView {
        MemoryView::new(self.clone(), wake)
    }

    /// Copies guest memory at `address` into `data`. For cold paths: it looks everything up again.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`]; `data` may be partly written then.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<(), MemoryError> {
        Pin { map: self.current_map() }.read(address, data)
    }

    /// Copies `data` into guest memory at `address`, and marks it dirty. For cold paths.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`]; memory may be partly written then.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        Pin { map: self.current_map() }.write(address, data)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current_map(&self) -> Arc<RegionMap> {
        self.current().map.clone()
    }

    /// Enters a view that hears of every change from now on, and gives it the current map.
    pub(super) fn register(&self, slot: &Arc<ViewSlot>) -> Arc<RegionMap> {
        let mut current = self.current();
        current.views.retain(|view| view.strong_count() > 0);
        current.views.push(Arc::downgrade(slot));
        self.0.versions.moved(None, Some(current.map.version));
        current.map.clone()
    }

    /// Puts the regions that `next` makes of the current ones in their place.
    fn change(
        &self,
        next: impl FnOnce(&RegionMap) -> Result<Box<[Region]>, MemoryError>,
    ) -> Result<MemoryBarrier, MemoryError> {
        let current = self.current();
        let regions = next(&current.map)?;
        let log = current.map.log.clone();
        Ok(self.barrier(Target::Released(self.install(current, regions, log))))
    }

    /// Makes a new map the current one; its version.
    fn install(
        &self,
        mut current: MutexGuard<'_, Current>,
        regions: Box<[Region]>,
        log: Option<Arc<dyn DirtyLog>>,
    ) -> u64 {
        let version = current.map.version + 1;
        let old = std::mem::replace(&mut current.map, Arc::new(new_map(regions, version, log, &self.0.versions)));
        self.0.version.store(version, Ordering::Release);
        let views: Vec<_> = current.views.iter().filter_map(Weak::upgrade).collect();
        drop(current);
        // Dropped outside the lock: it may be the last reference, whose drop calls back.
        drop(old);
        for view in views {
            view.wake();
        }
        version
    }

    fn barrier(&self, target: Target) -> MemoryBarrier {
        MemoryBarrier { versions: self.0.versions.clone(), target }
    }
}

fn new_map(
    regions: Box<[Region]>,
    version: u64,
    log: Option<Arc<dyn DirtyLog>>,
    versions: &Arc<Versions>,
) -> RegionMap {
    versions.created(version);
    let marks = log.is_some() || regions.iter().any(|region| region.dirty.is_some());
    RegionMap { index: Index::new(&regions), regions, version, log, marks, versions: versions.clone() }
}

impl fmt::Debug for GuestRam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuestRam").field(&self.current_map().regions).finish()
    }
}

/// While it lives, nobody discards pages of the memory that it came from. See [`GuestRam::inhibit_discards`].
///
/// Send and Sync. Nothing of it blocks longer than a short lock.
pub struct DiscardInhibitor(Arc<Shared>);

impl Drop for DiscardInhibitor {
    fn drop(&mut self) {
        *self.0.inhibitors.write().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

impl fmt::Debug for DiscardInhibitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiscardInhibitor")
    }
}
