//! From descriptors to buffers: what all layouts have in common in walking a chain.
//!
//! Almost all chains that a driver makes go a short way, and the words for it are these:
//!
//! - A buffer is *plain* if it is not empty and lies wholly in the region of guest memory that was looked up last.
//! - A chain is *single* if it is one descriptor, that is not indirect.
//! - A descriptor is *plain* if its buffer is, and the chain ends with it or goes on with its neighbour in the table, and it
//!   has no flags but `NEXT` and, from some descriptor of the chain on, `WRITE`.
//! - A *run* is plain descriptors one after the other. `Filling::put_run` in `memory/filling.rs` is the loop over them.
//! - What is not plain is *odd*. It may be right all the same: a buffer in another region, or a descriptor that is not
//!   followed by its neighbour. [`Buffers::add`] tells it apart, and after it the next run begins.

use super::error::{ChainFault, RingFault};
use super::wire::WRITE;
use crate::memory::{Behind, Descriptor, Descriptors, Filling, Format, MemoryView, SegmentList};

/// The buffers of the chain that is looked at, and the first thing that is wrong with them.
pub(super) struct Buffers {
    pub(super) list: SegmentList,
    pub(super) fault: Option<ChainFault>,
    /// Chains in which something was, since this was last looked at.
    pub(super) faults: u64,
}

impl Buffers {
    /// For the chains of a queue of `size` descriptors.
    pub(super) fn new(view: &MemoryView, size: u16) -> Buffers {
        Buffers { list: SegmentList::new(view, usize::from(size).min(256)), fault: None, faults: 0 }
    }

    /// A single chain; says whether its buffer is not empty, and in one region. If not, nothing has happened.
    #[inline(always)]
    pub(super) fn put_single(&mut self, view: &MemoryView, descriptor: Descriptor, writable: bool) -> bool {
        self.fault = None;
        let (address, len) = (descriptor.address, descriptor.len());
        self.list.put_single(view, address, len, writable)
            || self.list.put_single_elsewhere(view, address, len, writable)
    }

    /// Begins with a chain.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.fault = None;
        self.list.clear();
    }

    /// Goes on with a chain.
    #[inline(always)]
    pub(super) fn fill<'a>(&'a mut self, view: &MemoryView) -> Filling<'a> {
        self.list.fill(view)
    }

    /// Adds a buffer, plain or odd. `index` is that of its descriptor, in the table that it stands in.
    #[inline]
    pub(super) fn add(&mut self, view: &MemoryView, index: u32, descriptor: Descriptor, writable: bool) {
        let mut filling = self.fill(view);
        if writable && !filling.is_writing() {
            filling.turn();
        }
        let in_order = writable == filling.is_writing();
        let put = in_order && filling.put(descriptor);
        filling.stop();
        if !put {
            self.add_odd(view, index, descriptor, in_order);
        }
    }

    /// Adds an odd buffer: one in another region than the last, or with something wrong with it. What is readable behind what
    /// is writable is left out.
    #[inline(never)]
    fn add_odd(&mut self, view: &MemoryView, index: u32, descriptor: Descriptor, in_order: bool) {
        let index = index as u16;
        let (address, len) = (descriptor.address, descriptor.len());
        if !in_order {
            self.found(ChainFault::Order { index });
        } else if len == 0 {
            self.found(ChainFault::Empty { index });
        } else if !self.list.add(view, address, len) {
            self.found(ChainFault::Unmapped { address, len });
        }
    }

    /// The chain is complete, and was plain from its begin to its end; says whether that is all there is to say of it.
    #[inline(always)]
    pub(super) fn finish_plain(&mut self) -> bool {
        self.list.finish() <= u64::from(u32::MAX)
    }

    /// The chain is complete.
    pub(super) fn finish(&mut self) {
        let bytes = self.list.finish();
        if bytes > u64::from(u32::MAX) {
            self.found(ChainFault::TooLong { len: bytes });
        }
        self.faults += u64::from(self.fault.is_some());
    }

    /// The first fault counts.
    #[cold]
    fn found(&mut self, fault: ChainFault) {
        self.fault.get_or_insert(fault);
    }
}

/// Something that descriptors are read from.
pub(super) trait DescriptorSource {
    /// Descriptor `index`, to be read once. None where it is [`missing`](Self::missing).
    fn read(&self, index: u32) -> Option<Descriptor>;

    /// Why there is no descriptor `next`, that `index` names.
    fn missing(&self, index: u32, next: u32) -> RingFault;

    /// Adds the buffers of a chain from the descriptor `at` on, for as long as they are plain. `expected`: see
    /// `Filling::put_run`.
    fn run<F: Format>(&self, view: &MemoryView, buffers: &mut Buffers, at: WalkAt, expected: u32) -> WalkAt;
}

/// A descriptor in a chain, at which a run begins or ends. All before it were added.
#[derive(Clone, Copy)]
pub(super) struct WalkAt {
    /// Its index in its table.
    pub(super) index: u32,
    pub(super) descriptor: Descriptor,
    /// Whether it was added too, and the chain ends with it.
    pub(super) ended: bool,
}

impl WalkAt {
    #[inline(always)]
    pub(super) fn new(index: u32, descriptor: Descriptor) -> WalkAt {
        WalkAt { index, descriptor, ended: false }
    }
}

impl DescriptorSource for Descriptors<'_> {
    #[inline(always)]
    fn read(&self, index: u32) -> Option<Descriptor> {
        self.get(index)
    }

    /// DRV-RING-06, DRV-IND-06
    #[cold]
    fn missing(&self, index: u32, next: u32) -> RingFault {
        RingFault::Next { index: index as u16, next: next as u16, size: self.count() }
    }

    #[inline(always)]
    fn run<F: Format>(&self, view: &MemoryView, buffers: &mut Buffers, at: WalkAt, expected: u32) -> WalkAt {
        let mut filling = buffers.fill(view);
        let expected = if filling.is_writing() { expected | u32::from(WRITE) } else { expected };
        let (passed, behind) = filling.put_run::<F>(self, at.index, at.descriptor, expected);
        filling.stop();
        let index = at.index + passed;
        match behind {
            Behind::Last(descriptor) => WalkAt { ended: true, ..WalkAt::new(index - 1, descriptor) },
            Behind::Odd(descriptor) => WalkAt::new(index, descriptor),
        }
    }
}

/// A table that is misaligned, or lies in several regions, or outside of guest memory.
pub(super) struct Scattered<'v> {
    pub(super) view: &'v MemoryView,
    pub(super) address: u64,
    pub(super) count: u32,
}

impl DescriptorSource for Scattered<'_> {
    fn read(&self, index: u32) -> Option<Descriptor> {
        if index >= self.count {
            return None;
        }
        let address = self.address.checked_add(16 * u64::from(index))?;
        self.view.descriptor(address)
    }

    fn missing(&self, index: u32, next: u32) -> RingFault {
        if next < self.count {
            return RingFault::TableUnmapped { address: self.address };
        }
        RingFault::Next { index: index as u16, next: next as u16, size: self.count }
    }

    /// None is plain.
    fn run<F: Format>(&self, _: &MemoryView, _: &mut Buffers, at: WalkAt, _: u32) -> WalkAt {
        at
    }
}
