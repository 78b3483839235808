//! The device's side of a script, step by step, and the checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use virtio_core::ring::FaultSink;
use virtio_core::{Buffer, Chain, Event, GuestBuffers, QueuePosition, QueueSetup, RingFault, Ticket, Virtqueue};

use crate::chain::{Seen, mapped_prefix};
use crate::input::{End, Header, Input, MOST_STEPS, Step};
use crate::memory::{Memory, Version, shape};
use crate::ring::{Deeds, Element, Ring};
use crate::walk::walk;

/// What became of an input: so that a test can see that inputs get somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Chains that were taken and not put back.
    pub taken: u64,
    /// Those that were given back.
    pub completed: u64,
    /// Those with something wrong in their buffers.
    pub chain_faults: u64,
    /// Bytes of their buffers.
    pub bytes: u64,
    /// Chains that were dropped.
    pub dropped: u64,
    /// Chains that were answered as bad requests.
    pub request_faults: u64,
    /// Bytes that the device has written into buffers.
    pub written: u64,
    /// Times that the ring went on with a new queue.
    pub restored: u64,
    /// Times that memory was replaced.
    pub replaced: usize,
    /// Why the ring ended, or why there was none.
    pub fault: Option<RingFault>,
}

/// Counts what it is told, and remembers the last.
#[derive(Default)]
struct Told(AtomicU64);

impl FaultSink for Told {
    fn ring_fault(&self, _index: u16, _fault: RingFault) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A ticket, with what has to be known of its chain.
struct Out {
    ticket: Ticket,
    id: u16,
    slots: u32,
    room: u64,
    held: Option<Held>,
}

/// Buffers that outlive their chain.
struct Held {
    buffers: GuestBuffers,
    pieces: Vec<Buffer>,
    content: usize,
}

struct Run {
    memory: Memory,
    ring: Ring,
    setup: QueueSetup,
    queue: Virtqueue,
    /// The version of memory that the queue sees.
    seen: Version,
    told: Arc<Told>,
    interrupts: Arc<AtomicU64>,
    stopped: bool,
    /// Chains that may still be handed out, where that is bounded.
    granted: Option<u32>,
    out: Vec<Out>,
    /// Tickets of queues before this one.
    lost: Vec<Ticket>,
    /// Packed: the descriptors that chains in flight take up.
    slots: u32,
    /// Whether the queue started with nothing in flight.
    fresh: bool,
    /// Completed, but maybe not yet shown.
    unshown: usize,
    /// The element that has to be there after a step.
    element: Option<Element>,
    /// The element that a packed ring shows last.
    withheld: Option<Element>,
    /// The used index of a split ring that has to be there after a step.
    shown: Option<u16>,
    /// Where used elements were written that the driver has not been shown, and that are not in the log yet.
    unmarked: Vec<u64>,
    outcome: Outcome,
}

/// Runs an input.
pub(crate) fn run(data: &[u8], packed: bool) -> Outcome {
    let mut input = Input::new(data);
    let header = Header::read(&mut input);
    match Run::new(&header, packed) {
        Ok(mut run) => {
            for _ in 0..MOST_STEPS {
                let Some(step) = Step::read(&mut input) else { break };
                run.step(step);
            }
            run.end()
        }
        Err(fault) => Outcome { fault: Some(fault), ..Outcome::default() },
    }
}

impl Run {
    fn new(header: &Header, packed: bool) -> Result<Run, RingFault> {
        let mut memory = Memory::new(shape(header.shape));
        memory.drive(0, &header.image);
        let (told, interrupts) = (Arc::new(Told::default()), Arc::new(AtomicU64::new(0)));
        let setup = setup(header, packed, &memory, &told, &interrupts);
        let ring = match setup.position {
            Some(QueuePosition::Packed { available, available_wrap, .. }) => {
                Ring::new(&setup, available, available_wrap)
            }
            _ => Ring::new(&setup, 0, true),
        };
        let queue = Virtqueue::new(setup.clone())?;
        Ok(Run {
            ring,
            queue,
            seen: memory.version(),
            memory,
            fresh: setup.position.is_none(),
            setup,
            told,
            interrupts,
            stopped: false,
            granted: None,
            out: Vec::new(),
            lost: Vec::new(),
            slots: 0,
            unshown: 0,
            element: None,
            withheld: None,
            shown: None,
            unmarked: Vec::new(),
            outcome: Outcome::default(),
        })
    }

