//! Virtqueues, seen from the device.
//!
//! A [`QueueSetup`] is what a driver configured and the transport froze. [`Virtqueue::new`] resolves its areas, and
//! from then on the device takes [`Chain`]s and answers them. In a [`QueueTask`](crate::QueueTask) that is all:
//!
//! ```no_run
//! # fn serve(queue: &mut virtio_core::Virtqueue) {
//! while let Some(chain) = queue.pop() {
//!     let mut answer = chain.writer();
//!     let len = if answer.write(b"hello").is_ok() { 5 } else { 0 };
//!     chain.complete(len);
//! }
//! # }
//! ```
//!
//! A device that works asynchronously turns a chain into a [`Ticket`] and completes that later, in any order.
//!
//! # The rest of the protocol
//!
//! The driver sees nothing of what is complete before the queue is [published](Virtqueue::publish): one index update and
//! one decision on the interrupt for all of it. It rings no doorbell for what it makes available unless the queue is
//! [armed](Virtqueue::arm). The runner of a task does both after each run of it, and a task that wants its answers shown
//! earlier publishes them itself. Who serves a queue without a runner does what follows:
//!
//! ```no_run
//! # fn serve(queue: &mut virtio_core::Virtqueue) {
//! loop {
//!     while let Some(chain) = queue.pop() {
//!         chain.complete(0);
//!     }
//!     queue.publish();
//!     if !queue.arm() {
//!         break; // nothing more: the driver will ring the doorbell
//!     }
//! }
//! # }
//! ```

/// Does the same with the ring of whichever layout.
macro_rules! each_layout {
    ($layout:expr, $ring:ident => $body:expr) => {
        match $layout {
            Layout::Split($ring) => $body,
            Layout::Packed($ring) => $body,
        }
    };
}

mod chain;
mod counters;
mod cursor;
mod error;
mod features;
mod in_order;
mod packed;
mod position;
mod recorder;
mod setup;
mod split;
mod wake;
mod walk;
pub mod wire;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::features::Features;
use crate::memory::MemoryView;

pub use chain::{Chain, Ticket, WrongQueue};
pub use counters::{QueueCounters, QueueCounts};
pub use error::{Area, ChainFault, RingFault};
pub use position::{BadVringBase, QueuePosition};
pub use recorder::{InFlight, Recorder};
pub use setup::{FaultSink, QueueSetup};

use counters::Tally;
use in_order::InOrder;
use packed::Packed;
use split::Split;
use walk::Buffers;

/// The ring itself, in the layout that was negotiated; an empty one where it is [gone](Virtqueue::gone). There is no
/// variant for that, for a third one is felt with every chain.
enum Layout {
    Split(Split),
    Packed(Packed),
}

/// A chain that was taken from a ring.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// What names it when it is given back.
    id: u16,
    /// By how much the used position moves on then.
    slots: u16,
}

/// What the driver is told of a chain that was completed: a used element, or a used descriptor. With IN_ORDER it can stand
/// for a run of chains; then it names the last of them, and the slots are those of all.
#[derive(Clone, Copy, Debug, Default)]
struct UsedElement {
    taken: Taken,
    /// Bytes written.
    len: u32,
}

/// The device side of one virtqueue.
///
/// Send, not Sync: it belongs to one task. No call blocks.
///
/// A broken ring ends by itself: [`pop`](Self::pop) returns nothing more, and the device is told to ask for a reset.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<virtio_core::Virtqueue>();
/// ```
pub struct Virtqueue {
    ring: Layout,
    view: MemoryView,
    /// The chain that is looked at.
    buffers: Buffers,
    /// With IN_ORDER.
    order: Option<InOrder>,
    finish: Finish,
    setup: QueueSetup,
    /// Tells tickets of different queues apart.
    id: u64,
    /// Tickets that are out.
    in_flight: u16,
    /// Chains that may be taken before the next grant.
    granted: u32,
    doorbells: Doorbells,
    /// Takes nothing more.
    stopped: bool,
    /// Where the ring had got, if it is not there any more: it is broken, or the driver has taken its memory back, or never
    /// gave any.
    gone: Option<QueuePosition>,
    fault: Option<RingFault>,
    tally: Tally,
}

/// What there is to do for a chain that is completed as soon as it was taken.
#[derive(Clone, Copy)]
enum Finish {
    /// It is staged.
    Stage,
    /// With IN_ORDER, and nothing that it has to wait for: it goes on with a run.
    Join,
    /// More.
    Aside,
}

/// How the queue stands to doorbells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doorbells {
    /// The driver was asked for one.
    Asked,
    /// It was not, or does not know any more, and there may be nothing to take: before the device sleeps it has to be.
    Due,
    /// There is something to take.
    Needless,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// What a queue is granted that nobody limits.
const UNLIMITED: u32 = u32::MAX;

