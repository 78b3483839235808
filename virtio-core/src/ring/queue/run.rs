//! The side of a queue that is turned to the runner of its task: when it is served, how much of it, and its end.

use std::sync::atomic::Ordering;

use super::{Doorbells, NEXT_ID, Virtqueue};
use crate::ring::RingFault;
use crate::ring::layout::Layout;

/// For the runner of a task. A device whose tasks are run by a [`Runtime`](crate::Runtime) calls none of this: what it
/// starts, stops or grants by itself would undo what the runner decided.
impl Virtqueue {
    /// The task that serves the queue is about to run.
    pub(crate) fn begin_run(&mut self, chains: u32) {
        if self.refresh_memory() && self.doorbells == Doorbells::Asked {
            self.disarm();
        }
        self.grant(chains);
    }

    /// The task that serves the queue has run: what it has completed is shown, and where it found nothing more to take, the
    /// driver is asked for a doorbell. Says whether there is something to take after all. Chains that a task leaves in the
    /// ring are no reason to run it again: it waits for something else.
    pub(crate) fn end_run(&mut self) -> bool {
        self.publish();
        self.forget();
        !self.stopped && (self.granted == 0 || self.doorbells == Doorbells::Due && self.arm())
    }

    /// Lets [`pop`](Self::pop) take at most `chains` chains from now on, until the next grant; in a packed ring a chain
    /// counts as many as it has slots. When they have been taken, [`arm`](Self::arm) says that there is more, so that the
    /// task comes back for it: none of its queues can keep the others, or other tasks, waiting for long. The runner of a
    /// task does this before each run.
    pub fn grant(&mut self, chains: u32) {
        self.forget();
        self.granted = chains;
    }

    /// Takes nothing more; tickets can still be completed.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.forget();
    }

    /// Takes chains again, unless the ring is broken.
    pub fn start(&mut self) {
        self.stopped = self.gone.is_some();
        self.doorbells = Doorbells::Due;
    }

    /// Stops for good, and lets go of the ring, whose memory is the driver's again (DRV-MMIO-06, BASIC-VQRESET-01). For
    /// a queue with nothing in flight: tickets that are out all the same are not taken back any more.
    pub(crate) fn retire(&mut self) {
        self.leave_ring();
        self.id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        self.in_flight = 0;
    }

    /// Stops the queue for a reason that lies in its structure, and has the driver told that the device needs a reset.
    #[cold]
    pub fn break_ring(&mut self, fault: RingFault) {
        if self.fault.is_some() {
            return;
        }
        // What was answered before is still shown, and interrupts are not held back any more.
        self.stop();
        self.publish();
        self.leave_ring();
        self.fault = Some(fault);
        self.setup.counters.ring_fault();
        self.setup.faults.ring_fault(self.setup.index, fault);
    }

    /// Stops, and lets go of the ring's memory.
    fn leave_ring(&mut self) {
        self.stop();
        self.gone = Some(self.position());
        self.ring = Layout::nowhere(&self.view);
    }
}
