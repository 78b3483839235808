//! Windows on the ring areas: checked once, then accessed by atomic loads and stores.

use std::sync::Arc;
use std::sync::atomic::{self, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::descriptors::{Descriptor, Descriptors};
use super::regions::{Host, Segment};
use super::view::{MemoryView, Pin};

/// A part of a ring: words that both sides access atomically, by their offset in bytes. Little-endian in memory and native
/// here.
///
/// A [`Window`] is one, and so are the models of the ring's tests.
pub(crate) trait Words {
    fn load_u16(&self, offset: usize, order: Ordering) -> u16;
    fn load_u32(&self, offset: usize, order: Ordering) -> u32;
    fn load_u64(&self, offset: usize, order: Ordering) -> u64;
    fn store_u16(&self, offset: usize, value: u16, order: Ordering);
    fn store_u32(&self, offset: usize, value: u32, order: Ordering);
    fn store_u64(&self, offset: usize, value: u64, order: Ordering);
    /// What was written before is visible before anything is read after.
    fn full_fence(&self);
}

/// A piece of guest memory that holds a part of a ring, aligned to `ALIGN` bytes and mapped for as long as the window
/// lives.
///
/// Offsets must be multiples of the access size; one outside the window reads zero and writes nothing (the ring checks its
/// indexes before, so this is a second fence, not an answer to a driver).
pub(crate) struct Window<const ALIGN: usize> {
    host: Host,
    len: usize,
    address: u64,
    /// Whether what the device writes has to be marked: as long as the pinned map is in use, that does not change.
    marks: bool,
    pin: Arc<Pin>,
}

impl<const ALIGN: usize> Window<ALIGN> {
    /// None where the piece is not aligned on the driver's side or on the host's.
    pub(super) fn new(piece: Segment, pin: Arc<Pin>) -> Option<Window<ALIGN>> {
        let aligned = piece.address.is_multiple_of(ALIGN as u64) && piece.host.0.addr().is_multiple_of(ALIGN);
        let (len, marks) = (piece.len as usize, pin.map.marks);
        aligned.then_some(Window { host: piece.host, len, address: piece.address, marks, pin })
    }

    /// A window that shows nothing.
    pub(crate) fn nowhere(view: &MemoryView) -> Window<ALIGN> {
        Window { host: Host::NULL, len: 0, address: 0, marks: false, pin: view.pin.clone() }
    }

    /// The pointer to `size` bytes at `offset`, aligned to `ACCESS`, where they are inside and the offset is aligned.
    #[inline(always)]
    fn at<const ACCESS: usize>(&self, offset: usize, size: usize) -> Option<*mut u8> {
        const { assert!(ALIGN.is_multiple_of(ACCESS)) };
        let inside = offset.is_multiple_of(ACCESS) && offset.checked_add(size).is_some_and(|end| end <= self.len);
        // SAFETY: the offset is inside the piece, which lies in one mapping; a window that shows nothing has zero only.
        inside.then(|| unsafe { self.host.0.add(offset) })
    }

    /// The window from `offset` on, as `count` entries of `SIZE` bytes; none where it is not that long.
    pub(crate) fn array<const SIZE: usize>(&self, offset: usize, count: u16) -> Option<Array<SIZE>> {
        // Entries are accessed by words of 2, 4 and 8 bytes.
        const { assert!(matches!((SIZE, ALIGN), (2, 2..) | (8, 4..) | (16, 8..))) };
        let first = self.at::<1>(offset, SIZE * usize::from(count))?;
        let aligned = first.addr().is_multiple_of(if SIZE < ALIGN { SIZE } else { ALIGN });
        let address = self.address.wrapping_add(offset as u64);
        aligned.then(|| Array {
            first: Host(first),
            count: count.into(),
            address,
            marks: self.marks,
            pin: self.pin.clone(),
        })
    }

    /// Marks `len` bytes at `offset` as written by the device.
    #[inline(always)]
    pub(crate) fn mark(&self, offset: usize, len: usize) {
        if self.marks {
            self.pin.map.mark(self.address.wrapping_add(offset as u64), len as u64);
        }
    }
}

impl<const ALIGN: usize> Words for Window<ALIGN> {
    #[inline(always)]
    fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        self.at::<2>(offset, 2).map_or(0, |p| {
            // SAFETY: inside, mapped while `pin` lives, aligned because the window and the offset are; everybody else
            // uses atomics or is another process.
            u16::from_le(unsafe { AtomicU16::from_ptr(p.cast()) }.load(order))
        })
    }

    #[inline(always)]
    fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        if let Some(p) = self.at::<2>(offset, 2) {
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU16::from_ptr(p.cast()) }.store(value.to_le(), order);
        }
    }

    #[inline(always)]
    fn load_u32(&self, offset: usize, order: Ordering) -> u32 {
        self.at::<4>(offset, 4).map_or(0, |p| {
            // SAFETY: as in `load_u16`.
            u32::from_le(unsafe { AtomicU32::from_ptr(p.cast()) }.load(order))
        })
    }

    #[inline(always)]
    fn store_u32(&self, offset: usize, value: u32, order: Ordering) {
        if let Some(p) = self.at::<4>(offset, 4) {
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU32::from_ptr(p.cast()) }.store(value.to_le(), order);
        }
    }

    #[inline(always)]
    fn load_u64(&self, offset: usize, order: Ordering) -> u64 {
        self.at::<8>(offset, 8).map_or(0, |p| {
            // SAFETY: as in `load_u16`.
            u64::from_le(unsafe { AtomicU64::from_ptr(p.cast()) }.load(order))
        })
    }

    #[inline(always)]
    fn store_u64(&self, offset: usize, value: u64, order: Ordering) {
        if let Some(p) = self.at::<8>(offset, 8) {
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU64::from_ptr(p.cast()) }.store(value.to_le(), order);
        }
    }

    #[inline(always)]
    fn full_fence(&self) {
        atomic::fence(Ordering::SeqCst);
    }
}

