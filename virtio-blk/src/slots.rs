//! The requests of one queue that are with the backend.

use virtio_core::{GuestBuffers, Ticket};

use crate::backend::Operation;

/// What is kept of a request meanwhile. Reused, so that in the long run nothing is allocated.
pub(crate) struct Slot {
    /// Here while no request has it.
    pub(crate) operation: Option<Box<Operation>>,
    /// The status byte.
    pub(crate) status: GuestBuffers,
    pub(crate) ticket: Option<Ticket>,
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
            let operation = Some(Box::new(Operation::new(tag)));
            self.slots.push(Slot { operation, status: GuestBuffers::new(), ticket: None });
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

    /// The slot of an operation that has come back, if it was out.
    pub(crate) fn taken(&mut self, tag: u16) -> Option<(&mut Slot, Ticket)> {
        let slot = self.slots.get_mut(usize::from(tag))?;
        let ticket = slot.ticket.take()?;
        Some((slot, ticket))
    }

    /// Frees a slot, with its operation; both let go of guest memory.
    pub(crate) fn give_back(&mut self, mut operation: Box<Operation>) {
        operation.buffers.clear();
        let tag = operation.tag;
        if let Some(slot) = self.slots.get_mut(usize::from(tag)) {
            slot.status.clear();
            slot.operation = Some(operation);
            self.free.push(tag);
        }
    }
}
