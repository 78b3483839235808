//! From descriptors to buffers: what all layouts have in common in walking a chain.

use super::error::ChainFault;
use crate::memory::{Filling, MemoryView, SegmentList};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A private copy of a descriptor, read once.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    /// From the low bits up: length (32 bits), flags (16), next (16).
    rest: u64,
}

impl Descriptor {
    #[inline(always)]
    pub(super) fn new([address, rest]: [u64; 2]) -> Descriptor {
        Descriptor { address, rest }
    }

    #[inline(always)]
    pub(super) fn len(self) -> u32 {
        self.rest as u32
    }

    /// Whether one of these flags is set.
    #[inline(always)]
    fn has(self, flags: u16) -> bool {
        self.rest & (u64::from(flags) << 32) != 0
    }

    #[inline(always)]
    pub(super) fn has_next(self) -> bool {
        self.has(NEXT)
    }

    #[inline(always)]
    pub(super) fn is_indirect(self) -> bool {
        self.has(INDIRECT)
    }

    /// Whether it is a chain of its own: nothing follows, and it points at no table.
    #[inline(always)]
    pub(super) fn is_alone(self) -> bool {
        !self.has(NEXT | INDIRECT)
    }

    #[inline(always)]
    pub(super) fn is_writable(self) -> bool {
        self.has(WRITE)
    }

    /// The next descriptor's index (split layout), which is `following` in most chains.
    ///
    /// Deciding by a branch lets the processor go on with its guess before this descriptor has arrived.
    #[inline(always)]
    pub(super) fn next(self, following: u16) -> u16 {
        if (self.rest >> 48) as u16 == following { following } else { self.elsewhere() }
    }

    #[cold]
    #[inline(never)]
    fn elsewhere(self) -> u16 {
        (self.rest >> 48) as u16
    }

    /// Entries of the indirect table that this points at; none if its length is no table's. `WRITE` does not matter
    /// (RING-IND-01).
    #[inline]
    pub(super) fn entries(self) -> Option<u32> {
        (self.len() != 0 && self.len().is_multiple_of(16)).then_some(self.len() / 16)
    }
}

/// A chain that was taken from a ring.
pub(super) struct Walked {
    /// What names the chain when it is given back.
    pub(super) head: u16,
    /// Bytes of all its buffers.
    pub(super) bytes: u64,
}

/// Collects the buffers of one chain, and the first thing that is wrong with them.
pub(super) struct Walk<'a> {
    pieces: Filling<'a>,
    fault: &'a mut Option<ChainFault>,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    pub(super) fn new(view: &'a MemoryView, list: &'a mut SegmentList, fault: &'a mut Option<ChainFault>) -> Walk<'a> {
        Walk { pieces: list.fill(view), fault }
    }

    /// Adds the buffer of a descriptor.
    #[inline(always)]
    pub(super) fn add(&mut self, index: u16, descriptor: Descriptor) {
        if !self.pieces.add_usual(descriptor.address, descriptor.len(), descriptor.is_writable()) {
            self.detour(|view, list, fault| add_unusual(view, list, fault, index, descriptor));
        }
    }

    /// Leaves the list to a function that is not inlined.
    #[inline(always)]
    pub(super) fn detour<R>(
        &mut self,
        act: impl FnOnce(&MemoryView, &mut SegmentList, &mut Option<ChainFault>) -> R,
    ) -> R {
        let fault = &mut *self.fault;
        self.pieces.with_list(|view, list| act(view, list, fault))
    }

    /// Goes on with a chain, in the function that its list was left to.
    #[inline(always)]
    pub(super) fn go_on(
        view: &'a MemoryView,
        list: &'a mut SegmentList,
        fault: &'a mut Option<ChainFault>,
    ) -> Walk<'a> {
        Walk { pieces: list.go_on(view), fault }
    }

    #[inline(always)]
    pub(super) fn done(self, head: u16) -> Walked {
        let bytes = self.pieces.done();
        if bytes > u64::from(u32::MAX) {
            found(self.fault, ChainFault::TooLong { len: bytes });
        }
        Walked { head, bytes }
    }
}

/// Adds a buffer that is in another region than the last one, or has something wrong with it.
#[inline(never)]
fn add_unusual(
    view: &MemoryView,
    list: &mut SegmentList,
    fault: &mut Option<ChainFault>,
    index: u16,
    descriptor: Descriptor,
) {
    let (address, len, writable) = (descriptor.address, descriptor.len(), descriptor.is_writable());
    if !list.in_order(writable) {
        found(fault, ChainFault::Order { index });
    }
    if len == 0 {
        found(fault, ChainFault::Empty { index });
    } else if !list.add(view, address, len, writable) {
        found(fault, ChainFault::Unmapped { address, len });
    }
}

/// The first fault counts.
#[cold]
fn found(fault: &mut Option<ChainFault>, new: ChainFault) {
    fault.get_or_insert(new);
}
