//! Histories: what drivers and devices do, good and bad, run on the model and on the ring side by side.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{RingDriver, TestMemory, Wish};
use virtio_core::{Chain, Event, Features, GuestRam, QueuePosition, Ticket, Virtqueue};

use super::{Part, TABLES, buffers, everything, good_parts, memory, written};

/// A ring that is plain and slow.
pub(crate) trait Model: Sized {
    type Driver: RingDriver;

    fn new(ram: &GuestRam, driver: &Self::Driver, features: Features) -> Self;
    /// The next chain.
    fn pop(&mut self) -> Result<Option<ModelChain>, Broken>;
    /// Undoes the last `pop`.
    fn put_back(&mut self);
    fn complete(&mut self, number: u64, len: u32);
    /// Whether the driver gets an interrupt.
    fn publish(&mut self) -> bool;
    /// What a broken ring still shows: everything that was completed before.
    fn publish_last(&mut self) -> bool;
    /// Whether there is more already.
    fn arm(&mut self) -> Result<bool, Broken>;
    fn disarm(&mut self);
    /// Forgets what was seen and not taken.
    fn forget(&mut self) {}
    fn is_broken(&self) -> bool;
    fn position(&self) -> QueuePosition;
    /// Goes on from a position.
    fn restore(&mut self, position: QueuePosition);
}

/// The ring is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A chain as a model sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelChain {
    /// Its head or its id.
    pub(crate) name: u16,
    /// (address, length) of the buffers to read and to write, without empty ones.
    pub(crate) readable: Vec<(u64, u32)>,
    pub(crate) writable: Vec<(u64, u32)>,
    /// Whether there was a writable one.
    pub(crate) turned: bool,
    pub(crate) faulty: bool,
    /// Names the chain when it is completed: a number that counts up.
    pub(crate) number: u64,
}

impl ModelChain {
    /// One more buffer. Readable ones come before writable ones, or are left out; and none is empty.
    pub(crate) fn push(&mut self, address: u64, len: u32, writable: bool) {
        let late = !writable && self.turned;
        self.turned |= writable;
        self.faulty |= len == 0 || late;
        if len != 0 && !late {
            if writable { &mut self.writable } else { &mut self.readable }.push((address, len));
        }
    }

    /// After the last one: whether all of them together are no more than they may be, and in memory.
    pub(crate) fn check(&mut self, ram: &GuestRam) {
        let buffers = || self.readable.iter().chain(&self.writable);
        let bytes: u64 = buffers().map(|(_, len)| u64::from(*len)).sum();
        let mapped = buffers().all(|(address, len)| has(ram, *address, *len));
        self.faulty |= bytes > u64::from(u32::MAX) || !mapped;
    }

    pub(crate) fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|(_, len)| u64::from(*len)).sum()
    }
}

/// Whether all of a buffer is guest memory: in one region, or in several that touch.
fn has(ram: &GuestRam, address: u64, len: u32) -> bool {
    let end = u128::from(address) + u128::from(len);
    let mut at = u128::from(address);
    for (start, len) in ram.regions() {
        if (u128::from(start)..u128::from(start) + u128::from(len)).contains(&at) {
            at = u128::from(start) + u128::from(len);
        }
    }
    at >= end
}

/// What a driver of one layout does besides what is in every history: behind the back of the good driver.
pub(crate) trait Trick<D>: Clone + Debug {
    fn play(&self, driver: &D, memory: &TestMemory);
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step<T> {
    Add { parts: Vec<Part>, indirect: bool },
    DriverPublish,
    Reap,
    Want { wish: Wish },
    Trick(T),
    Pop { count: u8 },
    Serve { len: Option<u32> },
    PutBack,
    Complete { which: u8, len: Option<u32> },
    Publish,
    Arm,
    Disarm,
    Rest,
    SaveAndRestore,
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![Just(Wish::Always), Just(Wish::Never), (0u16..10).prop_map(Wish::After)]
}

pub(crate) fn good_step<T: Clone + Debug + 'static>() -> impl Strategy<Value = Step<T>> {
    prop_oneof![
        4 => (good_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        3 => Just(Step::DriverPublish),
        3 => Just(Step::Reap),
        2 => wish().prop_map(|wish| Step::Want { wish }),
        4 => (1u8..8).prop_map(|count| Step::Pop { count }),
        2 => written().prop_map(|len| Step::Serve { len }),
        4 => (any::<u8>(), written()).prop_map(|(which, len)| Step::Complete { which, len }),
        3 => Just(Step::Publish),
        2 => Just(Step::Arm),
        1 => Just(Step::Disarm),
        1 => Just(Step::PutBack),
        1 => Just(Step::Rest),
        1 => Just(Step::SaveAndRestore),
    ]
}

/// One of the two worlds: memory and the driver that acts on it.
struct Side<D> {
    memory: TestMemory,
    driver: D,
    tables: u64,
}

impl<D: RingDriver> Side<D> {
    fn new(size: u16, features: Features, start: u16) -> Side<D> {
        let memory = memory();
        let mut driver = D::new(&memory, size, features);
        driver.start_after(start);
        Side { memory, driver, tables: 0 }
    }

