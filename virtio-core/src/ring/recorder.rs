//! The seam for a log of what is in flight.

use super::QueuePosition;

/// Hears what becomes of each chain, so that what is in flight can be done again after the device has died.
///
/// Called on the queue's task, in this order for each chain: [`popped`](Self::popped), [`staged`](Self::staged), then
/// [`publishing`](Self::publishing) and [`published`](Self::published) for all that were staged before, with nothing in
/// between but that the driver is shown them. Must not wait for anything. A queue without a recorder pays nothing for it.
pub trait Recorder: Send + Sync {
    /// The device keeps a chain, or is about to complete it: from now on the driver may lose it.
    fn popped(&self, chain: InFlight);

    /// The device has left the chain that `id` names in the ring after all: it will be popped again.
    fn put_back(&self, id: u16);

    /// The chain that `id` names is complete, with `len` bytes written, and the driver will see that when the queue is
    /// published next. With IN_ORDER that is not said of a chain before those in front of it are complete too; so chains
    /// are staged in the order in which the driver gets them back.
    fn staged(&self, id: u16, len: u32);

    /// The driver is about to be shown all that was staged, up to this used position.
    fn publishing(&self, _position: QueuePosition) {}

    /// The driver sees all that was staged.
    fn published(&self, position: QueuePosition);
}

/// A chain in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight {
    /// What names it in a used element: its head, or its buffer id in the packed layout.
    pub id: u16,
    /// Where it was made available: its entry of the available ring, or its first slot in the packed layout.
    pub slot: u16,
    /// How many of those it takes up: 1 in the split layout.
    pub slots: u16,
}