    /// The device shows what it has completed.
    fn publish(&mut self) {
        self.queue.publish();
        let shown = self.unshown > 0 && !self.ring.in_order && self.queue.fault().is_none();
        self.element = self.withheld.take().filter(|_| shown);
        if self.fresh && self.queue.fault().is_none() && self.outcome.taken == self.outcome.completed {
            let [next, used] = self.cursors();
            assert_eq!(next, used, "all that was taken has been given back");
        }
        self.shown = (shown && !self.ring.packed).then(|| self.cursors()[1].0);
    }

    /// Runs a step, and checks what can be seen of it.
    fn step(&mut self, step: Step) {
        let (before, fault, interrupts) = (self.seen.clone(), self.queue.fault(), self.interrupts.load(Relaxed));
        let mut deeds = Deeds::default();
        if step.is_driver() {
            return self.act(step, &mut Deeds::default());
        }
        self.act(step, &mut deeds);
        self.catch_up();
        let broke = fault.is_none() && self.queue.fault().is_some();
        // What was answered before is still shown when a ring breaks.
        deeds.published |= broke;
        deeds.completed = self.unshown;
        if fault.is_some() {
            assert_eq!(self.queue.fault(), fault, "a ring breaks once");
            deeds = Deeds::default();
        }
        self.check_memory(&before, deeds);
        // In order, what is completed waits for what was taken before.
        if deeds.published && (!self.ring.in_order || self.out.is_empty()) {
            self.unshown = 0;
        }
        if deeds.published {
            self.withheld = None;
        }
        self.check_queue(broke);
        let sent = self.interrupts.load(Relaxed) - interrupts;
        assert!(sent <= u64::from(deeds.published), "{sent} interrupts");
    }

    fn act(&mut self, step: Step, deeds: &mut Deeds) {
        match step {
            Step::Write { address, bytes } => self.memory.drive(address.into(), &bytes),
            Step::Add { address, amount } => {
                let number = self.memory.u16(address.into()).wrapping_add(amount);
                self.memory.drive(address.into(), &number.to_le_bytes());
            }
            Step::Offer { id, address, len, flags } => self.ring.offer(&mut self.memory, id, address, len, flags),
            Step::Replace { shape: number } => self.memory.replace(shape(number)),
            Step::Log { on } => self.memory.set_log(on),
            Step::Pop { end, read, write, len } => self.pop(end, read, write, len),
            Step::Finish { which, len } => self.finish(which, len),
            Step::Publish => {
                self.publish();
                deeds.published = true;
            }
            Step::Arm => {
                let more = self.queue.arm();
                deeds.armed = true;
                assert!(!(more && (self.stopped || self.queue.fault().is_some())), "nothing comes from a ring at rest");
            }
            Step::Disarm => {
                self.queue.disarm();
                deeds.armed = true;
            }
            Step::Refresh => assert_eq!(self.queue.refresh_memory(), self.queue.fault().is_none()),
            Step::Stop => {
                self.queue.stop();
                self.stopped = true;
            }
            Step::Start => {
                self.queue.start();
                self.stopped = false;
            }
            Step::Restore => self.restore(deeds),
            Step::Grant { chains } => {
                self.queue.grant(chains.into());
                self.granted = Some(chains.into());
            }
        }
    }

    /// Notes which version of memory the queue sees.
    fn catch_up(&mut self) {
        if !self.queue.view().is_stale() {
            self.seen = self.memory.version();
        }
    }

    /// Where the next chain is, and where the next used element goes, each with its wrap counter.
    fn cursors(&self) -> [(u16, bool); 2] {
        match self.queue.position() {
            QueuePosition::Split { available, used, .. } => [(available, false), (used, false)],
            QueuePosition::Packed { available, available_wrap, used, used_wrap, .. } => {
                [(available, available_wrap), (used, used_wrap)]
            }
            position => panic!("{position:?} is new"),
        }
    }

