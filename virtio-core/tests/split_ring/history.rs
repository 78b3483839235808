//! Histories: what drivers and devices do, good and bad, run on the model and on the ring side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{Buffer, SplitDriver, TestMemory};
use virtio_core::{Event, Features, Ticket, Virtqueue};

use crate::model::{Broken, Model, ModelChain};

/// Guest memory: a region that holds everything, one right behind it, and one far away.
const REGIONS: [(u64, usize); 3] = [(0, 0x10000), (0x10000, 0x1000), (1 << 40, 0x1000)];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Add { buffers: Vec<(u64, u32, bool)>, indirect: bool },
    DriverPublish,
    Reap,
    SetDescriptor { index: u16, address: u64, len: u32, flags: u16, next: u16 },
    SetAvailable { position: u16, head: u16 },
    MoveIndex { by: u16 },
    SetFlags { flags: u16 },
    MoveUsedEvent { by: u16 },
    Pop { count: u8 },
    Complete { which: u8, len: u32 },
    Publish,
    Arm,
    Disarm,
    PutBack,
    SaveAndRestore,
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => 0x8000u64..0xf000,
        2 => 0xfff0u64..0x11010,
        1 => Just(1 << 40),
        1 => (1u64 << 40) + 0xff0..(1 << 40) + 0x1010,
        1 => any::<u64>(),
        1 => u64::MAX - 64..=u64::MAX,
    ]
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 1u32..64, 1 => Just(0), 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn good_buffers() -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
    let buffer = || (0x8000u64..0xf000, 1u32..64);
    (prop::collection::vec(buffer(), 0..3), prop::collection::vec(buffer(), 0..3)).prop_map(|(readable, writable)| {
        let readable = readable.into_iter().map(|(address, len)| (address, len, false));
        readable.chain(writable.into_iter().map(|(address, len)| (address, len, true))).collect()
    })
}

fn good_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (good_buffers(), any::<bool>()).prop_map(|(buffers, indirect)| Step::Add { buffers, indirect }),
        3 => Just(Step::DriverPublish),
        3 => Just(Step::Reap),
        1 => (0u16..2).prop_map(|flags| Step::SetFlags { flags }),
        1 => (0u16..8).prop_map(|by| Step::MoveUsedEvent { by }),
        4 => (1u8..8).prop_map(|count| Step::Pop { count }),
        4 => (any::<u8>(), 0u32..100).prop_map(|(which, len)| Step::Complete { which, len }),
        3 => Just(Step::Publish),
        2 => Just(Step::Arm),
        1 => Just(Step::Disarm),
        1 => Just(Step::PutBack),
        1 => Just(Step::SaveAndRestore),
    ]
}

fn bad_step() -> impl Strategy<Value = Step> {
    let buffer = || (address(), length(), any::<bool>());
    prop_oneof![
        4 => (prop::collection::vec(buffer(), 1..4), any::<bool>())
            .prop_map(|(buffers, indirect)| Step::Add { buffers, indirect }),
        1 => (0u16..10, address(), length(), 0u16..8, 0u16..10).prop_map(|(index, address, len, flags, next)| {
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
        let memory = TestMemory::with_regions(&REGIONS);
        let driver = SplitDriver::new(&memory, size, features);
        for at in (0x8000..0xf000).step_by(8) {
            memory.write(at, &(at.wrapping_mul(0x9e37_79b9)).to_le_bytes());
        }
        Side { memory, driver, index: 0 }
    }

    /// Does what the driver does in a step. What it returns must be the same on both sides.
    fn drive(&mut self, step: &Step) -> String {
        let driver = &mut self.driver;
        match step {
            Step::Add { buffers, indirect } => {
                let buffers: Vec<_> =
                    buffers.iter().map(|&(address, len, writable)| Buffer { address, len, writable }).collect();
                // Tables go where nothing else is, and are used again.
                let table = 0xf000 + 0x40 * u64::from(self.index % 32);
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

    fn everything(&self) -> Vec<Vec<u8>> {
        REGIONS.iter().map(|(start, len)| self.memory.bytes(*start, *len)).collect()
    }
}

/// What the ring gave out, to be completed later.
struct Out {
    ticket: Ticket,
    head: u16,
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
            Step::Pop { count } => (0..*count).for_each(|_| self.pop(false)),
            Step::PutBack => self.pop(true),
            Step::Complete { which, len } if !self.out.is_empty() => {
                let Out { ticket, head } = self.out.swap_remove(usize::from(*which) % self.out.len());
                self.queue.complete(ticket, *len).unwrap();
                self.model.complete(head, *len);
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

    fn pop(&mut self, put_back: bool) {
        let Ok(expected) = self.model.pop() else {
            assert!(self.queue.pop().is_none());
            return self.broke();
        };
        let Some(chain) = self.queue.pop() else {
            return assert_eq!(expected, None);
        };
        let expected = expected.expect("the model has a chain too");
        let ModelChain { head, readable, writable, faulty } = &expected;
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
        if put_back {
            chain.put_back();
            self.model.put_back();
        } else {
            self.out.push(Out { ticket: chain.into_ticket(), head: *head });
        }
    }
}

fn run(size: u16, features: Features, steps: &[Step]) {
    let mut run = Run::new(size, features);
    for step in steps {
        run.step(step);
    }
    assert!(run.ours.everything() == run.theirs.everything(), "guest memory is the same, byte for byte");
}

fn features() -> impl Strategy<Value = Features> {
    (any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(event_idx, indirect)| {
        let pick = |yes, feature| if yes { feature } else { Features::NONE };
        Features::VERSION_1 | pick(event_idx, Features::EVENT_IDX) | pick(indirect, Features::INDIRECT_DESC)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn good_drivers(
        size in prop::sample::select(vec![1u16, 2, 4, 8]),
        features in features(),
        steps in prop::collection::vec(good_step(), 0..300),
    ) {
        run(size, features, &steps);
    }

    #[test]
    fn bad_drivers(
        size in prop::sample::select(vec![1u16, 2, 4, 8]),
        features in features(),
        steps in prop::collection::vec(prop_oneof![5 => good_step(), 1 => bad_step()], 0..120),
    ) {
        run(size, features, &steps);
    }
}
