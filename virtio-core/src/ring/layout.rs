//! The seam between a queue and its ring: what each layout can do.

use super::packed::Packed;
use super::split::Split;
use super::taken::{Taken, UsedElement};
use super::walk::Buffers;
use super::{QueuePosition, QueueSetup, RingFault};
use crate::Features;
use crate::memory::MemoryView;

/// The ring itself, in the layout that was negotiated; an empty one where it is gone. There is no variant for that, for a
/// third one is felt with every chain.
pub(super) enum Layout {
    Split(Split),
    Packed(Packed),
}

/// Does the same with the ring of whichever layout.
macro_rules! each {
    ($layout:expr, $ring:ident => $body:expr) => {
        match $layout {
            Layout::Split($ring) => $body,
            Layout::Packed($ring) => $body,
        }
    };
}

/// In the order in which a chain meets them.
impl Layout {
    pub(super) fn new(setup: &QueueSetup, view: &MemoryView) -> Result<Layout, RingFault> {
        if setup.features.contains(Features::RING_PACKED) {
            Ok(Layout::Packed(Packed::new(setup, view)?))
        } else {
            Ok(Layout::Split(Split::new(setup, view)?))
        }
    }

    /// A ring that is nowhere: nothing is read or written, and nothing is ever available.
    pub(super) fn nowhere(view: &MemoryView) -> Layout {
        Layout::Split(Split::nowhere(view))
    }

    /// Looks the areas up again, in memory that has changed.
    pub(super) fn renew(&mut self, setup: &QueueSetup, view: &MemoryView) -> Result<(), RingFault> {
        each!(self, ring => ring.renew(setup, view))
    }

    /// The begin of a batch: lets chains be taken, at most `limit` of them, or so many as have `limit` slots. How many, or
    /// how many slots: zero only where there is nothing. The split layout reads the available index for it; the packed one
    /// reads nothing, and whether a chain is there is seen when it is taken.
    #[inline]
    pub(super) fn look(&mut self, limit: u16) -> Result<u16, RingFault> {
        each!(self, ring => ring.look(limit))
    }

    /// Whether the last look lets more be taken.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        each!(self, ring => ring.may_take())
    }

    /// Takes the next chain, and puts its buffers into `buffers`. Without a fault it fails where there is none.
    #[inline(always)]
    pub(super) fn take(&mut self, view: &MemoryView, buffers: &mut Buffers) -> Result<Taken, Option<RingFault>> {
        each!(self, ring => ring.take(view, buffers))
    }

    /// Gives back the chain that was taken last, as if it had not been.
    pub(super) fn untake(&mut self, taken: Taken) {
        each!(self, ring => ring.untake(taken));
    }

    /// Forgets what the last look lets be taken, so that the next chain is preceded by another; how much that was.
    pub(super) fn forget(&mut self) -> u16 {
        each!(self, ring => ring.forget())
    }

    /// Where the chain that was taken last was made available: its entry of the available ring, or its first slot.
    pub(super) fn last_slot(&self, taken: Taken) -> u16 {
        each!(self, ring => ring.last_slot(taken))
    }

    /// Chains taken since this was asked last.
    pub(super) fn count_taken(&mut self) -> u16 {
        each!(self, ring => ring.count_taken())
    }

    /// Writes what the driver is told of a chain. It does not see that before it is published.
    #[inline(always)]
    pub(super) fn stage(&mut self, element: UsedElement) {
        each!(self, ring => ring.stage(element));
    }

    /// Whether something is staged.
    #[inline]
    pub(super) fn has_staged(&self) -> bool {
        each!(self, ring => ring.has_staged())
    }

    /// Shows the driver all that is staged; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        each!(self, ring => ring.publish())
    }

    /// Shows the driver all that is staged; whether it wants an interrupt is decided later, before as much has been shown as
    /// the ring is large.
    pub(super) fn show(&mut self) {
        each!(self, ring => ring.show());
    }

    /// Elements or slots that were shown or staged, and not decided on.
    pub(super) fn undecided(&self) -> u16 {
        each!(self, ring => ring.undecided())
    }

    /// Whether the driver wants an interrupt for what was shown and not decided on.
    pub(super) fn decide(&mut self) -> bool {
        each!(self, ring => ring.decide())
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        each!(self, ring => ring.arm())
    }

    /// Tells the driver that no doorbells are needed for now.
    #[inline]
    pub(super) fn disarm(&mut self) {
        each!(self, ring => ring.disarm());
    }

    pub(super) fn position(&self) -> QueuePosition {
        each!(self, ring => ring.position())
    }
}
