//! Virtqueues, seen from the device.
//!
//! A [`QueueSetup`] is what a driver configured and the transport froze. [`Virtqueue::new`] resolves its areas, and
//! from then on the device takes [`Chain`]s, answers them, and publishes the answers in batches:
//!
//! ```no_run
//! # fn serve(queue: &mut virtio_core::Virtqueue) {
//! loop {
//!     while let Some(chain) = queue.pop() {
//!         let mut answer = chain.writer();
//!         let len = if answer.write(b"hello").is_ok() { 5 } else { 0 };
//!         chain.complete(len);
//!     }
//!     queue.publish(); // one index update and one decision on the interrupt for all of them
//!     if !queue.arm() {
//!         break; // nothing more: the driver will ring the doorbell
//!     }
//! }
//! # }
//! ```
//!
//! A device that works asynchronously turns a chain into a [`Ticket`] and completes that later, in any order.
//!
//! The layout sits behind the few methods of the private enum `Layout`: look, take, stage, publish, arm. Nothing outside of
//! this module knows which one it is.

/// Does the same with the ring of whichever layout.
macro_rules! each_layout {
    ($layout:expr, $ring:ident => $body:expr) => {
        match $layout {
            Layout::Split($ring) => $body,
        }
    };
}

mod chain;
mod counters;
mod error;
mod setup;
mod split;
mod walk;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::{MemoryView, SegmentList};

pub use chain::{Chain, Ticket, WrongQueue};
pub use counters::{QueueCounters, QueueCounts};
pub use error::{Area, ChainFault, RingFault};
pub use setup::{FaultSink, QueuePosition, QueueSetup};

use counters::Tally;
use split::Split;
use walk::Walked;

/// The ring itself, in the layout that was negotiated.
enum Layout {
    Split(Split),
}

/// The device side of one virtqueue.
///
/// Send, not Sync: it belongs to one task. No call blocks.
///
/// A broken ring ends by itself: [`pop`](Self::pop) returns nothing more, and the device is told to ask for a reset.
pub struct Virtqueue {
    ring: Layout,
    view: MemoryView,
    /// The buffers of the chain that is looked at.
    list: SegmentList,
    /// What is wrong with them.
    chain_fault: Option<ChainFault>,
    setup: QueueSetup,
    /// Tells tickets of different queues apart.
    id: u64,
    /// Tickets that are out.
    in_flight: u16,
    /// Takes nothing more.
    stopped: bool,
    /// Stopped for good: the driver has taken back the ring's memory.
    retired: bool,
    fault: Option<RingFault>,
    tally: Tally,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Virtqueue {
    /// The queue that the driver set up.
    ///
    /// # Errors
    /// A [`RingFault`] where its size or one of its areas is not what it must be.
    pub fn new(setup: QueueSetup) -> Result<Virtqueue, RingFault> {
        let view = setup.memory.view(Some(setup.doorbell.clone()));
        let ring = Layout::Split(Split::new(&setup, &view)?);
        let list = SegmentList::new(&view, usize::from(setup.size).min(256));
        Ok(Virtqueue {
            ring,
            list,
            chain_fault: None,
            view,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            in_flight: 0,
            stopped: false,
            retired: false,
            fault: None,
            tally: Tally::default(),
            setup,
        })
    }

    /// The next chain that the driver made available.
    ///
    /// Reads the available index once for all chains that it covers. None where there is nothing, or the queue has
    /// been stopped, or the ring is broken.
    #[inline]
    pub fn pop(&mut self) -> Option<Chain<'_>> {
        if !each_layout!(&self.ring, ring => ring.has_seen()) && !self.look() {
            return None;
        }
        match each_layout!(&mut self.ring, ring => ring.take(&self.view, &mut self.list, &mut self.chain_fault)) {
            Ok(Walked { head, bytes }) => {
                self.tally.bytes += bytes;
                if self.chain_fault.is_some() {
                    self.tally.chain_faults += 1;
                }
                Some(Chain::new(self, head))
            }
            Err(fault) => {
                self.break_ring(fault);
                None
            }
        }
    }

    /// The begin of a batch: takes over changes of memory, and reads the available index.
    #[inline(never)]
    fn look(&mut self) -> bool {
        if !self.refresh_memory() || self.stopped {
            return false;
        }
        match each_layout!(&mut self.ring, ring => ring.look()) {
            Ok(more) => more,
            Err(fault) => {
                self.break_ring(fault);
                false
            }
        }
    }

