//! Putting the pieces of a chain into a list: the loop that every descriptor goes through.

use super::descriptors::{Descriptor, Descriptors, Format};
use super::regions::{Place, Segment};
use super::segments::Extent;
use crate::ring::wire::{NEXT, WRITE};

/// A list while the pieces of a chain are put into it.
///
/// What changes with every buffer is held here, where the compiler can keep it in registers; [`stop`](Self::stop) gives
/// it back to the list.
pub(crate) struct Filling<'a> {
    /// The region of the last look-up.
    pub(super) place: Place,
    pub(super) slots: &'a mut [Segment],
    /// Where the pieces end that were put.
    pub(super) now: Extent,
    pub(super) turn: &'a mut Extent,
    pub(super) end: &'a mut Extent,
    pub(super) writing: &'a mut bool,
}

/// What came behind a run of plain descriptors (the words are those of `ring/walk.rs`).
pub(crate) enum Behind {
    /// Nothing: the chain's last is among them, and this is it.
    Last(Descriptor),
    /// One that is odd, and was read but not added.
    Odd(Descriptor),
}

impl Filling<'_> {
    /// Adds a buffer if it is plain: not empty, and wholly in the region of the last one. Says whether it was; if not,
    /// nothing has happened.
    #[inline(always)]
    pub(crate) fn put(&mut self, descriptor: Descriptor) -> bool {
        let Some(piece) = self.place.whole(descriptor.address, descriptor.len()) else { return false };
        let Some(slot) = self.slots.get_mut(self.now.pieces) else { return false };
        *slot = piece;
        self.now = Extent { pieces: self.now.pieces + 1, bytes: self.now.bytes + u64::from(piece.len) };
        true
    }

    /// Adds the buffers of a chain from `current` on, which is descriptor number `index` of a table, for as long as they are
    /// plain: in ascending order in the table, and the writable behind the readable ones. How many were added, and what came
    /// behind them.
    ///
    /// `expected` is what `current` has from `FLAGS_AT` on, as far as that is compared, if it is followed by its neighbour, and
    /// is writable if one before it was.
    #[inline(always)]
    pub(crate) fn put_run<F: Format>(
        &mut self,
        table: &Descriptors<'_>,
        index: u32,
        mut current: Descriptor,
        mut expected: u32,
    ) -> (u32, Behind) {
        let (place, before) = (self.place, self.now);
        let mut ahead = table.from(index + 1);
        let room = self.slots.get_mut(before.pieces..).unwrap_or_default();
        let most = (ahead.left() as usize).min(room.len());
        let (mut slot, mut left, mut bytes) = (room.as_mut_ptr(), most, before.bytes);
        while left != 0 {
            let difference = compared::<F>(current) ^ expected;
            if difference != 0 {
                if *self.writing || difference as u16 & !NEXT != WRITE {
                    break;
                }
                *self.writing = true;
                *self.turn = Extent { pieces: before.pieces + most - left, bytes };
                expected |= u32::from(WRITE);
                if difference as u16 != WRITE || difference >> 16 != 0 {
                    break;
                }
            }
            let Some(piece) = place.whole(current.address, current.len()) else { break };
            // SAFETY: this borrows the room, and `left` counts the slots that are left of it.
            unsafe { slot.write(piece) };
            // SAFETY: as above; perhaps behind the last.
            slot = unsafe { slot.add(1) };
            bytes += u64::from(piece.len);
            expected = expected.wrapping_add(F::STEP);
            left -= 1;
            // SAFETY: `left` has counted the descriptors too.
            current = unsafe { ahead.next_unchecked() };
        }
        let passed = most - left;
        self.now = Extent { pieces: before.pieces + passed, bytes };
        // Of the chain's last, `next` means nothing.
        let last = (compared::<F>(current) ^ expected) as u16 == NEXT && self.put(current);
        if last {
            return (passed as u32 + 1, Behind::Last(current));
        }
        (passed as u32, Behind::Odd(current))
    }

    /// Whether what is put is for the device to write.
    #[inline(always)]
    pub(crate) fn is_writing(&self) -> bool {
        *self.writing
    }

    /// What is put from now on is for the device to write.
    #[inline(always)]
    pub(crate) fn turn(&mut self) {
        *self.writing = true;
        *self.turn = self.now;
    }

    /// Gives the list back what was put.
    #[inline(always)]
    pub(crate) fn stop(self) {
        *self.end = self.now;
    }
}

/// What of a descriptor is compared with what is expected of it.
#[inline(always)]
fn compared<F: Format>(descriptor: Descriptor) -> u32 {
    (descriptor.rest >> F::FLAGS_AT) as u32 & F::COMPARED
}
