//! A queue gives its device no more chains than were granted, and loses none of the grant.

#![allow(clippy::unwrap_used)] // tests may panic

use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, Virtqueue};

struct Rig<D> {
    driver: D,
    queue: Virtqueue,
    buffer: Buffer,
}

impl<D: RingDriver> Rig<D> {
    fn new() -> Rig<D> {
        let memory = TestMemory::new(1 << 20);
        let driver = D::new(&memory, 16, Features::NONE);
        let queue = Virtqueue::new(driver.setup()).unwrap();
        Rig { driver, queue, buffer: Buffer::writable(memory.alloc(8, 8), 8) }
    }

    fn offer(&mut self, chains: usize) {
        self.offer_long(chains, 1);
    }

    fn offer_long(&mut self, chains: usize, descriptors: usize) {
        for _ in 0..chains {
            self.driver.add(&vec![self.buffer; descriptors]).unwrap();
        }
        self.driver.show();
    }

    /// Takes what there is; how many chains.
    fn serve(&mut self) -> usize {
        let mut chains = 0;
        while let Some(chain) = self.queue.pop() {
            chain.complete(8);
            chains += 1;
        }
        self.queue.publish();
        while self.driver.used().is_some() {}
        chains
    }
}

fn no_more_than_granted<D: RingDriver>() {
    let mut rig = Rig::<D>::new();
    rig.offer(10);
    rig.queue.grant(4);
    assert_eq!(rig.serve(), 4);
    assert!(rig.queue.arm(), "there is more");
    rig.queue.grant(100);
    assert_eq!(rig.serve(), 6);
    assert!(!rig.queue.arm());
}

/// However often the device looks in vain, and whatever the ring could have held then.
fn nothing_is_lost<D: RingDriver>() {
    let mut rig = Rig::<D>::new();
    rig.queue.grant(20);
    for _ in 0..30 {
        assert_eq!(rig.serve(), 0);
        assert!(!rig.queue.arm(), "there is nothing");
    }
    for chains in [3, 9, 1, 5] {
        rig.offer(chains);
        assert_eq!(rig.serve(), chains);
    }
    assert!(!rig.queue.arm(), "there is nothing, and some of the grant");
    rig.offer(3);
    assert_eq!(rig.serve(), 2, "20 in all");
    assert!(rig.queue.arm(), "there is more");
}

/// A chain of three descriptors counts as `counts`.
fn long_chains<D: RingDriver>(counts: u32) {
    let mut rig = Rig::<D>::new();
    rig.queue.grant(6 * counts);
    rig.offer_long(5, 3);
    rig.queue.pop().unwrap().put_back();
    assert_eq!(rig.serve(), 5);
    assert!(!rig.queue.arm(), "there is nothing");
    rig.offer_long(2, 3);
    assert_eq!(rig.serve(), 1);
    assert!(rig.queue.arm(), "there is more");
}

#[test]
fn a_chain_counts_as_the_slots_that_it_takes_up() {
    long_chains::<SplitDriver>(1);
    long_chains::<PackedDriver>(3);
}

#[test]
fn no_more_chains_than_granted() {
    no_more_than_granted::<SplitDriver>();
    no_more_than_granted::<PackedDriver>();
}

#[test]
fn looking_in_vain_uses_up_nothing() {
    nothing_is_lost::<SplitDriver>();
    nothing_is_lost::<PackedDriver>();
}
