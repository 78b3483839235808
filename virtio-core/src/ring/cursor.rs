//! Places in a packed ring.

#[cfg(test)]
mod tests;

use super::wire::{AVAIL, USED};
use crate::memory::{Format, PackedChain};

/// A place in the ring, and the lap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) slot: u32,
    /// What the wrap counter of this lap makes of the flags: `AVAIL` or `USED`, whichever is set in a descriptor that
    /// is available. In one that is used, both are set or neither is.
    pub(super) lap: u16,
}

impl Cursor {
    pub(super) fn new(slot: u16, wrap: bool) -> Cursor {
        Cursor { slot: slot.into(), lap: if wrap { AVAIL } else { USED } }
    }

    /// The ring wrap counter.
    #[inline(always)]
    pub(super) fn wrap(self) -> bool {
        self.lap == AVAIL
    }

    /// The flags that mark a descriptor as used, where they are in its second half.
    #[inline(always)]
    pub(super) fn used(self) -> u64 {
        // All bits of `AVAIL` and `USED` where the wrap counter is 1.
        packed_flags(AVAIL | USED) & u64::from(self.lap >> 7 & 1).wrapping_neg()
    }

    /// By how many of the slots of a ring of `size`, which it has, the cursor moves on.
    #[inline(always)]
    pub(super) fn advance(&mut self, by: u32, size: u32) {
        self.slot += by;
        if self.slot >= size {
            self.slot -= size;
            self.lap ^= AVAIL | USED;
        }
    }

    pub(super) fn go_back(&mut self, by: u32, size: u32) {
        if self.slot < by {
            self.slot += size;
            self.lap ^= AVAIL | USED;
        }
        self.slot -= by;
    }

    /// Slots from `other`, that is behind or here, to here: 0 to twice the size.
    #[inline]
    pub(super) fn since(self, other: Cursor, size: u32) -> u32 {
        let lap = |cursor: Cursor| if cursor.wrap() { cursor.slot } else { cursor.slot + size };
        let (here, there) = (lap(self), lap(other));
        if here < there { here + 2 * size - there } else { here - there }
    }

    /// Where the second half of the descriptor is.
    #[inline(always)]
    pub(super) fn flags_offset(self) -> usize {
        16 * self.slot as usize + 8
    }

    /// As an event suppression structure has it.
    #[inline]
    pub(super) fn event(self) -> u32 {
        self.slot | u32::from(self.wrap()) << 15
    }
}

/// Whether publishing from `before` to `now`, in a ring of `size`, has used the slot that the driver's event structure
/// names: be it in the midst of a chain, or behind one that stands for others. A slot that the ring does not have counts as
/// used.
#[inline]
pub(super) fn crosses(event: u32, now: Cursor, before: Cursor, size: u32) -> bool {
    let event = Cursor::new(event as u16 & 0x7fff, event & 1 << 15 != 0);
    event.slot >= size || event.since(before, size) < now.since(before, size)
}

/// Where these flags are in the second half of a descriptor of a packed ring.
pub(super) const fn packed_flags(flags: u16) -> u64 {
    (flags as u64) << PackedChain::FLAGS_AT
}