    /// Takes over changes of memory, if there are any: done by itself at the begin of each batch, by a queue that takes
    /// nothing more too, for somebody may wait until the old mapping is not used. Says whether the ring is still there.
    pub fn refresh_memory(&mut self) -> bool {
        if !self.view.is_stale() {
            return !self.is_gone();
        }
        self.view.refresh();
        self.list.renew(&self.view);
        if !self.is_gone()
            && let Err(fault) = each_layout!(&mut self.ring, ring => ring.renew(&self.setup, &self.view))
        {
            self.break_ring(fault);
        }
        if self.is_gone() {
            each_layout!(&mut self.ring, ring => ring.leave(&self.view));
        }
        !self.is_gone()
    }

    /// Whether the ring is not there any more.
    fn is_gone(&self) -> bool {
        self.fault.is_some() || self.retired
    }

    /// Gives back the chain of a ticket with `len` bytes written from the start of its writable part. The driver sees
    /// it after [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`WrongQueue`], with the ticket, where it came from another queue.
    pub fn complete(&mut self, ticket: Ticket, len: u32) -> Result<(), WrongQueue> {
        let head = ticket.head_in(self.id)?;
        self.in_flight -= 1;
        self.stage(head, len);
        Ok(())
    }

    fn stage(&mut self, head: u16, len: u32) {
        if self.fault.is_none() {
            each_layout!(&mut self.ring, ring => ring.stage(head, len));
        }
    }

    /// Shows the driver everything that was completed, and interrupts it if it wants that. Does nothing where there
    /// is nothing new.
    pub fn publish(&mut self) {
        if self.fault.is_none() && each_layout!(&self.ring, ring => ring.has_staged()) {
            if each_layout!(&mut self.ring, ring => ring.publish()) {
                self.setup.interrupt.signal();
                self.tally.interrupts += 1;
            } else {
                self.tally.suppressed += 1;
            }
        }
        let taken = each_layout!(&mut self.ring, ring => ring.count_taken());
        self.tally.flush(taken, &self.setup.counters);
    }

    /// Asks for a doorbell when the driver makes more available. True where it has already: then there is none to
    /// wait for, and the caller goes on. To be called before sleeping, only.
    #[must_use = "chains that are available already may not be announced by a doorbell"]
    pub fn arm(&mut self) -> bool {
        if !self.refresh_memory() || self.stopped {
            return false;
        }
        match each_layout!(&mut self.ring, ring => ring.arm()) {
            Ok(more) => more,
            Err(fault) => {
                self.break_ring(fault);
                false
            }
        }
    }

    /// Tells the driver that doorbells are not needed for now, because the device is at work.
    /// A queue that was stopped is left alone: its memory may have gone to somebody else (DRV-MMIO-06).
    pub fn disarm(&mut self) {
        if !self.stopped {
            each_layout!(&mut self.ring, ring => ring.disarm());
        }
    }

    /// Stops the queue for a reason that lies in its structure, and has the driver told that the device needs a reset.
    pub fn break_ring(&mut self, fault: RingFault) {
        if self.fault.is_some() {
            return;
        }
        // What was answered before is still shown.
        self.publish();
        self.stop();
        self.fault = Some(fault);
        self.setup.counters.ring_fault();
        self.setup.faults.ring_fault(self.setup.index, fault);
    }

    /// Takes nothing more; tickets can still be completed.
    pub fn stop(&mut self) {
        self.stopped = true;
        each_layout!(&mut self.ring, ring => ring.forget());
    }

    /// Takes chains again, unless the ring is broken.
    pub fn start(&mut self) {
        self.stopped = self.is_gone();
    }

    /// Stops for good, and lets go of the ring, whose memory is the driver's again (DRV-MMIO-06). For a queue with
    /// nothing in flight.
    pub(crate) fn retire(&mut self) {
        self.stop();
        self.retired = true;
        each_layout!(&mut self.ring, ring => ring.leave(&self.view));
    }

    /// Counts a well-formed chain whose request is bad and was answered with an error.
    #[inline]
    pub fn count_request_fault(&mut self) {
        self.tally.request_faults += 1;
    }

    /// Chains that are out as tickets.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Why the queue stopped, if it did.
    pub fn fault(&self) -> Option<RingFault> {
        self.fault
    }

    /// The queue's number in its device.
    pub fn index(&self) -> u16 {
        self.setup.index
    }

    /// What the driver configured.
    pub fn setup(&self) -> &QueueSetup {
        &self.setup
    }

    /// The queue's view of guest memory, for buffers that outlive their chain.
    pub fn view(&self) -> &MemoryView {
        &self.view
    }

    /// Where the ring stands: with it a queue can go on elsewhere. Meaningful while nothing is in flight.
    pub fn position(&self) -> QueuePosition {
        each_layout!(&self.ring, ring => ring.position())
    }
}

impl fmt::Debug for Virtqueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Virtqueue")
            .field("index", &self.setup.index)
            .field("size", &self.setup.size)
            .field("position", &self.position())
            .field("in_flight", &self.in_flight)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
