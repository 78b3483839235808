//! Descriptors, wherever they stand: in a ring or in an indirect table.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::view::{MemoryView, Pin};
use crate::ring::wire::WRITE;

/// A private copy of a descriptor, read once, in native order. From the low bits up:
///
/// ```text
///           first half      second half
/// split     address (64)    length (32), flags (16), next (16)
/// packed    address (64)    length (32), buffer id (16), flags (16)
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Descriptor {
    pub(crate) address: u64,
    /// The second half.
    pub(crate) rest: u64,
}

impl Descriptor {
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.rest as u32
    }

    /// Entries of the indirect table that this points at; none if its length is no table's.
    #[inline(always)]
    pub(crate) fn entries(self) -> Option<u32> {
        let len = self.len();
        (len != 0 && len.is_multiple_of(16)).then_some(len / 16)
    }
}

/// What descriptors of a chain have in their second half, behind the length, while they are plain.
///
/// A run knows what it [expects](super::Filling::put_run) of a device-readable descriptor that is followed by its
/// neighbour, as 32 bits: the flags, and above them what the layout may have there.
pub(crate) trait Format {
    /// The bit of the second half at which the flags begin.
    const FLAGS_AT: u32;
    /// What of the 32 bits is compared.
    const COMPARED: u32;
    /// By how much what is expected grows from one descriptor to the next.
    const STEP: u32;
}

/// A chain in the descriptor table, or in an indirect table, of the split layout: above the flags is `next`, which has to
/// name the neighbour.
pub(crate) struct SplitChain;

impl Format for SplitChain {
    const FLAGS_AT: u32 = 32;
    const COMPARED: u32 = u32::MAX;
    const STEP: u32 = 1 << 16;
}

/// A chain in the ring of the packed layout: above the flags is nothing.
pub(crate) struct PackedChain;

impl Format for PackedChain {
    const FLAGS_AT: u32 = 48;
    const COMPARED: u32 = u32::MAX;
    const STEP: u32 = 0;
}

/// An indirect table of the packed layout, in which no flag but `WRITE` means anything.
pub(crate) struct PackedTable;

impl Format for PackedTable {
    const FLAGS_AT: u32 = 48;
    const COMPARED: u32 = WRITE as u32;
    const STEP: u32 = 0;
}

/// Descriptors in one piece of guest memory, aligned to 8 bytes. Each is to be read once.
#[derive(Clone, Copy)]
pub(crate) struct Descriptors<'m> {
    first: *mut u64,
    count: u32,
    /// Whoever keeps the memory mapped.
    _mapped: PhantomData<&'m Pin>,
}

impl<'m> Descriptors<'m> {
    /// `count` descriptors from `first` on, which is aligned to 8 bytes, in memory that `_pin` keeps mapped.
    #[inline(always)]
    pub(super) fn of_ring(_pin: &'m Pin, first: *mut u64, count: u32) -> Descriptors<'m> {
        Descriptors { first, count, _mapped: PhantomData }
    }

    /// Those of a table of `count` at `address`, if that is one aligned piece of guest memory.
    #[inline(always)]
    pub(super) fn of_table(view: &'m MemoryView, address: u64, count: u32) -> Option<Descriptors<'m>> {
        let first = view.indirect_table_place(address, count.checked_mul(16)?)?.cast::<u64>();
        // The view, borrowed here, keeps the piece mapped.
        first.addr().is_multiple_of(8).then_some(Descriptors { first, count, _mapped: PhantomData })
    }

    #[inline(always)]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Descriptor `index`; none where there are fewer.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<Descriptor> {
        // SAFETY: there is one.
        (index < self.count).then(|| unsafe { self.from(index).next_unchecked() })
    }

    /// The descriptors from `index` on, one after the other.
    #[inline(always)]
    pub(super) fn from(&self, index: u32) -> DescriptorRun<'m> {
        let index = index.min(self.count);
        // SAFETY: there are at least `index` of 16 bytes each, in one piece.
        let next = unsafe { self.first.add(2 * index as usize) };
        DescriptorRun { next, left: self.count - index, _mapped: PhantomData }
    }
}

/// Descriptors one after the other, each to be read once.
pub(super) struct DescriptorRun<'m> {
    next: *mut u64,
    /// Descriptors from `next` on, when this was made.
    left: u32,
    /// Whoever keeps the memory mapped.
    _mapped: PhantomData<&'m Pin>,
}

impl DescriptorRun<'_> {
    /// How many there are.
    #[inline(always)]
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// The next one.
    ///
    /// # Safety
    /// Not to be called more often than there are.
    #[inline(always)]
    pub(super) unsafe fn next_unchecked(&mut self) -> Descriptor {
        let first = self.next;
        // SAFETY: by the caller, there was one left, of 16 bytes.
        let second = unsafe { first.add(1) };
        // SAFETY: as above.
        self.next = unsafe { first.add(2) };
        // SAFETY: inside, mapped while whatever is borrowed here lives, aligned because the first is.
        let first = unsafe { AtomicU64::from_ptr(first) }.load(Ordering::Relaxed);
        // SAFETY: as above.
        let second = unsafe { AtomicU64::from_ptr(second) }.load(Ordering::Relaxed);
        Descriptor { address: u64::from_le(first), rest: u64::from_le(second) }
    }
}

/// A descriptor anywhere in guest memory; none where it is not guest memory.
pub(super) fn descriptor_anywhere(view: &MemoryView, address: u64) -> Option<Descriptor> {
    let mut bytes = [0; 16];
    view.read(address, &mut bytes).ok()?;
    let half = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    Some(Descriptor { address: half(0), rest: half(8) })
}
