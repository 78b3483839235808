//! Reads, and writes, that follow one another on the disk become one operation.
//!
//! Which of the requests that are with a device is done first is the device's choice, so those of a batch may be put in order.

use super::Work;
use crate::backend::{BlockQueue, Operation, OperationKind};

/// The most bytes of what was merged.
const MOST_BYTES: u64 = 1 << 20;
/// The most pieces of memory; the system's vectored calls take no more.
const MOST_PIECES: usize = 1024;
/// A batch in a row of so many is put in order on trial, while that does not pay.
const TRIAL: u32 = 16;

/// Whether operations of this kind may be merged.
pub(super) fn may_be(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::Read | OperationKind::Write { .. })
}

/// Puts those side by side that can be merged.
fn order(operation: &Operation) -> (u8, u64) {
    let kind = match operation.kind {
        OperationKind::Read => 0,
        OperationKind::Write { durable: false } => 1,
        _ => 2,
    };
    (kind, operation.offset)
}

/// Whether batches are put in order. For drivers that go anywhere on the disk that is work for nothing.
#[derive(Default)]
pub(super) struct Sort {
    /// Batches to come that are left as they are.
    pause: u32,
}

impl Sort {
    fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    fn has_paid(&mut self, well: bool) {
        self.pause = if well { 0 } else { TRIAL - 1 };
    }
}

impl Work {
    /// Hands the batch to the backend.
    pub(super) fn hand_over(&mut self, engine: &mut dyn BlockQueue) {
        let mut batch = std::mem::take(&mut self.batch);
        let sorted = self.sort.is_due() && !batch.is_sorted_by_key(|operation| order(operation));
        if sorted {
            batch.sort_unstable_by_key(|operation| order(operation));
        }
        let (mut head, mut merged): (Option<Box<Operation>>, u64) = (None, 0);
        for next in batch.drain(..) {
            head = match head.take() {
                None => Some(next),
                Some(mut before) => match before.absorb(next) {
                    Ok(()) => {
                        merged += 1;
                        Some(before)
                    }
                    Err(next) => {
                        self.submit(engine, before);
                        Some(next)
                    }
                },
            };
        }
        if let Some(last) = head {
            self.submit(engine, last);
        }
        self.batch = batch;
        if sorted {
            self.sort.has_paid(merged > 0);
        }
        if merged > 0 {
            self.count(|counters| counters.merged.add(merged));
        }
    }
}

impl Operation {
    /// Takes in the operation that follows it on the disk; gives it back where that cannot be.
    fn absorb(&mut self, next: Box<Operation>) -> Result<(), Box<Operation>> {
        let follows = self.kind == next.kind && self.offset.checked_add(self.len()) == Some(next.offset);
        let fits = follows
            && self.len().saturating_add(next.len()) <= MOST_BYTES
            && self.io_slices().len() + next.io_slices().len() <= MOST_PIECES;
        if fits && self.buffers.append(&next.buffers) {
            self.merged.push(next);
            return Ok(());
        }
        Err(next)
    }
}