    /// Does what the driver does in a step. What it returns must be the same on both sides.
    fn drive(&mut self, step: &Step<impl Trick<D>>) -> String {
        match step {
            Step::Add { parts, indirect } => {
                let buffers = buffers(parts);
                // Tables go where nothing else is, and are used again.
                let table = TABLES + 0x40 * (self.tables % 32);
                self.tables += 1;
                let name = match indirect {
                    true if buffers.is_empty() => None,
                    true => self.driver.add_table(table, &buffers),
                    false => self.driver.add(&buffers),
                };
                return format!("{name:?}");
            }
            Step::DriverPublish => return format!("{:?}", self.driver.publish()),
            Step::Reap => return format!("{:?}", self.driver.used()),
            Step::Want { wish } => self.driver.want(*wish),
            Step::Trick(trick) => trick.play(&self.driver, &self.memory),
            _ => {}
        }
        String::new()
    }
}

/// What the ring gave out, to be completed later.
struct Out {
    ticket: Ticket,
    number: u64,
    writable: u32,
}

/// What becomes of a chain that was taken.
enum Then {
    Keep,
    Complete(Option<u32>),
    PutBack,
}

struct Run<M: Model> {
    features: Features,
    ours: Side<M::Driver>,
    theirs: Side<M::Driver>,
    queue: Virtqueue,
    model: M,
    interrupts: Arc<AtomicU64>,
    expected_interrupts: u64,
    out: Vec<Out>,
    /// The driver has broken rules.
    tricked: bool,
}

fn queue(side: &Side<impl RingDriver>, interrupts: &Arc<AtomicU64>, position: Option<QueuePosition>) -> Virtqueue {
    let mut setup = side.driver.setup();
    let count = interrupts.clone();
    setup.interrupt = Arc::new(move || {
        count.fetch_add(1, SeqCst);
    });
    setup.doorbell = Event::new().unwrap();
    setup.position = position;
    Virtqueue::new(setup).unwrap()
}

impl<M: Model> Run<M> {
    fn new(size: u16, features: Features, start: u16) -> Run<M> {
        let [ours, theirs] = [(); 2].map(|()| Side::<M::Driver>::new(size, features, start));
        let interrupts = Arc::new(AtomicU64::new(0));
        let mut model = M::new(theirs.memory.ram(), &theirs.driver, features);
        model.restore(theirs.driver.position(false));
        let queue = queue(&ours, &interrupts, (start != 0).then(|| ours.driver.position(false)));
        Run {
            features,
            ours,
            theirs,
            queue,
            model,
            interrupts,
            expected_interrupts: 0,
            out: Vec::new(),
            tricked: false,
        }
    }

    fn broke(&mut self) {
        self.expected_interrupts += u64::from(self.model.publish_last());
    }

    fn publish(&mut self) {
        self.queue.publish();
        self.expected_interrupts += u64::from(self.model.publish());
    }