/// Entries of `SIZE` bytes each, of a ring: aligned to their size, but no further than to 16 bytes, and to 4 where they
/// are used elements. Mapped for as long as this lives.
///
/// An entry that is not there reads as none, and writes nothing.
pub(crate) struct Array<const SIZE: usize> {
    first: Host,
    count: u32,
    address: u64,
    /// As in [`Window`].
    marks: bool,
    pin: Arc<Pin>,
}

impl<const SIZE: usize> Array<SIZE> {
    /// No entries.
    pub(crate) fn nowhere(view: &MemoryView) -> Array<SIZE> {
        Array { first: Host::NULL, count: 0, address: 0, marks: false, pin: view.pin.clone() }
    }

    #[inline(always)]
    fn entry(&self, index: u32) -> Option<*mut u8> {
        // SAFETY: there are more than `index` entries of `SIZE` bytes, in one mapping.
        (index < self.count).then(|| unsafe { self.first.0.add(SIZE * index as usize) })
    }

    /// Marks `count` entries from `first` on as written by the device; behind the last one it goes on with the first.
    #[inline(always)]
    pub(crate) fn mark(&self, first: u32, count: u32) {
        if self.marks {
            self.mark_around(first, count);
        }
    }

    #[cold]
    fn mark_around(&self, first: u32, count: u32) {
        let before_end = count.min(self.count.saturating_sub(first));
        for (start, count) in [(first, before_end), (0, count - before_end)] {
            if count != 0 {
                let address = self.address.wrapping_add(SIZE as u64 * u64::from(start));
                self.pin.map.mark(address, SIZE as u64 * u64::from(count));
            }
        }
    }
}

impl Array<2> {
    #[inline(always)]
    pub(crate) fn load(&self, index: u32) -> Option<u16> {
        let p = self.entry(index)?;
        // SAFETY: the entry is inside, mapped while `pin` lives, and aligned as the first is; everybody else uses
        // atomics or is another process.
        Some(u16::from_le(unsafe { AtomicU16::from_ptr(p.cast()) }.load(Ordering::Relaxed)))
    }
}

impl Array<8> {
    /// Writes the two halves of an entry, that need only be aligned to 4 bytes.
    #[inline(always)]
    pub(crate) fn store(&self, index: u32, first: u32, second: u32) {
        if let Some(p) = self.entry(index) {
            let p = p.cast::<u32>();
            // SAFETY: as in `Array::<2>::load`.
            unsafe { AtomicU32::from_ptr(p) }.store(first.to_le(), Ordering::Relaxed);
            // SAFETY: an entry has 8 bytes.
            let p = unsafe { p.add(1) };
            // SAFETY: as in `Array::<2>::load`.
            unsafe { AtomicU32::from_ptr(p) }.store(second.to_le(), Ordering::Relaxed);
        }
    }
}

impl Array<16> {
    /// The descriptors that these entries are.
    #[inline(always)]
    pub(crate) fn descriptors(&self) -> Descriptors<'_> {
        Descriptors::of_ring(&self.pin, self.first.0.cast(), self.count)
    }

    /// An entry, its second half read before the first and whatever is read after it; none where there is no such entry.
    #[inline(always)]
    pub(crate) fn load(&self, index: u32) -> Option<Descriptor> {
        let first = self.entry(index)?.cast::<u64>();
        // SAFETY: an entry has 16 bytes.
        let second = unsafe { first.add(1) };
        // SAFETY: as in `Array::<2>::load`.
        let second = unsafe { AtomicU64::from_ptr(second) }.load(Ordering::Acquire);
        // SAFETY: as above.
        let first = unsafe { AtomicU64::from_ptr(first) }.load(Ordering::Relaxed);
        Some(Descriptor { address: u64::from_le(first), rest: u64::from_le(second) })
    }

    /// Writes the second half of an entry.
    #[inline(always)]
    pub(crate) fn store_second(&self, index: u32, value: u64) {
        if let Some(p) = self.entry(index) {
            // SAFETY: an entry has 16 bytes.
            let p = unsafe { p.add(8) };
            // SAFETY: as in `Array::<2>::load`.
            unsafe { AtomicU64::from_ptr(p.cast()) }.store(value.to_le(), Ordering::Relaxed);
        }
    }
}