impl Virtqueue {
    /// The queue that the driver set up, in the layout that it negotiated.
    ///
    /// # Errors
    /// A [`RingFault`] where its size, its position or one of its areas is not what it must be.
    pub fn new(setup: QueueSetup) -> Result<Virtqueue, RingFault> {
        let view = setup.memory.view(Some(setup.doorbell.clone()));
        let packed = setup.features.contains(Features::RING_PACKED);
        let ring = match (setup.idle, packed) {
            (true, _) => Layout::Split(Split::nowhere(&view)),
            (false, true) => Layout::Packed(Packed::new(&setup, &view)?),
            (false, false) => Layout::Split(Split::new(&setup, &view)?),
        };
        let start = if packed { QueuePosition::PACKED_START } else { QueuePosition::SPLIT_START };
        let order = setup.features.contains(Features::IN_ORDER).then(|| InOrder::new(setup.size));
        let mut queue = Virtqueue {
            ring,
            buffers: Buffers::new(&view, setup.size),
            view,
            order,
            finish: Finish::Stage,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            in_flight: 0,
            granted: UNLIMITED,
            doorbells: Doorbells::Due,
            stopped: setup.idle,
            gone: setup.idle.then_some(start),
            fault: None,
            tally: Tally::default(),
            setup,
        };
        queue.decide_finish();
        Ok(queue)
    }

    /// Keeps `finish` true to what it stands for.
    fn decide_finish(&mut self) {
        self.finish = match (&self.order, &self.setup.recorder) {
            (_, Some(_)) => Finish::Aside,
            (Some(order), None) if order.has_pending() => Finish::Aside,
            (Some(_), None) => Finish::Join,
            (None, None) => Finish::Stage,
        };
    }

