//! One descriptor chain in the hands of the device.

use std::fmt;
use std::mem::ManuallyDrop;

use super::Virtqueue;
use super::error::{ChainFault, RingFault};
use super::taken::Taken;
use crate::memory::{Buffer, Reader, Writer};

/// A descriptor chain that the device has taken.
///
/// Ends in one of [`complete`](Self::complete), [`into_ticket`](Self::into_ticket), [`put_back`](Self::put_back) or
/// [`break_ring`](Self::break_ring). One that is dropped goes back to the driver with nothing written, so that no
/// buffer is ever lost.
///
/// Send, not Sync, as its queue. No call blocks. It borrows the queue, and lends its buffers: there is one at a time, and no
/// reader or writer outlives it.
///
/// ```compile_fail,E0499
/// # fn two(queue: &mut virtio_core::Virtqueue) {
/// let (one, two) = (queue.pop(), queue.pop());
/// # drop((one, two));
/// # }
/// ```
///
/// ```compile_fail,E0505
/// # fn late(chain: virtio_core::Chain<'_>) {
/// let mut reader = chain.reader();
/// chain.complete(0);
/// let _ = reader.read_array::<4>();
/// # }
/// ```
pub struct Chain<'q> {
    queue: &'q mut Virtqueue,
    taken: Taken,
}

impl<'q> Chain<'q> {
    #[inline(always)]
    pub(super) fn new(queue: &'q mut Virtqueue, taken: Taken) -> Chain<'q> {
        Chain { queue, taken }
    }

    /// What is wrong with the chain's buffers, if anything is. The parts that are not guest memory give errors when
    /// they are read or written; the others can be used, to answer the driver.
    #[inline]
    pub fn fault(&self) -> Option<ChainFault> {
        self.queue.buffers.fault
    }

    /// The buffers one by one: those to read, then those to write. One that lies in several regions of guest memory
    /// comes in pieces, and so does what is no guest memory.
    #[inline(always)]
    pub fn buffers(&self) -> impl Iterator<Item = Buffer> {
        self.queue.buffers.list.pieces()
    }

    /// The buffers that the driver gave for the device to read: from their front, each time that this is called.
    #[inline]
    pub fn reader(&self) -> Reader<'_> {
        self.queue.buffers.list.reader()
    }

    /// The buffers that the driver gave for the device to write: from their front, each time that this is called, so what a
    /// second writer writes goes where the first one's went.
    #[inline]
    pub fn writer(&self) -> Writer<'_> {
        self.queue.buffers.list.writer()
    }

    /// The same without the last `tail` bytes, and these: for requests whose answer ends with a status. None where there are
    /// not that many.
    #[inline]
    pub fn writer_and_tail(&self, tail: usize) -> Option<(Writer<'_>, Writer<'_>)> {
        self.queue.buffers.list.writer_and_tail(tail)
    }

    /// Gives the chain back with `len` bytes written from the start of its writable part. The driver sees it after
    /// [`Virtqueue::publish`].
    ///
    /// To tell of more than the writable part has is a bug of the device. It is passed on as it is.
    #[inline(always)]
    pub fn complete(self, len: u32) {
        // Before anything in it can panic: a chain is given back once.
        let mut chain = ManuallyDrop::new(self);
        let taken = chain.taken;
        // A chain is only given out while the ring is whole.
        chain.queue.give_back(taken, len);
    }

    /// Counts the chain as a bad request that was answered in the device's terms, and gives it back.
    pub fn complete_bad_request(self, len: u32) {
        self.queue.count_request_fault();
        self.complete(len);
    }

    /// Keeps the chain to be completed later, in any order, by [`Virtqueue::complete`].
    #[inline]
    pub fn into_ticket(self) -> Ticket {
        let mut chain = ManuallyDrop::new(self);
        let taken = chain.taken;
        chain.queue.defer(taken)
    }

    /// Leaves the chain in the ring: the next [`Virtqueue::pop`] takes it again.
    ///
    /// It is not in flight, and a recorder does not hear of it; it is counted once, when it is taken for good. With IN_ORDER
    /// it keeps its place, for no other is taken before it.
    pub fn put_back(self) {
        let mut chain = ManuallyDrop::new(self);
        let taken = chain.taken;
        let queue = &mut *chain.queue;
        queue.ring.untake(taken);
        queue.tally.bytes -= queue.buffers.list.bytes();
        queue.buffers.faults -= u64::from(queue.buffers.fault.is_some());
    }

    /// The chain cannot be answered in any way that the driver would understand: stops the queue, and has the driver
    /// told that the device needs a reset.
    pub fn break_ring(self) {
        let mut chain = ManuallyDrop::new(self);
        let head = chain.taken.id;
        chain.queue.break_ring(RingFault::NoAnswer { head });
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        if self.queue.fault.is_none() {
            self.queue.give_back(self.taken, 0);
        }
        self.queue.tally.dropped += 1;
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("id", &self.taken.id)
            .field("reader", &self.reader())
            .field("writer", &self.writer())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// A chain that the device has taken and will complete later.
///
/// Losing one leaves the driver's buffer unanswered until the queue is reset.
///
/// Plain data, and used up once:
///
/// ```compile_fail,E0382
/// # fn twice(queue: &mut virtio_core::Virtqueue, ticket: virtio_core::Ticket) {
/// queue.complete(ticket, 0).ok();
/// queue.complete(ticket, 0).ok();
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a chain that is never completed is lost to the driver"]
pub struct Ticket {
    queue: u64,
    taken: Taken,
    /// Its place among those that are in flight, where that matters.
    number: u32,
    /// Bytes of its buffers.
    bytes: u32,
}

impl Ticket {
    pub(super) fn new(queue: u64, taken: Taken, number: u32, bytes: u32) -> Ticket {
        Ticket { queue, taken, number, bytes }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// What is in it, for the queue that it is of.
    pub(super) fn open(self, queue: u64) -> Result<(Taken, u32), WrongQueue> {
        if self.queue == queue { Ok((self.taken, self.number)) } else { Err(WrongQueue(self)) }
    }
}

/// The ticket came from another queue.
#[derive(Debug, thiserror::Error)]
#[error("the ticket is of another queue")]
pub struct WrongQueue(
    /// The ticket, unharmed.
    pub Ticket,
);
