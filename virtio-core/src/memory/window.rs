//! Windows on the ring areas: checked once, then accessed by atomic loads and stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::table::Segment;
use super::view::{MemoryView, Pin};

/// A piece of guest memory that holds a part of a ring, aligned to `ALIGN` bytes and mapped for as long as the window
/// lives.
///
/// Values are little-endian in memory and native here. Offsets are in bytes and must be multiples of the access size;
/// one outside the window reads zero and writes nothing (the ring checks its indexes before, so this is a second
/// fence, not an answer to a driver).
pub(crate) struct Window<const ALIGN: usize> {
    host: *mut u8,
    len: usize,
    address: u64,
    /// Whether what the device writes has to be marked: as long as the pinned table is in use, that does not change.
    marks: bool,
    pin: Arc<Pin>,
}

// SAFETY: the memory behind `host` is mapped while `pin` lives, and only accessed by atomics.
unsafe impl<const ALIGN: usize> Send for Window<ALIGN> {}

impl<const ALIGN: usize> Window<ALIGN> {
    /// None where the piece is not aligned on the driver's side or on the host's.
    pub(super) fn new(piece: Segment, pin: Arc<Pin>) -> Option<Window<ALIGN>> {
        let aligned = piece.address.is_multiple_of(ALIGN as u64) && piece.host.addr().is_multiple_of(ALIGN);
        let (len, marks) = (piece.len as usize, pin.table.marks);
        aligned.then_some(Window { host: piece.host, len, address: piece.address, marks, pin })
    }

    /// Closes the window, and lets go of the mapping in favour of that of `view`.
    pub(crate) fn leave(&mut self, view: &MemoryView) {
        // Without a length no access is inside: `host`, whose mapping may go now, is not used again.
        (self.len, self.marks) = (0, false);
        self.pin = view.pin.clone();
    }

    /// The pointer to `size` bytes at `offset`, aligned to `ACCESS`, where they are inside and the offset is aligned.
    #[inline(always)]
    fn at<const ACCESS: usize>(&self, offset: usize, size: usize) -> Option<*mut u8> {
        const { assert!(ALIGN.is_multiple_of(ACCESS)) };
        let inside = offset.is_multiple_of(ACCESS) && offset.checked_add(size).is_some_and(|end| end <= self.len);
        // SAFETY: the offset is inside the piece, which lies in one mapping.
        inside.then(|| unsafe { self.host.add(offset) })
    }

    #[inline(always)]
    pub(crate) fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        self.at::<2>(offset, 2).map_or(0, |p| {
            // SAFETY: inside, mapped while `pin` lives, aligned because the window and the offset are; everybody else
            // uses atomics or is another process.
            u16::from_le(unsafe { AtomicU16::from_ptr(p.cast()) }.load(order))
        })
    }

    #[inline(always)]
    pub(crate) fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        if let Some(p) = self.at::<2>(offset, 2) {
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU16::from_ptr(p.cast()) }.store(value.to_le(), order);
        }
    }

    /// The two halves of the 16-byte descriptor number `index`; none where it is outside.
    #[inline(always)]
    pub(crate) fn descriptor(&self, index: u16) -> Option<[u64; 2]> {
        // SAFETY: as in `load_u16`, for 16 bytes.
        self.at::<8>(16 * usize::from(index), 16).map(|p| unsafe { load_descriptor(p) })
    }

    /// Two 32-bit values side by side. The address need only be aligned to 4 bytes.
    #[inline(always)]
    pub(crate) fn store_pair(&self, offset: usize, first: u32, second: u32) {
        if let Some(p) = self.at::<4>(offset, 8) {
            let p = p.cast::<u32>();
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU32::from_ptr(p) }.store(first.to_le(), Ordering::Relaxed);
            // SAFETY: `at` checked 8 bytes.
            let p = unsafe { p.add(1) };
            // SAFETY: as in `load_u16`.
            unsafe { AtomicU32::from_ptr(p) }.store(second.to_le(), Ordering::Relaxed);
        }
    }

    /// Marks `len` bytes at `offset` as written by the device.
    #[inline(always)]
    pub(crate) fn mark(&self, offset: usize, len: usize) {
        if self.marks {
            self.pin.table.mark(self.address.wrapping_add(offset as u64), len as u64);
        }
    }
}

/// Reads a descriptor once, in two halves.
///
/// # Safety
/// `p` must be aligned to 8 bytes and valid for atomic reads of 16.
#[inline(always)]
unsafe fn load_descriptor(p: *mut u8) -> [u64; 2] {
    let p = p.cast::<u64>();
    // SAFETY: the caller vouches for it.
    let low = unsafe { AtomicU64::from_ptr(p) }.load(Ordering::Relaxed);
    // SAFETY: the second half of the 16 bytes.
    let p = unsafe { p.add(1) };
    // SAFETY: as above.
    let high = unsafe { AtomicU64::from_ptr(p) }.load(Ordering::Relaxed);
    [u64::from_le(low), u64::from_le(high)]
}

/// A table of descriptors in guest memory, not necessarily aligned or in one piece. Each entry is to be read once.
pub(crate) struct DescriptorTable<'v> {
    view: &'v MemoryView,
    address: u64,
    entries: u32,
    /// The whole table, where it is one piece aligned to 8 bytes; else null.
    whole: *mut u8,
}

impl<'v> DescriptorTable<'v> {
    #[inline]
    pub(super) fn new(view: &'v MemoryView, address: u64, entries: u32) -> DescriptorTable<'v> {
        let whole = entries.checked_mul(16).and_then(|len| view.whole(address, len)).map(|piece| piece.host);
        let whole = whole.filter(|host| host.addr().is_multiple_of(8)).unwrap_or(std::ptr::null_mut());
        DescriptorTable { view, address, entries, whole }
    }

    /// The two halves of entry `index`, in native order; none where it is not in the table, or not guest memory.
    #[inline(always)]
    pub(crate) fn entry(&self, index: u16) -> Option<[u64; 2]> {
        if u32::from(index) >= self.entries {
            return None;
        }
        if self.whole.is_null() {
            return self.scattered(index);
        }
        // SAFETY: the table has more than `index` entries, all in one piece, which the view borrowed here keeps mapped.
        let entry = unsafe { self.whole.add(16 * usize::from(index)) };
        // SAFETY: as above; aligned to 8 bytes because `whole` is.
        Some(unsafe { load_descriptor(entry) })
    }

    #[cold]
    fn scattered(&self, index: u16) -> Option<[u64; 2]> {
        let mut bytes = [0; 16];
        self.view.read(self.address.checked_add(16 * u64::from(index))?, &mut bytes).ok()?;
        Some([0, 8].map(|at| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)))
    }
}