    fn step(&mut self, step: &Step<impl Trick<M::Driver>>) {
        self.tricked |= matches!(step, Step::Trick(_));
        if self.tricked && matches!(step, Step::Reap) {
            // A driver that makes more available than there is room for may find elements that it has not been shown yet,
            // and when they are written is the device's business.
            self.publish();
        }
        assert_eq!(self.ours.drive(step), self.theirs.drive(step), "what the drivers see");
        match step {
            Step::Pop { count } => (0..*count).for_each(|_| self.pop(Then::Keep)),
            Step::Serve { len } => self.pop(Then::Complete(*len)),
            Step::PutBack => self.pop(Then::PutBack),
            Step::Complete { which, len } if !self.out.is_empty() => {
                let Out { ticket, number, writable } = self.out.swap_remove(usize::from(*which) % self.out.len());
                let len = len.unwrap_or(writable);
                self.queue.complete(ticket, len).unwrap();
                self.model.complete(number, len);
            }
            Step::Publish => self.publish(),
            Step::Arm => self.arm(),
            Step::Disarm => {
                self.queue.disarm();
                self.model.disarm();
            }
            Step::Rest => {
                self.queue.stop();
                assert!(self.queue.pop().is_none() && !self.queue.arm());
                self.queue.start();
                self.model.forget();
            }
            Step::SaveAndRestore if self.out.is_empty() && !self.model.is_broken() => self.save_and_restore(),
            _ => {}
        }
        assert_eq!(self.queue.fault().is_some(), self.model.is_broken(), "whether the ring is broken");
        assert_eq!(self.interrupts.load(SeqCst), self.expected_interrupts, "interrupts");
    }

    fn arm(&mut self) {
        let more = self.queue.arm();
        match self.model.arm() {
            Ok(expected) => assert_eq!(more, expected, "whether there is more"),
            Err(Broken) => {
                assert!(!more);
                self.broke();
            }
        }
    }

    fn save_and_restore(&mut self) {
        self.publish();
        assert_eq!(self.queue.position(), self.model.position());
        self.queue = queue(&self.ours, &self.interrupts, Some(self.queue.position()));
        // What had been seen but not taken is looked at again.
        let mut model = M::new(self.theirs.memory.ram(), &self.theirs.driver, self.features);
        model.restore(self.model.position());
        self.model = model;
    }

    fn pop(&mut self, then: Then) {
        let Ok(expected) = self.model.pop() else {
            assert!(self.queue.pop().is_none());
            return self.broke();
        };
        let Some(chain) = self.queue.pop() else {
            return assert_eq!(expected, None);
        };
        let expected = expected.expect("the model has a chain too");
        compare(&self.ours.memory, &chain, &expected);
        let writable = expected.writable_bytes() as u32;
        match then {
            Then::Keep => self.out.push(Out { ticket: chain.into_ticket(), number: expected.number, writable }),
            Then::Complete(len) => {
                chain.complete(len.unwrap_or(writable));
                self.model.complete(expected.number, len.unwrap_or(writable));
            }
            Then::PutBack => {
                chain.put_back();
                self.model.put_back();
            }
        }
    }
}

fn compare(memory: &TestMemory, chain: &Chain<'_>, expected: &ModelChain) {
    let ModelChain { readable, writable, faulty, .. } = expected;
    assert_eq!(chain.fault().is_some(), *faulty, "{expected:?}");
    if !faulty {
        let len = |buffers: &[(u64, u32)]| buffers.iter().map(|(_, len)| *len as usize).sum::<usize>();
        assert_eq!(chain.reader().remaining(), len(readable));
        assert_eq!(chain.writer().remaining(), len(writable));
        let mut bytes = vec![0; len(readable)];
        chain.reader().read(&mut bytes).unwrap();
        let parts = readable.iter().map(|(address, len)| memory.bytes(*address, *len as usize));
        assert_eq!(bytes, parts.collect::<Vec<_>>().concat());
    }
}

/// Runs a history on a ring of `size` through which `start` chains have gone before.
pub(crate) fn run<M: Model, T: Trick<M::Driver>>(size: u16, features: Features, start: u16, steps: &[Step<T>]) {
    let mut run = Run::<M>::new(size, features, start);
    for step in steps {
        run.step(step);
    }
    // How much of what is not published stands in memory already is the ring's own business.
    run.step(&Step::<T>::Publish);
    let [ours, theirs] = [&run.ours, &run.theirs].map(|side| everything(&side.memory));
    assert!(ours == theirs, "guest memory is the same, byte for byte");
}
