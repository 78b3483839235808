//! Histories: what drivers and devices do, good and bad, run on the model and on the ring side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{RingDriver, SplitDriver, TestMemory};
use virtio_core::{Event, Features, Ticket, Virtqueue};

use crate::common::{self, Part};
use crate::model::{Broken, Model, ModelChain};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Add { parts: Vec<Part>, indirect: bool },
    DriverPublish,
    Reap,
    SetDescriptor { index: u16, address: u64, len: u32, flags: u16, next: u16 },
    SetAvailable { position: u16, head: u16 },
    MoveIndex { by: u16 },
    SetFlags { flags: u16 },
    MoveUsedEvent { by: u16 },
    Pop { count: u8 },
    Serve { len: Option<u32> },
    Complete { which: u8, len: Option<u32> },
    Publish,
    Arm,
    Disarm,
    PutBack,
    SaveAndRestore,
}

fn good_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (common::good_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        3 => Just(Step::DriverPublish),
        3 => Just(Step::Reap),
        1 => (0u16..2).prop_map(|flags| Step::SetFlags { flags }),
        1 => (0u16..8).prop_map(|by| Step::MoveUsedEvent { by }),
        4 => (1u8..8).prop_map(|count| Step::Pop { count }),
        2 => common::written().prop_map(|len| Step::Serve { len }),
        4 => (any::<u8>(), common::written()).prop_map(|(which, len)| Step::Complete { which, len }),
        3 => Just(Step::Publish),
        2 => Just(Step::Arm),
        1 => Just(Step::Disarm),
        1 => Just(Step::PutBack),
        1 => Just(Step::SaveAndRestore),
    ]
}

