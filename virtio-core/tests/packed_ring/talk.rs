//! The driver for tests and the model of the device talk to each other: each checks the other.

use proptest::prelude::*;
use virtio_core::Features;
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, TestMemory, Used};

use crate::common::{self, Model, ModelChain};
use crate::model::PackedModel;

/// What one chain was added with, in the order of their numbers.
struct Added {
    id: u16,
    buffers: Vec<Buffer>,
    len: u32,
    back: bool,
}

struct Talk {
    driver: PackedDriver,
    model: PackedModel,
    added: Vec<Added>,
    out: Vec<ModelChain>,
}

impl Talk {
    fn new(size: u16, features: Features, start: u16) -> Talk {
        let memory = TestMemory::new(1 << 20);
        let mut driver = PackedDriver::new(&memory, size, features);
        driver.start_after(start);
        let mut model = PackedModel::new(memory.ram(), &driver, features);
        model.restore(driver.position(false));
        Talk { driver, model, added: Vec::new(), out: Vec::new() }
    }

    /// A list of `readable` and `writable` elements; whether there was room.
    fn add(&mut self, readable: u32, writable: u32, indirect: bool) -> bool {
        let buffers: Vec<_> = (0..readable)
            .map(|i| Buffer::readable(0x1000 + 8 * u64::from(i), 1 + i))
            .chain((0..writable).map(|i| Buffer::writable(0x2000 + 8 * u64::from(i), 1 + i)))
            .collect();
        let free = self.driver.free();
        let added = if indirect { self.driver.add_indirect(&buffers) } else { self.driver.add(&buffers) };
        let slots = if indirect { 1 } else { buffers.len() };
        assert_eq!(added.is_some(), slots <= free);
        if let Some(id) = added {
            assert_eq!(self.driver.free(), free - slots);
            self.added.push(Added { id, buffers, len: 0, back: false });
        }
        added.is_some()
    }

    fn take(&mut self) {
        while let Some(chain) = self.model.pop().unwrap() {
            let Added { id, buffers, .. } = &self.added[chain.number as usize];
            assert_eq!((chain.name, chain.faulty), (*id, false));
            let part = |writable| {
                let part = buffers.iter().filter(move |buffer| buffer.writable == writable);
                part.map(|buffer| (buffer.address, buffer.len)).collect::<Vec<_>>()
            };
            assert_eq!((&chain.readable, &chain.writable), (&part(false), &part(true)));
            self.out.push(chain);
        }
    }

    /// Completes one of the chains that are out, with all, some or none of its bytes written.
    fn complete(&mut self, which: u8, how: u8) {
        if self.out.is_empty() {
            return;
        }
        let chain = self.out.swap_remove(usize::from(which) % self.out.len());
        let all = chain.writable_bytes() as u32;
        let len = [all, all, all / 2, 0][usize::from(how % 4)];
        self.added[chain.number as usize].len = len;
        self.model.complete(chain.number, len);
    }

    /// Takes back what the model has published; each buffer comes once, in order if that was agreed on.
    fn reap(&mut self, in_order: bool) {
        let waiting = self.driver.waiting();
        for left in (0..waiting).rev() {
            let Used { id, len } = self.driver.used().unwrap();
            assert_eq!(self.driver.waiting(), left);
            let first = self.added.iter().position(|added| !added.back);
            let of_it = |added: &Added| !added.back && u32::from(added.id) == id;
            let index = self.added.iter().position(of_it).expect("it is out");
            assert!(!in_order || first == Some(index));
            assert_eq!(self.added[index].len, len);
            self.added[index].back = true;
        }
        assert_eq!(self.driver.used(), None);
    }
}

