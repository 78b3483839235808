//! `VIRTIO_F_IN_ORDER`: buffers are used in the order in which they were made available, and one used element can stand
//! for a run of them (virtio 1.4, sections 2.7.9 and 2.8.8).
//!
//! A buffer without an element of its own counts as wholly read and written, so a run goes on only over chains whose
//! device-writable part was wholly written; the last chain of a run has its own length in the element.

use std::collections::VecDeque;

/// A used element that stands for one chain or for a run of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// The last chain's.
    pub(super) id: u16,
    /// The last chain's.
    pub(super) len: u32,
    /// By how much the used position moves on.
    pub(super) slots: u16,
}

/// A chain that was completed.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    pub(super) element: Element,
    /// Whether its device-writable part was wholly written.
    pub(super) whole: bool,
}

/// A chain that is out as a ticket, or was completed before one that is.
struct Pending {
    id: u16,
    slots: u16,
    /// Bytes of its device-writable part.
    writable: u64,
    len: Option<u32>,
}

/// Holds back what is completed too early, and joins what can be joined.
pub(super) struct InOrder {
    /// From the oldest ticket on. Bounded by the queue size, as chains in flight are.
    pending: VecDeque<Pending>,
    /// The number of the first of them.
    first: u32,
    /// The run that is being extended; all its chains were wholly written. Of no slots where there is none.
    run: Element,
}

impl InOrder {
    pub(super) fn new(size: u16) -> InOrder {
        InOrder { pending: VecDeque::with_capacity(size.into()), first: 0, run: Element::default() }
    }

    /// A chain will be completed later; its number.
    pub(super) fn defer(&mut self, id: u16, slots: u16, writable: u64) -> u32 {
        self.pending.push_back(Pending { id, slots, writable, len: None });
        self.first.wrapping_add(self.pending.len() as u32 - 1)
    }

    /// Whether anything is in flight.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The chain that was taken last is complete, before others are.
    pub(super) fn wait(&mut self, Completed { element: Element { id, len, slots }, whole }: Completed) {
        let writable = if whole { 0 } else { u64::MAX };
        self.pending.push_back(Pending { id, slots, writable, len: Some(len) });
    }

    /// The chain that was given this number is complete. Gives `settled` each chain that does not wait any more, and
    /// `emit` what is to be written.
    pub(super) fn complete_deferred(
        &mut self,
        number: u32,
        len: u32,
        settled: impl Fn(Element),
        mut emit: impl FnMut(Element),
    ) {
        if let Some(chain) = self.pending.get_mut(number.wrapping_sub(self.first) as usize) {
            chain.len = Some(len);
        }
        while let Some(Pending { id, slots, writable, len: Some(len) }) = self.pending.front() {
            let element = Element { id: *id, len: *len, slots: *slots };
            let whole = u64::from(*len) >= *writable;
            self.pending.pop_front();
            self.first = self.first.wrapping_add(1);
            settled(element);
            if let Some(element) = self.join(Completed { element, whole }) {
                emit(element);
            }
        }
    }

    /// The oldest chain is complete. What is to be written, if the run ends with it.
    #[inline(always)]
    pub(super) fn join(&mut self, Completed { element, whole }: Completed) -> Option<Element> {
        // Chains that are completed and not published take up no more than the ring.
        self.run = Element { slots: self.run.slots.wrapping_add(element.slots), ..element };
        if whole { None } else { self.flush() }
    }

    /// Ends the run, before what is staged is published.
    #[inline]
    pub(super) fn flush(&mut self) -> Option<Element> {
        let run = std::mem::take(&mut self.run);
        (run.slots != 0).then_some(run)
    }
}
