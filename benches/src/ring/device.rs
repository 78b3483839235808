//! The devices: ours, and the baseline's in the ways that it is used.

use std::hint::black_box;
use std::ops::Deref;

use virtio_core::{Buffer, Features, GuestRam, Virtqueue};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddressSpace, GuestMemory, GuestMemoryAtomic};

use super::driver::{Driver, Memory};
use super::shape::{Shape, fold};
use crate::contest::Side;
use crate::queues::{Layout, peer, queue};

/// A device with this project's queue.
pub(super) fn ours<B>(memory: &Memory<B>, shape: Shape, layout: Layout, features: Features) -> Side
where
    B: Bitmap + Send + Sync + 'static,
{
    let memory = memory.clone();
    let ram = GuestRam::from_vm_memory(&memory).expect("regions that do not overlap");
    let mut driver = Driver::new(shape, layout, ram.clone());
    let features = features | Features::EVENT_IDX;
    Box::new(move |batches| {
        driver.restart();
        let mut queue = queue(&ram, layout, features);
        let run = driver.time(&memory, batches, || serve_ours(&mut queue, shape.written()));
        assert_eq!(queue.fault(), None);
        run
    })
}

/// A device with virtio-queue's queue, which serves a batch by `serve`.
pub(super) fn baseline<B>(memory: &Memory<B>, shape: Shape, mut serve: impl FnMut(&mut Queue) -> u64 + 'static) -> Side
where
    B: Bitmap + Send + Sync + 'static,
{
    let memory = memory.clone();
    let ram = GuestRam::from_vm_memory(&memory).expect("regions that do not overlap");
    let mut driver = Driver::new(shape, Layout::Split, ram);
    Box::new(move |batches| {
        driver.restart();
        let mut queue = peer();
        queue.set_event_idx(true);
        driver.time(&memory, batches, || serve(&mut queue))
    })
}

/// One batch of ours; its fold.
#[inline(never)]
fn serve_ours(queue: &mut Virtqueue, written: u32) -> u64 {
    let mut folded = 0;
    while let Some(chain) = queue.pop() {
        let fold = |so_far, buffer: Buffer| fold(so_far, buffer.address, buffer.len, buffer.writable);
        folded = chain.buffers().fold(folded, fold);
        chain.complete(written);
    }
    queue.publish();
    black_box(folded)
}

/// One batch of the baseline's, popped chain by chain.
#[inline(never)]
pub(super) fn serve_pop<M: GuestMemory>(queue: &mut Queue, memory: &M, written: u32) -> u64 {
    let mut folded = 0;
    while let Some(mut chain) = queue.pop_descriptor_chain(memory) {
        for descriptor in chain.by_ref() {
            folded = fold(folded, descriptor.addr().0, descriptor.len(), descriptor.is_write_only());
        }
        queue.add_used(memory, chain.head_index(), written).expect("the used ring");
    }
    black_box(queue.needs_notification(memory).expect("the rings"));
    black_box(folded)
}

/// As [`serve_pop`], with memory that may change at any time.
#[inline(never)]
pub(super) fn serve_live<M: GuestMemory>(queue: &mut Queue, memory: &GuestMemoryAtomic<M>, written: u32) -> u64 {
    let mut folded = 0;
    while let Some(mut chain) = queue.pop_descriptor_chain(memory.memory()) {
        for descriptor in chain.by_ref() {
            folded = fold(folded, descriptor.addr().0, descriptor.len(), descriptor.is_write_only());
        }
        queue.add_used(chain.memory(), chain.head_index(), written).expect("the used ring");
    }
    black_box(queue.needs_notification(memory.memory().deref()).expect("the rings"));
    black_box(folded)
}

/// As [`serve_pop`], with one look at the available index for all chains of the batch. They are given back behind it: the
/// iterator holds on to the queue.
#[inline(never)]
pub(super) fn serve_iter<M: GuestMemory>(queue: &mut Queue, memory: &M, written: u32, heads: &mut Vec<u16>) -> u64 {
    let mut folded = 0;
    heads.clear();
    for mut chain in queue.iter(memory).expect("the ring") {
        for descriptor in chain.by_ref() {
            folded = fold(folded, descriptor.addr().0, descriptor.len(), descriptor.is_write_only());
        }
        heads.push(chain.head_index());
    }
    for head in heads.iter() {
        queue.add_used(memory, *head, written).expect("the used ring");
    }
    black_box(queue.needs_notification(memory).expect("the rings"));
    black_box(folded)
}
