//! From descriptors to buffers: what all layouts have in common in walking a chain.

use super::error::ChainFault;
use crate::memory::{MemoryView, SegmentList};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A private copy of a descriptor, read once.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) len: u32,
    flags: u16,
    /// The next descriptor's index (split layout).
    pub(super) next: u16,
}

impl Descriptor {
    #[inline]
    pub(super) fn new([address, rest]: [u64; 2]) -> Descriptor {
        Descriptor { address, len: rest as u32, flags: (rest >> 32) as u16, next: (rest >> 48) as u16 }
    }

    #[inline]
    pub(super) fn has_next(self) -> bool {
        self.flags & NEXT != 0
    }

    #[inline]
    pub(super) fn is_indirect(self) -> bool {
        self.flags & INDIRECT != 0
    }

    /// Entries of the indirect table that this points at; none if its length is no table's. `WRITE` does not matter
    /// (RING-IND-01).
    #[inline]
    pub(super) fn entries(self) -> Option<u32> {
        (self.len != 0 && self.len.is_multiple_of(16)).then_some(self.len / 16)
    }
}

/// A chain that was taken from a ring.
pub(super) struct Walked {
    /// What names the chain when it is given back.
    pub(super) head: u16,
    /// Bytes of all its buffers.
    pub(super) bytes: u64,
    /// The first thing that is wrong with its buffers.
    pub(super) fault: Option<ChainFault>,
}

/// Collects the buffers of one chain.
pub(super) struct Walk<'a> {
    view: &'a MemoryView,
    list: &'a mut SegmentList,
    bytes: u64,
    fault: Option<ChainFault>,
}

impl<'a> Walk<'a> {
    #[inline]
    pub(super) fn new(view: &'a MemoryView, list: &'a mut SegmentList) -> Walk<'a> {
        list.clear();
        Walk { view, list, bytes: 0, fault: None }
    }

    pub(super) fn view(&self) -> &'a MemoryView {
        self.view
    }

    /// Adds the buffer of a descriptor.
    #[inline]
    pub(super) fn add(&mut self, index: u16, descriptor: Descriptor) {
        let Descriptor { address, len, flags, .. } = descriptor;
        let writable = flags & WRITE != 0;
        if !writable && self.list.has_writable() {
            self.found(ChainFault::Order { index });
        }
        if len == 0 {
            self.found(ChainFault::Empty { index });
            return;
        }
        self.bytes += u64::from(len);
        if !self.list.push(self.view, address, len, writable) {
            self.found(ChainFault::Unmapped { address, len });
        }
    }

    #[cold]
    fn found(&mut self, fault: ChainFault) {
        self.fault.get_or_insert(fault);
    }

    #[inline]
    pub(super) fn done(self, head: u16) -> Walked {
        let too_long = (self.bytes > u64::from(u32::MAX)).then_some(ChainFault::TooLong { len: self.bytes });
        Walked { head, bytes: self.bytes, fault: self.fault.or(too_long) }
    }
}
