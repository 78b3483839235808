//! The device's thread.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};

use virtio_core::Virtqueue;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestMemoryMmap};

use crate::wait::Alarm;
use benches::queues::BATCH;

/// Serves so many chains; the sum of the numbers in them.
pub(crate) fn serve_ours(mut queue: Virtqueue, chains: &AtomicU64, alarm: &Alarm<'_>) -> u64 {
    queue.disarm();
    let (mut sum, mut served) = (0, 0);
    while served < chains.load(Ordering::Relaxed) {
        served += alarm.until(|| batch_of_ours(&mut queue, &mut sum).or_else(|| is_over(chains, served)));
        assert_eq!(queue.fault(), None);
    }
    sum
}

/// As [`serve_ours`], by the baseline.
pub(crate) fn serve_peer(mut queue: Queue, memory: &GuestMemoryMmap<()>, chains: &AtomicU64, alarm: &Alarm<'_>) -> u64 {
    queue.disable_notification(memory).expect("the ring");
    let (mut sum, mut served) = (0, 0);
    while served < chains.load(Ordering::Relaxed) {
        served += alarm.until(|| batch_of_peer(&mut queue, memory, &mut sum).or_else(|| is_over(chains, served)));
    }
    sum
}

/// Nothing, where nothing more comes: the driver may have cut the run short.
fn is_over(chains: &AtomicU64, served: u64) -> Option<u64> {
    (chains.load(Ordering::Relaxed) <= served).then_some(0)
}

#[inline(never)]
fn batch_of_ours(queue: &mut Virtqueue, sum: &mut u64) -> Option<u64> {
    let mut chains = 0;
    while chains < BATCH
        && let Some(chain) = queue.pop()
    {
        let number = chain.reader().read_array().expect("a buffer");
        *sum = sum.wrapping_add(u64::from_le_bytes(number));
        chain.complete(0);
        chains += 1;
    }
    if chains == 0 {
        spin_loop();
        return None;
    }
    queue.publish();
    Some(chains.into())
}

#[inline(never)]
fn batch_of_peer(queue: &mut Queue, memory: &GuestMemoryMmap<()>, sum: &mut u64) -> Option<u64> {
    let mut chains = 0;
    while chains < BATCH
        && let Some(mut chain) = queue.pop_descriptor_chain(memory)
    {
        for descriptor in chain.by_ref() {
            let number: u64 = memory.read_obj(descriptor.addr()).expect("a buffer");
            *sum = sum.wrapping_add(number);
        }
        queue.add_used(memory, chain.head_index(), 0).expect("the used ring");
        chains += 1;
    }
    if chains == 0 {
        spin_loop();
        return None;
    }
    black_box(queue.needs_notification(memory).expect("the rings"));
    Some(chains.into())
}