    fn pop(&mut self, end: End, read: u16, write: u16, len: u16) {
        let may = !self.stopped && self.queue.fault().is_none() && self.granted != Some(0);
        let [(next, next_wrap), (used, wrap)] = self.cursors();
        let Some(chain) = self.queue.pop() else { return };
        assert!(may, "a chain out of a ring at rest");
        // Nothing is known of what was written when a chain is taken again.
        let write = if end == End::PutBack { 0 } else { write };
        let mut seen = Seen::new(&chain, read, write);
        let room = seen.room();
        let len = u64::from(len).min(room) as u32;
        let (ticket, held) = finish(chain, end, len);
        self.catch_up();
        let content = self.seen.content;
        let walked = walk(&self.ring, &self.memory, content, next, next_wrap);
        seen.check(&self.memory, content, self.ring.longest_chain(), &walked);
        self.outcome.written += seen.note(&mut self.memory, &self.seen);
        if end == End::PutBack {
            return self.take_again(&seen);
        }
        self.count(&seen, end);
        let slots = self.slots + walked.slots;
        assert!(!self.ring.packed || slots <= self.ring.size.into(), "{slots} descriptors of {}", self.ring.size);
        if let Some(ticket) = ticket {
            self.slots = slots;
            let pieces = seen.writable();
            let held = held.map(|buffers| Held { buffers, pieces, content });
            self.out.push(Out { ticket, id: walked.id, slots: walked.slots, room, held });
        } else if end != End::Break {
            let len = if end == End::Drop { 0 } else { len };
            self.completed(Element { index: used, wrap, id: walked.id, len });
        }
    }

    /// A chain that was put back is the next one.
    fn take_again(&mut self, seen: &Seen) {
        let stale = self.queue.view().is_stale();
        let Some(chain) = self.queue.pop() else {
            assert!(stale || self.granted == Some(0), "a chain that was put back is gone");
            return;
        };
        if !stale {
            assert!(chain.buffers().eq(seen.told().iter().copied()), "another chain than was put back");
        }
        chain.put_back();
    }

    fn count(&mut self, seen: &Seen, end: End) {
        let outcome = &mut self.outcome;
        outcome.taken += 1;
        outcome.bytes += seen.bytes();
        outcome.chain_faults += u64::from(seen.fault.is_some());
        outcome.dropped += u64::from(end == End::Drop);
        outcome.request_faults += u64::from(end == End::BadRequest);
        if let Some(granted) = &mut self.granted {
            *granted -= 1;
        }
        let out = outcome.taken - outcome.completed;
        assert!(out <= u64::from(self.ring.size), "{out} chains out of a queue of {}", self.ring.size);
    }

    /// Notes that a chain has been given back, as this element.
    fn completed(&mut self, element: Element) {
        self.outcome.completed += 1;
        if self.queue.fault().is_some() {
            return;
        }
        self.unshown += 1;
        if self.ring.in_order {
            // It may be told together with others, later.
        } else if self.ring.packed && self.unshown == 1 {
            self.withheld = Some(element);
        } else {
            self.element = Some(element);
        }
    }

    fn finish(&mut self, which: u8, len: u16) {
        if let Some(ticket) = self.lost.pop() {
            let error = self.queue.complete(ticket, len.into());
            assert!(error.is_err(), "a ticket of another queue");
        }
        if self.out.is_empty() {
            return;
        }
        let Out { ticket, id, slots, room, held } = self.out.swap_remove(usize::from(which) % self.out.len());
        if let Some(held) = held {
            self.write_held(held, len);
        }
        let [_, (index, wrap)] = self.cursors();
        let len = u64::from(len).min(room) as u32;
        assert!(self.queue.complete(ticket, len).is_ok());
        self.slots -= slots;
        self.completed(Element { index, wrap, id, len });
    }

    /// Writes into buffers of a chain, whatever has become of memory since it was taken.
    fn write_held(&mut self, Held { buffers, pieces, content }: Held, len: u16) {
        let data = vec![0xa5; usize::from(len).min(buffers.len())];
        assert!(buffers.writer(self.queue.view()).write(&data).is_ok(), "what is held can be written");
        for piece in mapped_prefix(&self.memory, content, &pieces, data.len()) {
            self.memory.written(content, piece.address, &data[..piece.len as usize]);
            self.seen.assert_marked(piece.address);
            self.seen.assert_marked(piece.address + u64::from(piece.len - 1));
        }
        self.outcome.written += data.len() as u64;
    }

    /// Goes on with a new queue where this one stands.
    fn restore(&mut self, deeds: &mut Deeds) {
        self.queue.publish();
        deeds.published = true;
        if self.queue.fault().is_some() || !self.queue.refresh_memory() {
            return;
        }
        self.setup.position = Some(self.queue.position());
        let queue = Virtqueue::new(self.setup.clone()).expect("a ring that is whole can be restored");
        assert_eq!(Some(queue.position()), self.setup.position);
        self.lost.extend(self.out.drain(..).map(|out| out.ticket));
        self.queue = queue;
        (self.stopped, self.granted) = (false, None);
        self.outcome.restored += 1;
    }

