//! The device side of one virtqueue, in whichever layout.

mod moderation;
mod run;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use self::moderation::Moderated;
pub use self::moderation::Moderation;
use super::counters::Tally;
use super::in_order::InOrder;
use super::layout::Layout;
use super::taken::{Taken, UsedElement};
use super::walk::Buffers;
use super::{Chain, InFlight, QueuePosition, QueueSetup, RingFault, Ticket, WrongQueue};
use crate::features::Features;
use crate::memory::MemoryView;

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
    pub(super) ring: Layout,
    view: MemoryView,
    /// The chain that is looked at.
    pub(super) buffers: Buffers,
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
    /// Where interrupts are held back.
    moderated: Option<Box<Moderated>>,
    /// Takes nothing more.
    stopped: bool,
    /// Where the ring had got, if it is not there any more: it is broken, or the driver has taken its memory back, or never
    /// gave any.
    gone: Option<QueuePosition>,
    pub(super) fault: Option<RingFault>,
    pub(super) tally: Tally,
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
        let ring = if setup.awaits_enable { Layout::nowhere(&view) } else { Layout::new(&setup, &view)? };
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
            moderated: None,
            stopped: setup.awaits_enable,
            gone: setup.awaits_enable.then_some(start),
            fault: None,
            tally: Tally::default(),
            setup,
        };
        queue.decide_finish();
        Ok(queue)
    }

    /// The next chain that the driver made available.
    ///
    /// None where there is nothing, or what was granted is used up, or the queue has been stopped, or the ring is broken.
    #[inline(always)] // in the midst of a device's loop: what is rare in it is a call
    pub fn pop(&mut self) -> Option<Chain<'_>> {
        if !self.ring.may_take() && !self.look() {
            return None;
        }
        let taken = match self.ring.take(&self.view, &mut self.buffers) {
            Ok(taken) => taken,
            Err(fault) => {
                self.none_taken(fault);
                return None;
            }
        };
        self.tally.bytes += self.buffers.list.bytes();
        Some(Chain::new(self, taken))
    }

    /// Takes over changes of memory, if there are any: done by itself at the begin of each batch, by a queue that takes
    /// nothing more too, for somebody may wait until the old mapping is not used. Says whether the ring is still there.
    pub fn refresh_memory(&mut self) -> bool {
        if self.view.is_stale() {
            self.view.refresh();
            self.buffers.list.renew(&self.view);
            if self.gone.is_some() {
                self.ring = Layout::nowhere(&self.view);
            } else if let Err(fault) = self.ring.renew(&self.setup, &self.view) {
                self.break_ring(fault);
            }
        }
        self.gone.is_none()
    }

    /// Gives back the chain of a ticket with `len` bytes written from the start of its writable part. The driver sees
    /// it after [`publish`](Self::publish); with IN_ORDER, when those before it are complete too. Where the ring is broken, it
    /// never does.
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
                order.complete_deferred(number, len, record, |element| self.ring.stage(element));
                self.decide_finish();
            }
            None => {
                let element = UsedElement { taken, len };
                record(element);
                self.ring.stage(element);
            }
        }
        Ok(())
    }

    /// Leaves the chain of a ticket in the ring, as [`Chain::put_back`] does. Several are put back in the reverse of the order
    /// in which they were taken; after the last of them nothing else may have been taken, and after the first of them nothing
    /// been [published](Self::publish).
    ///
    /// # Errors
    /// [`WrongQueue`], with the ticket, where it came from another queue, or of this one another should be put back first: as
    /// far as the queue knows, which without IN_ORDER it does not. What a driver sees then is a fault of the device.
    pub fn put_back(&mut self, ticket: Ticket) -> Result<(), WrongQueue> {
        if self.order.as_ref().is_some_and(|order| !order.is_last(ticket.number())) {
            return Err(WrongQueue(ticket));
        }
        let bytes = ticket.bytes();
        let (taken, _) = ticket.open(self.id)?;
        self.in_flight -= 1;
        if self.fault.is_some() || self.gone.is_some() {
            return Ok(());
        }
        if let Some(order) = &mut self.order {
            order.take_back();
            self.decide_finish();
        }
        if let Some(recorder) = &self.setup.recorder {
            recorder.put_back(taken.id);
        }
        self.ring.untake(taken);
        self.tally.bytes = self.tally.bytes.wrapping_sub(bytes.into());
        Ok(())
    }

    /// Shows the driver everything that was completed, and interrupts it if it wants that. Does nothing where there
    /// is nothing new.
    pub fn publish(&mut self) {
        if let Some(element) = self.order.as_mut().and_then(|order| order.flush()) {
            self.ring.stage(element);
        }
        if self.fault.is_none() {
            if self.moderated.is_some() {
                self.publish_moderated();
            } else if self.ring.has_staged() {
                let interrupt = self.show_staged(Layout::publish);
                self.interrupt(interrupt);
            }
        }
        self.tally.chain_faults += std::mem::take(&mut self.buffers.faults);
        let taken = self.ring.count_taken();
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
        match self.ring.arm() {
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
            self.ring.disarm();
            self.doorbells = Doorbells::Due;
        }
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

    /// Whether there is no ring any more: it is broken, the driver has reset it, or has not enabled it yet.
    pub fn is_gone(&self) -> bool {
        self.gone.is_some()
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
        self.gone.unwrap_or_else(|| self.ring.position())
    }
}

/// What is behind these calls.
impl Virtqueue {
    /// Shows the driver what is staged, by `show`.
    #[inline(always)]
    fn show_staged<R>(&mut self, show: impl FnOnce(&mut Layout) -> R) -> R {
        if let Some(recorder) = &self.setup.recorder {
            recorder.publishing(self.position());
        }
        let shown = show(&mut self.ring);
        if let Some(recorder) = &self.setup.recorder {
            recorder.published(self.position());
        }
        shown
    }

    /// Interrupts the driver, or does not, and counts that.
    #[inline(always)]
    fn interrupt(&mut self, interrupt: bool) {
        if interrupt {
            self.setup.interrupt.signal();
            self.tally.interrupts += 1;
        } else {
            self.tally.suppressed += 1;
        }
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
        match self.ring.look(limit) {
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

    /// Has the next chain be preceded by a look.
    fn forget(&mut self) {
        let unspent = self.ring.forget();
        if self.granted != UNLIMITED {
            self.granted = self.granted.saturating_add(unspent.into());
        }
    }

    /// Gives back the chain that was taken last.
    #[inline(always)]
    pub(super) fn give_back(&mut self, taken: Taken, len: u32) {
        let element = UsedElement { taken, len };
        match self.finish {
            Finish::Stage => self.ring.stage(element),
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
            self.ring.stage(element);
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
            None => self.ring.stage(element),
        }
    }

    /// Keeps the chain that was taken last.
    pub(super) fn defer(&mut self, taken: Taken) -> Ticket {
        self.record_popped(taken);
        self.in_flight += 1;
        // What counts them goes by the same width.
        let bytes = self.buffers.list.bytes() as u32;
        let Some(order) = &mut self.order else { return Ticket::new(self.id, taken, 0, bytes) };
        let number = order.defer(taken, self.buffers.list.writable_bytes());
        self.decide_finish();
        Ticket::new(self.id, taken, number, bytes)
    }

    fn record_popped(&self, taken: Taken) {
        if let Some(recorder) = &self.setup.recorder {
            let slot = self.ring.last_slot(taken);
            recorder.popped(InFlight { id: taken.id, slot, slots: taken.slots });
        }
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