fn bad_step() -> impl Strategy<Value = Step> {
    let descriptor = (0u16..10, common::address(), common::length(), 0u16..8, 0u16..10);
    prop_oneof![
        4 => (common::bad_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        1 => descriptor.prop_map(|(index, address, len, flags, next)| {
            Step::SetDescriptor { index, address, len, flags, next }
        }),
        1 => (0u16..8, 0x8000u64..0x9000, 0u32..6, 0u16..4).prop_map(|(index, address, entries, flags)| {
            Step::SetDescriptor { index, address, len: 16 * entries, flags: flags | 4, next: 0 }
        }),
        1 => (0u16..8, 0u16..9).prop_map(|(position, head)| Step::SetAvailable { position, head }),
        1 => prop_oneof![0u16..10, any::<u16>()].prop_map(|by| Step::MoveIndex { by }),
        1 => any::<u16>().prop_map(|flags| Step::SetFlags { flags }),
        1 => any::<u16>().prop_map(|by| Step::MoveUsedEvent { by }),
    ]
}

/// One of the two worlds: memory and the driver that acts on it.
struct Side {
    memory: TestMemory,
    driver: SplitDriver,
    index: u16,
}

impl Side {
    fn new(size: u16, features: Features) -> Side {
        let memory = common::memory();
        let driver = SplitDriver::new(&memory, size, features);
        Side { memory, driver, index: 0 }
    }

    /// Does what the driver does in a step. What it returns must be the same on both sides.
    fn drive(&mut self, step: &Step) -> String {
        let driver = &mut self.driver;
        match step {
            Step::Add { parts, indirect } => {
                let buffers = common::buffers(parts);
                // Tables go where nothing else is, and are used again.
                let table = common::TABLES + 0x40 * u64::from(self.index % 32);
                self.index = self.index.wrapping_add(1);
                let head = match indirect {
                    true if buffers.is_empty() => None,
                    true => driver.add_table(table, &buffers),
                    false => driver.add(&buffers),
                };
                format!("{head:?}")
            }
            Step::DriverPublish => format!("{:?}", driver.publish()),
            Step::Reap => format!("{:?}", driver.used()),
            Step::SetDescriptor { index, address, len, flags, next } => {
                driver.set_descriptor(index % driver.size(), *address, *len, *flags, *next);
                String::new()
            }
            Step::SetAvailable { position, head } => {
                driver.set_available(*position, *head);
                String::new()
            }
            Step::MoveIndex { by } => {
                let (_, available, _) = driver.areas();
                let now = u16::from_le_bytes(self.memory.bytes(available + 2, 2).try_into().unwrap());
                driver.set_index(now.wrapping_add(*by));
                String::new()
            }
            Step::SetFlags { flags } => {
                driver.set_flags(*flags);
                String::new()
            }
            Step::MoveUsedEvent { by } => {
                driver.set_used_event(driver.used_index().wrapping_add(*by));
                String::new()
            }
            _ => String::new(),
        }
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

fn setup(side: &Side, interrupts: &Arc<AtomicU64>) -> virtio_core::QueueSetup {
    let mut setup = side.driver.setup();
    let count = interrupts.clone();
    setup.interrupt = Arc::new(move || {
        count.fetch_add(1, SeqCst);
    });
    setup.doorbell = Event::new().unwrap();
    setup
}

impl Run {
    fn new(size: u16, features: Features) -> Run {
        let (ours, theirs) = (Side::new(size, features), Side::new(size, features));
        let interrupts = Arc::new(AtomicU64::new(0));
        let queue = Virtqueue::new(setup(&ours, &interrupts)).unwrap();
        let model = Model::new(theirs.memory.ram(), &theirs.driver, features);
        Run { features, ours, theirs, queue, model, interrupts, expected_interrupts: 0, out: Vec::new() }
    }

    fn broke(&mut self) {
        self.expected_interrupts += u64::from(self.model.publish_last());
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
            Step::Publish => {
                self.queue.publish();
                self.expected_interrupts += u64::from(self.model.publish());
            }
            Step::Arm => {
                let more = self.queue.arm();
                match self.model.arm() {
                    Ok(expected) => assert_eq!(more, expected, "whether there is more"),
                    Err(Broken) => {
                        assert!(!more);
                        self.broke();
                    }
                }
            }
            Step::Disarm => {
                self.queue.disarm();
                self.model.disarm();
            }
            Step::SaveAndRestore if self.out.is_empty() && !self.model.broken => {
                self.queue.publish();
                self.expected_interrupts += u64::from(self.model.publish());
                assert_eq!(self.queue.position(), self.model.position());
                let mut setup = setup(&self.ours, &self.interrupts);
                setup.position = Some(self.queue.position());
                self.queue = Virtqueue::new(setup).unwrap();
                // What had been seen but not taken is looked at again.
                let mut model = Model::new(self.theirs.memory.ram(), &self.theirs.driver, self.features);
                model.restore(&self.model);
                self.model = model;
            }
            _ => {}
        }
        assert_eq!(self.queue.fault().is_some(), self.model.broken, "whether the ring is broken");
        assert_eq!(self.interrupts.load(SeqCst), self.expected_interrupts, "interrupts");
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
        let ModelChain { readable, writable, faulty, .. } = &expected;
        assert_eq!(chain.fault().is_some(), *faulty, "{expected:?}");
        if !faulty {
            let len = |buffers: &[(u64, u32)]| buffers.iter().map(|(_, len)| *len as usize).sum::<usize>();
            assert_eq!(chain.reader().remaining(), len(readable));
            assert_eq!(chain.writer().remaining(), len(writable));
            let mut bytes = vec![0; len(readable)];
            chain.reader().read(&mut bytes).unwrap();
            let memory = &self.ours.memory;
            let parts = readable.iter().map(|(address, len)| memory.bytes(*address, *len as usize));
            assert_eq!(bytes, parts.collect::<Vec<_>>().concat());
        }
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

fn run(size: u16, features: Features, steps: &[Step]) {
    let mut run = Run::new(size, features);
    for step in steps {
        run.step(step);
    }
    // How much of what is not published stands in memory already is the ring's own business.
    run.step(&Step::Publish);
    let [ours, theirs] = [&run.ours, &run.theirs].map(|side| common::everything(&side.memory));
    assert!(ours == theirs, "guest memory is the same, byte for byte");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn good_drivers(
        size in prop::sample::select(vec![1u16, 2, 4, 8]),
        features in common::features(),
        script in common::script(good_step(), 300),
    ) {
        run(size, features, &script.0);
    }

    #[test]
    fn bad_drivers(
        size in prop::sample::select(vec![1u16, 2, 4, 8]),
        features in common::features(),
        script in common::script(prop_oneof![5 => good_step(), 1 => bad_step()], 120),
    ) {
        run(size, features, &script.0);
    }
}