#[derive(Clone, Debug)]
enum Say {
    Add { readable: u32, writable: u32, indirect: bool },
    Publish,
    Take,
    Complete { which: u8, how: u8 },
    Show,
    Reap,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        4 => (0u32..3, 0u32..3, any::<bool>()).prop_map(|(readable, writable, indirect)| {
            Say::Add { readable: readable.max(u32::from(writable == 0)), writable, indirect }
        }),
        2 => Just(Say::Publish),
        2 => Just(Say::Take),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Say::Complete { which, how }),
        2 => Just(Say::Show),
        2 => Just(Say::Reap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn driver_and_model_understand_each_other(
        size in prop::sample::select(vec![1u16, 2, 3, 5, 7, 8]),
        (event_idx, in_order) in any::<(bool, bool)>(),
        start in 0u16..40,
        script in common::script(say(), 300),
    ) {
        let pick = |yes, feature| if yes { feature } else { Features::NONE };
        let features = Features::INDIRECT_DESC
            | pick(event_idx, Features::EVENT_IDX)
            | pick(in_order, Features::IN_ORDER);
        let mut talk = Talk::new(size, features, start);
        // A device that sleeps is rung, and a driver that waits is interrupted, whatever happens.
        let (mut asleep, mut rung, mut interrupted) = (false, false, false);
        for say in script.0 {
            match say {
                Say::Add { readable, writable, indirect } => {
                    talk.add(readable, writable, indirect);
                }
                Say::Publish => rung |= talk.driver.publish(),
                Say::Take => {
                    asleep = false;
                    talk.model.disarm();
                    talk.take();
                }
                Say::Complete { which, how } => talk.complete(which, how),
                Say::Show => {
                    let before = talk.driver.waiting();
                    let interrupt = talk.model.publish();
                    interrupted |= interrupt;
                    prop_assert!(interrupted || talk.driver.waiting() == before);
                    rung = false;
                    asleep = !talk.model.arm().unwrap();
                }
                Say::Reap => {
                    talk.reap(in_order);
                    interrupted = false;
                }
            }
            prop_assert!(!asleep || rung || !talk.model.arm().unwrap(), "it sleeps through what is available");
        }
    }
}

#[test]
fn ids_are_not_slots_and_only_the_last_one_counts() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = PackedDriver::new(&memory, 4, Features::NONE);
    let id = driver.add(&[Buffer::readable(0x1000, 1); 3]).unwrap();
    driver.show();
    assert_eq!(id, 3);
    let ids = [0, 1, 2].map(|slot| driver.descriptor(slot).2);
    assert_eq!(ids, [!id, !id, id]);
    assert_eq!([0, 1, 2].map(|slot| driver.flags(slot)), [0x81, 0x81, 0x80]);
}

#[test]
fn a_list_over_the_end_of_the_ring_changes_the_wrap_counter() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = PackedDriver::new(&memory, 3, Features::NONE);
    driver.start_at(2, true);
    assert_eq!([0, 1, 2].map(|slot| driver.flags(slot)), [0x8080, 0x8080, 0]);
    driver.add(&[Buffer::writable(0x1000, 1); 2]).unwrap();
    assert_eq!([0, 2].map(|slot| driver.flags(slot)), [0x8002, 0], "the first descriptor's flags come last");
    driver.show();
    assert_eq!([0, 2].map(|slot| driver.flags(slot)), [0x8002, 0x83]);
    assert_eq!(driver.next(), (1, false));
}

#[test]
fn the_driver_reads_the_devices_event_area() {
    let memory = TestMemory::new(1 << 16);
    let ring = |features, off_wrap: u16, flags: u16, start: u16, chains: usize| {
        let mut driver = PackedDriver::new(&memory, 5, features);
        driver.start_after(start);
        let (_, _, event) = driver.areas();
        memory.write(event, &off_wrap.to_le_bytes());
        memory.write(event + 2, &flags.to_le_bytes());
        (0..chains).for_each(|_| assert!(driver.add(&[Buffer::readable(0x1000, 1)]).is_some()));
        driver.publish()
    };
    assert!(ring(Features::NONE, 0, 0, 0, 1));
    assert!(!ring(Features::NONE, 0, 1, 0, 1));
    assert!(ring(Features::NONE, 0, 2, 0, 1), "descriptor mode needs EVENT_IDX");
    let event_idx =
        |off, wrap: bool, start, chains| ring(Features::EVENT_IDX, off | u16::from(wrap) << 15, 2, start, chains);
    assert!(event_idx(0, true, 0, 1));
    assert!(event_idx(1, true, 0, 2) && !event_idx(2, true, 0, 2) && !event_idx(0, false, 0, 2));
    // From slot 3 over the end: slots 3 and 4, then 0 and 1 of the next lap.
    assert!(event_idx(3, true, 3, 4) && event_idx(4, true, 3, 4) && event_idx(0, false, 3, 4));
    assert!(event_idx(1, false, 3, 4) && !event_idx(2, false, 3, 4) && !event_idx(2, true, 3, 4));
}
