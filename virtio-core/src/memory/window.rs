//! Windows on the ring areas: checked once, then accessed by atomic loads and stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use super::table::Segment;
use super::view::{MemoryView, Pin};

/// A piece of guest memory that holds a part of a ring, mapped for as long as the window lives.
///
/// Values are little-endian in memory and native here. Offsets are in bytes and must be multiples of the access size;
/// one outside the window reads zero and writes nothing (the ring checks its indexes before, so this is a second
/// fence, not an answer to a driver).
pub(crate) struct Window {
    host: *mut u8,
    len: usize,
    address: u64,
    pin: Arc<Pin>,
}

// SAFETY: the memory behind `host` is mapped while `pin` lives, and only accessed by atomics.
unsafe impl Send for Window {}

impl Window {
    /// None where the piece is not aligned to `align` bytes on the driver's side or on the host's, or `align` is less
    /// than the pointer needs for the accesses made through it (2 bytes, and 8 where 64-bit accesses are made).
    pub(super) fn new(piece: Segment, align: usize, pin: Arc<Pin>) -> Option<Window> {
        let aligned = piece.address.is_multiple_of(align as u64) && piece.host.addr().is_multiple_of(align);
        aligned.then_some(Window { host: piece.host, len: piece.len as usize, address: piece.address, pin })
    }

    /// The pointer to `size` bytes at `offset`, where they are inside and aligned.
    #[inline(always)]
    fn at(&self, offset: usize, size: usize) -> Option<*mut u8> {
        let inside = offset < self.len && self.len - offset >= size;
        // SAFETY: the offset is inside the piece, which lies in one mapping.
        inside.then(|| unsafe { self.host.add(offset) }).filter(|p| p.addr().is_multiple_of(size))
    }

    #[inline(always)]
    pub(crate) fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        self.at(offset, 2).map_or(0, |p| {
            // SAFETY: inside, aligned, mapped while `pin` lives; everybody else uses atomics or is another process.
            u16::from_le(unsafe { AtomicU16::from_ptr(p.cast()) }.load(order))
        })
    }

    #[inline(always)]
    pub(crate) fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        if let Some(p) = self.at(offset, 2) {
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU16::from_ptr(p.cast()) }.store(value.to_le(), order);
        }
    }

    #[inline(always)]
    pub(crate) fn load_u64(&self, offset: usize) -> u64 {
        self.at(offset, 8).map_or(0, |p| {
            // SAFETY: as in `load_u16`.
            u64::from_le(unsafe { AtomicU64::from_ptr(p.cast()) }.load(Ordering::Relaxed))
        })
    }

    /// Two 32-bit values side by side. The address need only be aligned to 4 bytes.
    #[inline(always)]
    pub(crate) fn store_pair(&self, offset: usize, first: u32, second: u32) {
        use std::sync::atomic::AtomicU32;
        for (at, value) in [(offset, first), (offset + 4, second)] {
            if let Some(p) = self.at(at, 4) {
                // SAFETY: as in `load_u16`.
                unsafe { AtomicU32::from_ptr(p.cast()) }.store(value.to_le(), Ordering::Relaxed);
            }
        }
    }

    /// Marks `len` bytes at `offset` as written by the device.
    #[inline]
    pub(crate) fn mark(&self, offset: usize, len: usize) {
        self.pin.mark(self.address.wrapping_add(offset as u64), len as u64);
    }
}

/// A table of descriptors in guest memory, not necessarily aligned or in one piece. Each entry is to be read once.
pub(crate) struct DescriptorTable<'v> {
    view: &'v MemoryView,
    address: u64,
    /// The whole table as one piece aligned to 8 bytes, where it is one.
    whole: Option<Segment>,
}

impl<'v> DescriptorTable<'v> {
    pub(super) fn new(view: &'v MemoryView, address: u64, whole: Option<Segment>) -> DescriptorTable<'v> {
        let whole = whole.filter(|piece| piece.host.addr().is_multiple_of(8));
        DescriptorTable { view, address, whole }
    }

    /// The two halves of entry `index`, in native order; none where it is not guest memory.
    #[inline]
    pub(crate) fn entry(&self, index: u32) -> Option<[u64; 2]> {
        let offset = u64::from(index) * 16;
        if let Some(piece) = &self.whole
            && offset + 16 <= u64::from(piece.len)
        {
            // SAFETY: inside the piece, which the view borrowed here keeps mapped.
            let entry = unsafe { piece.host.add(offset as usize).cast::<u64>() };
            // SAFETY: aligned to 8 bytes, as the start of the piece is.
            let low = unsafe { AtomicU64::from_ptr(entry) }.load(Ordering::Relaxed);
            // SAFETY: as above; the entry has 16 bytes.
            let high = unsafe { AtomicU64::from_ptr(entry.add(1)) }.load(Ordering::Relaxed);
            return Some([u64::from_le(low), u64::from_le(high)]);
        }
        let mut bytes = [0; 16];
        self.view.read(self.address.checked_add(offset)?, &mut bytes).ok()?;
        let [low, high] = [0, 8].map(|at| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes));
        Some([low, high])
    }
}