    /// Checks that nothing but what may have changed has changed, and that it is in the log.
    fn check_memory(&mut self, before: &Version, deeds: Deeds) {
        let (after, current) = (self.seen.clone(), self.memory.version());
        let content = (before.content != after.content).then_some(before.content);
        for content in content.into_iter().chain([after.content]) {
            let changes = self.memory.changes(content);
            self.ring.assert_changes(&changes, deeds);
            // Where the log itself was changed, either may be the one.
            let logs = before.log.is_some() && after.log.is_some();
            self.unmarked.extend(changes.into_iter().filter(|address| logs && !before.is_marked(*address)));
        }
        // Used elements are marked when the driver is shown them, in the log of that time.
        if before.log.is_none() || after.log.is_none() || before.content != after.content {
            self.unmarked.clear();
        } else if deeds.published {
            let unmarked = self.unmarked.drain(..).filter(|address| !before.is_marked(*address));
            unmarked.for_each(|address| after.assert_marked(address));
        } else {
            self.unmarked.retain(|address| !before.is_marked(*address) && !after.is_marked(*address));
            let ring = &self.ring;
            assert!(
                self.unmarked.iter().all(|address| ring.is_staged_at(*address)),
                "{:x?} not in the log",
                self.unmarked
            );
        }
        if current.content != after.content {
            assert_eq!(self.memory.changes(current.content), [0; 0], "nobody sees this memory yet");
        }
        for version in [before, &after, &current] {
            version.forget_marks();
        }
    }

    fn check_queue(&mut self, broke: bool) {
        assert_eq!(usize::from(self.queue.in_flight()), self.out.len(), "tickets balance");
        let faults = u64::from(self.queue.fault().is_some());
        assert_eq!(self.told.0.load(Relaxed), faults, "a fault is told once");
        if let Some(element) = self.element.take() {
            self.ring.assert_element(&self.memory, self.seen.content, element);
        }
        if let Some(index) = self.shown.take() {
            assert_eq!(self.memory.u16_in(self.seen.content, self.ring.used_index()), index, "the used index");
        }
        if broke {
            assert!(self.queue.pop().is_none());
            assert!(!self.queue.arm());
            self.catch_up();
        }
    }

    fn end(mut self) -> Outcome {
        self.step(Step::Publish);
        self.memory.assert_unchanged();
        let counts = self.setup.counters.read();
        let Outcome { taken, bytes, chain_faults, dropped, request_faults, .. } = self.outcome;
        assert_eq!((counts.chains, counts.bytes), (taken, bytes));
        assert_eq!(counts.chain_faults, chain_faults);
        assert_eq!((counts.dropped, counts.request_faults), (dropped, request_faults));
        assert_eq!(counts.ring_faults, self.told.0.load(Relaxed));
        Outcome { fault: self.queue.fault(), replaced: self.memory.replaced(), ..self.outcome }
    }
}

/// Ends with a chain, as told; its ticket and buffers, where it goes on.
fn finish(chain: Chain<'_>, end: End, len: u32) -> (Option<Ticket>, Option<GuestBuffers>) {
    match end {
        End::Complete => chain.complete(len),
        End::BadRequest => chain.complete_bad_request(len),
        End::Drop => drop(chain),
        End::PutBack => chain.put_back(),
        End::Break => chain.break_ring(),
        End::Ticket => return (Some(chain.into_ticket()), None),
        End::Hold => {
            let (mut buffers, writer) = (GuestBuffers::new(), chain.writer());
            let whole = buffers.hold_writable(&writer).is_ok();
            assert_eq!(buffers.len(), if whole { writer.remaining() } else { 0 });
            return (Some(chain.into_ticket()), whole.then_some(buffers));
        }
    }
    (None, None)
}

fn setup(header: &Header, packed: bool, memory: &Memory, told: &Arc<Told>, interrupts: &Arc<AtomicU64>) -> QueueSetup {
    let mut setup = QueueSetup::new(memory.ram().clone(), Event::new().expect("an event"));
    setup.size = header.size;
    [setup.descriptor_area, setup.driver_area, setup.device_area] = header.addresses();
    setup.features = header.features(packed);
    setup.position = header.position(packed);
    setup.faults = told.clone();
    let interrupts = interrupts.clone();
    setup.interrupt = Arc::new(move || {
        interrupts.fetch_add(1, Relaxed);
    });
    setup
}
