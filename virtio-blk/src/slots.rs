//! The requests of one queue that are with the backend.

use std::time::Instant;

use virtio_core::{GuestBuffers, Ticket};

use crate::backend::Operation;
use crate::request::Range;

/// What is kept of a request meanwhile. Reused, so that in the long run nothing is allocated.
pub(crate) struct Slot {
    /// Here while no request has it.
    pub(crate) operation: Option<Box<Operation>>,
    /// The status byte; for an append, its sector and the status.
    pub(crate) status: GuestBuffers,
    pub(crate) ticket: Option<Ticket>,
    /// What the operation is to do, in bytes: merged ones do more.
    pub(crate) asked: u64,
    /// The ranges that a request is about; they are done one after the other.
    pub(crate) ranges: Vec<Range>,
    /// How many of them are done or being done.
    pub(crate) begun: usize,
    /// Since when the storage has had it, where somebody wants to know.
    pub(crate) since: Option<Instant>,
    /// It took too long, and the backend was told to give it up.
    pub(crate) overdue: bool,
}

/// The slots of a queue, by tag.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
    depth: u16,
}

impl Slots {
    /// At most `depth` slots. They are made as they are needed.
    pub(crate) fn new(depth: u16) -> Slots {
        Slots { slots: Vec::new(), free: Vec::with_capacity(usize::from(depth)), depth }
    }

    /// A free slot, with its operation; it stays free until [`take`](Self::take). None where all are taken, which a
    /// ring does not let happen.
    pub(crate) fn free(&mut self) -> Option<&mut Slot> {
        if self.free.is_empty() {
            let tag = u16::try_from(self.slots.len()).ok().filter(|tag| *tag < self.depth)?;
            self.slots.push(Slot {
                operation: Some(Box::new(Operation::new(tag))),
                status: GuestBuffers::new(),
                ticket: None,
                asked: 0,
                ranges: Vec::new(),
                begun: 0,
                since: None,
                overdue: false,
            });
            self.free.push(tag);
        }
        let tag = *self.free.last()?;
        self.slots.get_mut(usize::from(tag))
    }

    /// Takes the slot that [`free`](Self::free) returned last.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Box<Operation>> {
        let slot = self.slots.get_mut(usize::from(self.free.pop()?))?;
        slot.ticket = Some(ticket);
        slot.operation.take()
    }

    /// The slot of an operation that is out.
    pub(crate) fn get(&mut self, tag: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(tag)).filter(|slot| slot.ticket.is_some())
    }

    /// The slots of operations that are out, by tag.
    pub(crate) fn taken(&mut self) -> impl Iterator<Item = (u16, &mut Slot)> {
        (0..).zip(&mut self.slots).filter(|(_, slot)| slot.ticket.is_some())
    }

    /// Frees a slot, with its operation; both let go of guest memory.
    pub(crate) fn give_back(&mut self, mut operation: Box<Operation>) {
        operation.buffers.clear();
        let tag = operation.tag;
        if let Some(slot) = self.slots.get_mut(usize::from(tag)) {
            slot.status.clear();
            slot.ranges.clear();
            (slot.since, slot.overdue) = (None, false);
            slot.operation = Some(operation);
            self.free.push(tag);
        }
    }
}