    /// The next chain that the driver made available.
    ///
    /// None where there is nothing, or what was granted is used up, or the queue has been stopped, or the ring is broken.
    #[inline(always)] // in the midst of a device's loop: what is rare in it is a call
    pub fn pop(&mut self) -> Option<Chain<'_>> {
        if !each_layout!(&self.ring, ring => ring.may_take()) && !self.look() {
            return None;
        }
        let taken = each_layout!(&mut self.ring, ring => ring.take(&self.view, &mut self.buffers));
        let taken = match taken {
            Ok(taken) => taken,
            Err(fault) => {
                self.none_taken(fault);
                return None;
            }
        };
        self.tally.bytes += self.buffers.list.bytes();
        Some(Chain::new(self, taken))
    }

    /// No chain was there, or the ring is broken. What this look had of the grant is left for the next one.
    #[cold]
    fn none_taken(&mut self, fault: Option<RingFault>) {
        self.forget();
        self.found(0);
        if let Some(fault) = fault {
            self.break_ring(fault);
        }
    }

    /// The begin of a batch: takes over changes of memory, and looks for what is available.
    #[inline(never)]
    fn look(&mut self) -> bool {
        if !self.refresh_memory() || self.stopped {
            return false;
        }
        self.forget();
        let limit = self.granted.min(u16::MAX.into()) as u16;
        match each_layout!(&mut self.ring, ring => ring.look(limit)) {
            Ok(chains) => {
                if self.granted != UNLIMITED {
                    self.granted = self.granted.saturating_sub(chains.into());
                }
                self.found(chains);
                chains != 0
            }
            Err(fault) => {
                self.break_ring(fault);
                false
            }
        }
    }

    /// Notes what a look has found: doorbells are not needed while there is something to take.
    fn found(&mut self, chains: u16) {
        self.doorbells = if chains == 0 { Doorbells::Due } else { Doorbells::Needless };
    }

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

    /// Has the next chain be preceded by a look.
    fn forget(&mut self) {
        let unspent = each_layout!(&mut self.ring, ring => ring.forget());
        if self.granted != UNLIMITED {
            self.granted = self.granted.saturating_add(unspent.into());
        }
    }

    /// Takes over changes of memory, if there are any: done by itself at the begin of each batch, by a queue that takes
    /// nothing more too, for somebody may wait until the old mapping is not used. Says whether the ring is still there.
    pub fn refresh_memory(&mut self) -> bool {
        if self.view.is_stale() {
            self.view.refresh();
            self.buffers.list.renew(&self.view);
            if self.gone.is_some() {
                self.ring = Layout::Split(Split::nowhere(&self.view));
            } else if let Err(fault) = each_layout!(&mut self.ring, ring => ring.renew(&self.setup, &self.view)) {
                self.break_ring(fault);
            }
        }
        self.gone.is_none()
    }

    /// Gives back the chain of a ticket with `len` bytes written from the start of its writable part. The driver sees
    /// it after [`publish`](Self::publish); with IN_ORDER, when those before it are complete too.
    ///
    /// # Errors
    /// [`WrongQueue`], with the ticket, where it came from another queue.
    pub fn complete(&mut self, ticket: Ticket, len: u32) -> Result<(), WrongQueue> {
        let (taken, number) = ticket.open(self.id)?;
        self.in_flight -= 1;
        if self.fault.is_some() {
            return Ok(());
        }
        let record = |chain| record_staged(&self.setup, chain);
        match &mut self.order {
            Some(order) => {
                order.complete_deferred(number, len, record, |element| stage(&mut self.ring, element));
                self.decide_finish();
            }
            None => {
                let element = UsedElement { taken, len };
                record(element);
                stage(&mut self.ring, element);
            }
        }
        Ok(())
    }

    /// Gives back the chain that was taken last.
    #[inline(always)]
    fn give_back(&mut self, taken: Taken, len: u32) {
        let element = UsedElement { taken, len };
        match self.finish {
            Finish::Stage => stage(&mut self.ring, element),
            Finish::Join => self.join(element),
            Finish::Aside => self.give_back_aside(element),
        }
    }

    /// With IN_ORDER, gives back the chain that was taken last, and is the oldest.
    #[inline(always)]
    fn join(&mut self, element: UsedElement) {
        let writable = self.buffers.list.writable_bytes();
        if let Some(order) = &mut self.order
            && let Some(element) = order.join(element, writable)
        {
            stage(&mut self.ring, element);
        }
    }

    #[inline(never)]
    fn give_back_aside(&mut self, element: UsedElement) {
        self.record_popped(element.taken);
        let writable = self.buffers.list.writable_bytes();
        if let Some(order) = &mut self.order
            && order.has_pending()
        {
            return order.wait(element, writable);
        }
        record_staged(&self.setup, element);
        match self.order {
            Some(_) => self.join(element),
            None => stage(&mut self.ring, element),
        }
    }

    /// Keeps the chain that was taken last.
    fn defer(&mut self, taken: Taken) -> Ticket {
        self.record_popped(taken);
        self.in_flight += 1;
        let Some(order) = &mut self.order else { return Ticket::new(self.id, taken, 0) };
        let number = order.defer(taken, self.buffers.list.writable_bytes());
        self.decide_finish();
        Ticket::new(self.id, taken, number)
    }

    fn record_popped(&self, taken: Taken) {
        if let Some(recorder) = &self.setup.recorder {
            let slot = each_layout!(&self.ring, ring => ring.last_slot(taken));
            recorder.popped(InFlight { id: taken.id, slot, slots: taken.slots });
        }
    }

    /// Shows the driver everything that was completed, and interrupts it if it wants that. Does nothing where there
    /// is nothing new.
    pub fn publish(&mut self) {
        if let Some(element) = self.order.as_mut().and_then(|order| order.flush()) {
            stage(&mut self.ring, element);
        }
        if self.fault.is_none() && each_layout!(&self.ring, ring => ring.has_staged()) {
            if let Some(recorder) = &self.setup.recorder {
                recorder.publishing(self.position());
            }
            let interrupt = each_layout!(&mut self.ring, ring => ring.publish());
            if let Some(recorder) = &self.setup.recorder {
                recorder.published(self.position());
            }
            if interrupt {
                self.setup.interrupt.signal();
                self.tally.interrupts += 1;
            } else {
                self.tally.suppressed += 1;
            }
        }
        self.tally.chain_faults += std::mem::take(&mut self.buffers.faults);
        let taken = each_layout!(&mut self.ring, ring => ring.count_taken());
        self.tally.flush(taken, &self.setup.counters);
    }

    /// Asks for a doorbell when the driver makes more available. True where it has already, or may have, because what was
    /// granted is used up: then there is none to wait for, and the caller goes on. To be called before sleeping, only.
    #[must_use = "chains that are available already may not be announced by a doorbell"]
    pub fn arm(&mut self) -> bool {
        if !self.refresh_memory() || self.stopped {
            return false;
        }
        self.forget();
        if self.granted == 0 {
            return true;
        }
        match each_layout!(&mut self.ring, ring => ring.arm()) {
            Ok(more) => {
                self.doorbells = if more { Doorbells::Needless } else { Doorbells::Asked };
                more
            }
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
            self.doorbells = Doorbells::Due;
        }
    }

    /// Stops the queue for a reason that lies in its structure, and has the driver told that the device needs a reset.
    #[cold]
    pub fn break_ring(&mut self, fault: RingFault) {
        if self.fault.is_some() {
            return;
        }
        // What was answered before is still shown.
        self.publish();
        self.leave_ring();
        self.fault = Some(fault);
        self.setup.counters.ring_fault();
        self.setup.faults.ring_fault(self.setup.index, fault);
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

    /// Stops, and lets go of the ring's memory.
    fn leave_ring(&mut self) {
        self.stop();
        self.gone = Some(self.position());
        self.ring = Layout::Split(Split::nowhere(&self.view));
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

    /// Where the ring stands: with it a queue can go on elsewhere. Meaningful while nothing is in flight, and all that is
    /// complete has been published.
    pub fn position(&self) -> QueuePosition {
        self.gone.unwrap_or_else(|| each_layout!(&self.ring, ring => ring.position()))
    }
}

#[inline(always)]
fn stage(ring: &mut Layout, element: UsedElement) {
    each_layout!(ring, ring => ring.stage(element));
}

#[inline]
fn record_staged(setup: &QueueSetup, UsedElement { taken, len }: UsedElement) {
    if let Some(recorder) = &setup.recorder {
        recorder.staged(taken.id, len);
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
