//! The split ring against `virtio_queue::Queue`: the same good driver, the same memory in the end.
//!
//! Good drivers only: what the two make of others differs on purpose, see "Differences from virtio-queue" in the README.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, Virtqueue};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const MEMORY: usize = 0x20000;

fn queue_of(driver: &SplitDriver, event_idx: bool) -> Queue {
    let mut queue = Queue::new(driver.size()).unwrap();
    let (descriptors, available, used) = driver.areas();
    queue.set_size(driver.size());
    queue.set_desc_table_address(Some(descriptors as u32), Some(0));
    queue.set_avail_ring_address(Some(available as u32), Some(0));
    queue.set_used_ring_address(Some(used as u32), Some(0));
    queue.set_event_idx(event_idx);
    queue.set_ready(true);
    queue
}

/// A batch: the chains that the driver adds, whether by a table, and how far ahead it wants the next interrupt.
type Batch = (Vec<(Vec<(u64, u32)>, Vec<(u64, u32)>, bool)>, u16);

fn batch() -> impl Strategy<Value = Batch> {
    let buffers = || prop::collection::vec((0x8000u64..0xf000, 1u32..256), 0..4);
    let chain = (buffers(), buffers(), any::<bool>());
    (prop::collection::vec(chain, 0..6), 0u16..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn same_as_virtio_queue(
        event_idx in any::<bool>(),
        start in prop::sample::select(vec![0u16, 65_520, 65_535]),
        batches in prop::collection::vec(batch(), 1..40),
    ) {
        let features = Features::VERSION_1 | Features::INDIRECT_DESC
            | if event_idx { Features::EVENT_IDX } else { Features::NONE };
        let mmaps = [0; 2].map(|_| GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap());
        let memories = mmaps.each_ref().map(TestMemory::over);
        let mut drivers = memories.each_ref().map(|memory| SplitDriver::new(memory, 16, features));

        let interrupts = Arc::new(AtomicU64::new(0));
        let count = interrupts.clone();
        let mut setup = drivers[0].setup();
        setup.interrupt = Arc::new(move || { count.fetch_add(1, SeqCst); });
        // Both go on from the same place, also just before the indexes wrap.
        let position = serde_json::json!({ "Split": { "available": start, "used": start, "decided": true } });
        setup.position = Some(serde_json::from_value(position).unwrap());
        let mut ours = Virtqueue::new(setup).unwrap();
        let mut theirs = queue_of(&drivers[1], event_idx);
        theirs.set_next_avail(start);
        theirs.set_next_used(start);
        drivers.iter_mut().for_each(|driver| driver.start_at(start));

        let mut expected = 0;
        for (chains, ahead) in &batches {
            let mut table = 0x10000;
            for (readable, writable, indirect) in chains {
                let readable = readable.iter().map(|(address, len)| Buffer::readable(*address, *len));
                let writable = writable.iter().map(|(address, len)| Buffer::writable(*address, *len));
                let buffers: Vec<_> = readable.chain(writable).collect();
                for driver in &mut drivers {
                    match indirect {
                        true if !buffers.is_empty() => driver.add_table(table, &buffers),
                        _ => driver.add(&buffers),
                    };
                }
                table += 0x100;
            }
            for driver in &mut drivers {
                driver.set_used_event(driver.used_index().wrapping_add(*ahead));
                driver.show();
            }
            let mut any = false;
            while let Some(mut chain) = theirs.pop_descriptor_chain(&mmaps[1]) {
                let mine = ours.pop().expect("as many chains");
                let head = chain.head_index();
                let (mut readable, mut writable) = (0, 0);
                for descriptor in chain.by_ref() {
                    let side = if descriptor.is_write_only() { &mut writable } else { &mut readable };
                    *side += descriptor.len() as usize;
                }
                prop_assert_eq!((mine.reader().remaining(), mine.writer().remaining()), (readable, writable));
                mine.complete(writable as u32);
                theirs.add_used(&mmaps[1], head, writable as u32).unwrap();
                any = true;
            }
            prop_assert!(ours.pop().is_none());
            ours.publish();
            expected += u64::from(any && theirs.needs_notification(&mmaps[1]).unwrap());
            prop_assert_eq!(interrupts.load(SeqCst), expected);
            prop_assert_eq!(ours.arm(), theirs.enable_notification(&mmaps[1]).unwrap());
            while let Some(used) = drivers[0].used() {
                prop_assert_eq!(drivers[1].used(), Some(used));
            }
        }
        let [ours, theirs] = memories.map(|memory| memory.bytes(0, MEMORY));
        prop_assert!(ours == theirs, "guest memory is the same, byte for byte");
    }
}
