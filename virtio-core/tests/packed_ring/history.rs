//! Histories: what drivers and devices do, good and bad, run on the model and on the ring side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{PackedDriver, RingDriver, TestMemory, Wish};
use virtio_core::{Chain, Event, Features, QueuePosition, Ticket, Virtqueue};

use crate::common::{self, Part};
use crate::model::{At, Model, ModelChain};

/// What the flags of a descriptor say of it.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// Available where the wrap counter is 1.
    Odd,
    /// Available where the wrap counter is 0.
    Even,
    /// Used where the wrap counter is 1.
    Both,
    /// Used where the wrap counter is 0.
    Neither,
}

impl Mark {
    fn flags(self) -> u16 {
        match self {
            Mark::Odd => PackedDriver::AVAIL,
            Mark::Even => PackedDriver::USED,
            Mark::Both => PackedDriver::AVAIL | PackedDriver::USED,
            Mark::Neither => 0,
        }
    }
}

/// One step of a history. Slots count from the one that the driver fills next.
#[derive(Clone, Debug)]
enum Step {
    Add { parts: Vec<Part>, indirect: bool },
    DriverPublish,
    Reap,
    Want { wish: Wish },
    SetDescriptor { slot: u16, address: u64, len: u32, id: u16, flags: u16, mark: Mark },
    ToggleFlags { slot: u16, flags: u16 },
    SetDriverEvent { offset: u16, wrap: bool, flags: u16 },
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

fn good_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (common::good_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        3 => Just(Step::DriverPublish),
        3 => Just(Step::Reap),
        2 => wish().prop_map(|wish| Step::Want { wish }),
        4 => (1u8..8).prop_map(|count| Step::Pop { count }),
        2 => common::written().prop_map(|len| Step::Serve { len }),
        4 => (any::<u8>(), common::written()).prop_map(|(which, len)| Step::Complete { which, len }),
        3 => Just(Step::Publish),
        2 => Just(Step::Arm),
        1 => Just(Step::Disarm),
        1 => Just(Step::PutBack),
        1 => Just(Step::Rest),
        1 => Just(Step::SaveAndRestore),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![4 => Just(Mark::Odd), 4 => Just(Mark::Even), 1 => Just(Mark::Both), 1 => Just(Mark::Neither)]
}

fn bad_step() -> impl Strategy<Value = Step> {
    let descriptor = (0u16..9, common::address(), common::length(), any::<u16>(), 0u16..8, mark());
    let table = (0u16..4, 0x8000u64..0x9000, 0u32..6, any::<u16>(), 0u16..4, mark());
    prop_oneof![
        4 => (common::bad_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        2 => descriptor.prop_map(|(slot, address, len, id, flags, mark)| {
            Step::SetDescriptor { slot, address, len, id, flags, mark }
        }),
        1 => table.prop_map(|(slot, address, entries, id, flags, mark)| {
            let flags = flags | PackedDriver::INDIRECT;
            Step::SetDescriptor { slot, address, len: 16 * entries, id, flags, mark }
        }),
        2 => (0u16..9, prop::sample::select(vec![1u16, 2, 4, 0x80, 0x8000, 0x8080, 0x81]))
            .prop_map(|(slot, flags)| Step::ToggleFlags { slot, flags }),
        1 => (0u16..10, any::<bool>(), prop_oneof![0u16..4, any::<u16>()])
            .prop_map(|(offset, wrap, flags)| Step::SetDriverEvent { offset, wrap, flags }),
    ]
}

/// One of the two worlds: memory and the driver that acts on it.
struct Side {
    memory: TestMemory,
    driver: PackedDriver,
    tables: u64,
}

impl Side {
    fn new(size: u16, features: Features, start: u16) -> Side {
        let memory = common::memory();
        let mut driver = PackedDriver::new(&memory, size, features);
        driver.start_after(start);
        Side { memory, driver, tables: 0 }
    }

    fn slot(&self, ahead: u16) -> u16 {
        (self.driver.next().0 + ahead) % self.driver.size()
    }

    /// Does what the driver does in a step. What it returns must be the same on both sides.
    fn drive(&mut self, step: &Step) -> String {
        match step {
            Step::Add { parts, indirect } => {
                let buffers = common::buffers(parts);
                // Tables go where nothing else is, and are used again.
                let table = common::TABLES + 0x40 * (self.tables % 32);
                self.tables += 1;
                let id = match indirect {
                    true if buffers.is_empty() => None,
                    true => self.driver.add_table(table, &buffers),
                    false => self.driver.add(&buffers),
                };
                return format!("{id:?}");
            }
            Step::DriverPublish => return format!("{:?}", self.driver.publish()),
            Step::Reap => return format!("{:?}", self.driver.used()),
            Step::Want { wish } => self.driver.want(*wish),
            Step::SetDescriptor { slot, address, len, id, flags, mark } => {
                self.driver.set_descriptor(self.slot(*slot), *address, *len, *id, flags | mark.flags());
            }
            Step::ToggleFlags { slot, flags } => {
                let slot = self.slot(*slot);
                self.driver.set_flags(slot, self.driver.flags(slot) ^ flags);
            }
            Step::SetDriverEvent { offset, wrap, flags } => self.driver.set_driver_event(*offset, *wrap, *flags),
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

struct Run {
    features: Features,
    ours: Side,
    theirs: Side,
    queue: Virtqueue,
    model: Model,
    interrupts: Arc<AtomicU64>,
    expected_interrupts: u64,
    out: Vec<Out>,
}

fn queue(side: &Side, interrupts: &Arc<AtomicU64>, position: Option<QueuePosition>) -> Virtqueue {
    let mut setup = side.driver.setup();
    let count = interrupts.clone();
    setup.interrupt = Arc::new(move || {
        count.fetch_add(1, SeqCst);
    });
    setup.doorbell = Event::new().unwrap();
    setup.position = position;
    Virtqueue::new(setup).unwrap()
}

fn position((next, used, decided): (At, At, bool)) -> QueuePosition {
    QueuePosition::Packed {
        available: next.slot,
        available_wrap: next.wrap,
        used: used.slot,
        used_wrap: used.wrap,
        decided,
    }
}

impl Run {
    fn new(size: u16, features: Features, start: u16) -> Run {
        let (ours, theirs) = (Side::new(size, features, start), Side::new(size, features, start));
        let interrupts = Arc::new(AtomicU64::new(0));
        let mut model = Model::new(theirs.memory.ram(), &theirs.driver, features);
        let (slot, wrap) = theirs.driver.next();
        let at = At { slot, wrap };
        model.restore((at, at, false));
        let queue = queue(&ours, &interrupts, (start != 0).then(|| position(model.position())));
        Run { features, ours, theirs, queue, model, interrupts, expected_interrupts: 0, out: Vec::new() }
    }

    fn broke(&mut self) {
        self.expected_interrupts += u64::from(self.model.publish_last());
    }

    fn publish(&mut self) {
        self.queue.publish();
        self.expected_interrupts += u64::from(self.model.publish());
    }

    fn step(&mut self, step: &Step) {
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
            Step::Arm => assert_eq!(self.queue.arm(), self.model.arm(), "whether there is more"),
            Step::Disarm => {
                self.queue.disarm();
                self.model.disarm();
            }
            Step::Rest => {
                self.queue.stop();
                assert!(self.queue.pop().is_none() && !self.queue.arm());
                self.queue.start();
            }
            Step::SaveAndRestore if self.out.is_empty() && !self.model.broken => self.save_and_restore(),
            _ => {}
        }
        assert_eq!(self.queue.fault().is_some(), self.model.broken, "whether the ring is broken");
        assert_eq!(self.interrupts.load(SeqCst), self.expected_interrupts, "interrupts");
    }

    fn save_and_restore(&mut self) {
        self.publish();
        assert_eq!(self.queue.position(), position(self.model.position()));
        self.queue = queue(&self.ours, &self.interrupts, Some(self.queue.position()));
        let mut model = Model::new(self.theirs.memory.ram(), &self.theirs.driver, self.features);
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

fn run(size: u16, features: Features, start: u16, steps: &[Step]) {
    let mut run = Run::new(size, features, start);
    for step in steps {
        run.step(step);
    }
    // How much of what is not published stands in memory already is the ring's own business.
    run.step(&Step::Publish);
    let [ours, theirs] = [&run.ours, &run.theirs].map(|side| common::everything(&side.memory));
    assert!(ours == theirs, "guest memory is the same, byte for byte");
}

fn size() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![1u16, 2, 3, 5, 7, 8])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn good_drivers(
        size in size(),
        features in common::features(),
        start in prop_oneof![Just(0u16), 0u16..20],
        script in common::script(good_step(), 300),
    ) {
        run(size, features, start, &script.0);
    }

    #[test]
    fn bad_drivers(
        size in size(),
        features in common::features(),
        script in common::script(prop_oneof![5 => good_step(), 1 => bad_step()], 120),
    ) {
        run(size, features, 0, &script.0);
    }
}
