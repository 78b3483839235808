//! What a task holds of guest memory.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::descriptors::{self, Descriptor, Descriptors};
use super::ram::GuestRam;
use super::regions::{Place, RegionMap, Segment};
use super::{MemoryError, Window, copy};
use crate::event::Event;

/// Keeps one version of guest memory mapped. Counted per queue, so that counting costs no traffic between threads.
pub(super) struct Pin {
    pub(super) map: Arc<RegionMap>,
}

/// What [`GuestRam`] knows of a view.
pub(super) struct ViewSlot {
    wake: Option<Event>,
}

impl ViewSlot {
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.signal();
        }
    }
}

/// One task's view of guest memory: a version of its regions that stays as it is until the task refreshes it.
///
/// Send, not Sync: it belongs to one task. No call blocks longer than a short mutex.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<virtio_core::MemoryView>();
/// ```
pub struct MemoryView {
    ram: GuestRam,
    pub(super) pin: Arc<Pin>,
    /// Where the last look-up found something, in `pin`'s map.
    last: Cell<Place>,
    /// The same for an indirect table.
    last_indirect_table: Cell<Place>,
    _slot: Arc<ViewSlot>,
}

impl MemoryView {
    pub(super) fn new(ram: GuestRam, wake: Option<Event>) -> MemoryView {
        let slot = Arc::new(ViewSlot { wake });
        let map = ram.register(&slot);
        MemoryView {
            ram,
            pin: Arc::new(Pin { map }),
            last: Cell::default(),
            last_indirect_table: Cell::default(),
            _slot: slot,
        }
    }

    /// Whether memory has changed since the view was made or refreshed.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.ram.0.version.load(Ordering::Acquire) != self.pin.map.version
    }

    /// Moves on to the newest version.
    pub fn refresh(&mut self) {
        let map = self.ram.current_map();
        let (from, to) = (self.pin.map.version, map.version);
        self.last.set(Place::default());
        self.last_indirect_table.set(Place::default());
        self.pin = Arc::new(Pin { map });
        self.ram.0.versions.moved(Some(from), Some(to));
    }

    /// The memory that this is a view of.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// A window on ring memory: one host-contiguous piece, aligned to `ALIGN` on both sides.
    pub(crate) fn window<const ALIGN: usize>(&self, address: u64, len: u32) -> Option<Window<ALIGN>> {
        Window::new(self.find(address, len).filter(|piece| piece.len == len)?, self.pin.clone())
    }

    /// An indirect table of `count` descriptors, where it is one aligned piece of guest memory.
    #[inline(always)]
    pub(crate) fn indirect_table(&self, address: u64, count: u32) -> Option<Descriptors<'_>> {
        Descriptors::of_table(self, address, count)
    }

    /// A descriptor at any address.
    pub(crate) fn descriptor(&self, address: u64) -> Option<Descriptor> {
        descriptors::descriptor_anywhere(self, address)
    }

    /// Where the indirect table of `len` bytes at `address` is, if it is one host-contiguous piece. Such tables may be in another
    /// region than buffers, so their last look-up is kept apart.
    #[inline(always)]
    pub(super) fn indirect_table_place(&self, address: u64, len: u32) -> Option<*mut u8> {
        let near = self.last_indirect_table.get().whole(address, len);
        near.map(|piece| piece.host.0).or_else(|| self.indirect_table_elsewhere(address, len))
    }

    #[inline(never)]
    fn indirect_table_elsewhere(&self, address: u64, len: u32) -> Option<*mut u8> {
        self.last_indirect_table.set(self.pin.map.find(address)?);
        self.last_indirect_table.get().whole(address, len).map(|piece| piece.host.0)
    }

    /// Goes to the region that holds `address`; that one, or that of the last look-up where there is none.
    #[inline]
    pub(super) fn place_of(&self, address: u64) -> Place {
        if let Some(place) = self.pin.map.find(address) {
            self.last.set(place);
        }
        self.last.get()
    }

    /// The region of the last look-up.
    #[inline(always)]
    pub(super) fn place(&self) -> Place {
        self.last.get()
    }

    /// The first host-contiguous piece of `[address, address + len)`, at most `len` bytes long.
    pub(super) fn find(&self, address: u64, len: u32) -> Option<Segment> {
        let place = self.pin.map.find(address)?;
        self.last.set(place);
        place.piece(address, len)
    }

    /// Copies guest memory at `address` into `data`.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`]; `data` may be partly written then.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<(), MemoryError> {
        self.pin.read(address, data)
    }

    /// Copies `data` into guest memory at `address`, and marks it dirty.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`]; memory may be partly written then.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.pin.write(address, data)
    }
}

impl Pin {
    pub(super) fn read(&self, address: u64, data: &mut [u8]) -> Result<(), MemoryError> {
        let error = MemoryError::Unmapped { address, len: data.len() as u64 };
        let (mut at, mut rest) = (address, data);
        while !rest.is_empty() {
            let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let piece = self.map.piece(at, len).ok_or(error)?;
            let (now, later) = rest.split_at_mut(piece.len as usize);
            // SAFETY: the piece was checked against the map that `self` keeps mapped.
            unsafe { copy::from_guest(piece.host.0, now) };
            (at, rest) = (at.wrapping_add(u64::from(piece.len)), later);
        }
        Ok(())
    }

    pub(super) fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        let error = MemoryError::Unmapped { address, len: data.len() as u64 };
        let (mut at, mut rest) = (address, data);
        while !rest.is_empty() {
            let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let piece = self.map.piece(at, len).ok_or(error)?;
            let (now, later) = rest.split_at(piece.len as usize);
            // SAFETY: the piece was checked against the map that `self` keeps mapped.
            unsafe { copy::to_guest(now, piece.host.0) };
            self.mark(at, u64::from(piece.len));
            (at, rest) = (at.wrapping_add(u64::from(piece.len)), later);
        }
        Ok(())
    }

    /// Marks a range as written, where anybody wants to know.
    #[inline]
    pub(super) fn mark(&self, address: u64, len: u64) {
        if self.map.marks {
            self.map.mark(address, len);
        }
    }
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        self.ram.0.versions.moved(Some(self.pin.map.version), None);
    }
}

impl fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryView(version {})", self.pin.map.version)
    }
}
