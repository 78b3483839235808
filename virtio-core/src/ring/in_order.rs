//! `VIRTIO_F_IN_ORDER`: buffers are used in the order in which they were made available, and one used element can stand
//! for a run of them (virtio 1.4, sections 2.7.9 and 2.8.8).
//!
//! A buffer without an element of its own counts as wholly read and written, so a run goes on only over chains whose
//! device-writable part was wholly written; the last chain of a run has its own length in the element.

use std::collections::VecDeque;

use super::taken::{Taken, UsedElement};

/// A chain that is out as a ticket, or was completed before one that is.
struct Pending {
    taken: Taken,
    /// Bytes of its device-writable part.
    writable: u64,
    /// Bytes written, if it was completed.
    len: Option<u32>,
}

/// Holds back what is completed too early, and joins what can be joined.
pub(super) struct InOrder {
    /// From the oldest ticket on. Bounded by the queue size, as chains in flight are.
    pending: VecDeque<Pending>,
    /// The number of the first of them.
    first: u32,
    /// The run that is being extended; all its chains were wholly written. Of no slots where there is none.
    run: UsedElement,
}

impl InOrder {
    pub(super) fn new(size: u16) -> InOrder {
        InOrder { pending: VecDeque::with_capacity(size.into()), first: 0, run: UsedElement::default() }
    }

    /// A chain with so many bytes for the device to write will be completed later; its number.
    pub(super) fn defer(&mut self, taken: Taken, writable: u64) -> u32 {
        self.pending.push_back(Pending { taken, writable, len: None });
        self.first.wrapping_add(self.pending.len() as u32 - 1)
    }

    /// Whether this is the number of the chain that was deferred last, and nothing came after it.
    pub(super) fn is_last(&self, number: u32) -> bool {
        let last = self.first.wrapping_add(self.pending.len() as u32).wrapping_sub(1);
        number == last && self.pending.back().is_some_and(|chain| chain.len.is_none())
    }

    /// That chain is in the ring again.
    pub(super) fn take_back(&mut self) {
        self.pending.pop_back();
    }

    /// Whether anything is in flight.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The chain that was taken last is complete, before others are; `writable` as for [`defer`](Self::defer).
    pub(super) fn wait(&mut self, UsedElement { taken, len }: UsedElement, writable: u64) {
        self.pending.push_back(Pending { taken, writable, len: Some(len) });
    }

    /// The chain that was given this number is complete. Gives `settled` each chain that does not wait any more, and
    /// `emit` what is to be written.
    pub(super) fn complete_deferred(
        &mut self,
        number: u32,
        len: u32,
        settled: impl Fn(UsedElement),
        mut emit: impl FnMut(UsedElement),
    ) {
        if let Some(chain) = self.pending.get_mut(number.wrapping_sub(self.first) as usize) {
            chain.len = Some(len);
        }
        while let Some(&Pending { taken, writable, len: Some(len) }) = self.pending.front() {
            let element = UsedElement { taken, len };
            self.pending.pop_front();
            self.first = self.first.wrapping_add(1);
            settled(element);
            if let Some(element) = self.join(element, writable) {
                emit(element);
            }
        }
    }

    /// The oldest chain is complete, that had so many bytes to write. What is to be written, if the run ends with it.
    #[inline(always)]
    pub(super) fn join(
        &mut self,
        UsedElement { taken: Taken { id, slots }, len }: UsedElement,
        writable: u64,
    ) -> Option<UsedElement> {
        // Chains that are completed and not published take up no more than the ring.
        let slots = self.run.taken.slots.wrapping_add(slots);
        self.run = UsedElement { taken: Taken { id, slots }, len };
        if u64::from(len) >= writable { None } else { self.flush() }
    }

    /// Ends the run, before what is staged is published.
    #[inline]
    pub(super) fn flush(&mut self) -> Option<UsedElement> {
        let run = std::mem::take(&mut self.run);
        (run.taken.slots != 0).then_some(run)
    }
}
