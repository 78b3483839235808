//! The calls for each chain, and their order.

use std::sync::{Arc, Mutex};

use virtio_core::ring::{InFlight, Recorder};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, QueuePosition, RingFault, Virtqueue};

both_layouts! {
    a_chain_that_is_completed_at_once,
    a_ticket_that_is_put_back,
    tickets_out_of_order,
    tickets_out_of_order_with_in_order,
    chains_behind_a_ticket_with_in_order,
    a_chain_that_is_dropped,
    a_chain_that_is_put_back,
    a_ring_that_breaks,
    where_chains_are,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Popped(u16),
    PutBack(u16),
    Staged(u16, u32),
    /// Was about to be published, and then was.
    Published(QueuePosition),
    Publishing,
}

use Call::{Popped, Published, Publishing, PutBack, Staged};

/// All calls, and the chains.
#[derive(Default)]
struct Calls(Mutex<(Vec<Call>, Vec<InFlight>)>);

impl Calls {
    /// Those since this was asked last.
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }
}

impl Recorder for Calls {
    fn popped(&self, chain: InFlight) {
        let mut calls = self.0.lock().unwrap();
        calls.0.push(Popped(chain.id));
        calls.1.push(chain);
    }

    fn put_back(&self, id: u16) {
        self.0.lock().unwrap().0.push(PutBack(id));
    }

    fn staged(&self, id: u16, len: u32) {
        self.0.lock().unwrap().0.push(Staged(id, len));
    }

    fn publishing(&self, _position: QueuePosition) {
        self.0.lock().unwrap().0.push(Publishing);
    }

    fn published(&self, position: QueuePosition) {
        let mut calls = self.0.lock().unwrap();
        assert_eq!(calls.0.pop(), Some(Publishing), "nothing in between");
        calls.0.push(Published(position));
    }
}

/// A queue of 8 with so many chains of one descriptor, of 8 bytes to write; and their ids.
fn queue<D: RingDriver>(features: Features, chains: usize) -> (D, Virtqueue, Arc<Calls>, Vec<u16>) {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 8, features);
    let calls = Arc::new(Calls::default());
    let mut setup = driver.setup();
    setup.recorder = Some(calls.clone());
    let queue = Virtqueue::new(setup).unwrap();
    let buffer = Buffer::writable(memory.alloc(8, 8), 8);
    let ids = (0..chains).map(|_| driver.add(&[buffer]).unwrap()).collect();
    driver.show();
    (driver, queue, calls, ids)
}

fn a_ticket_that_is_put_back<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_driver, mut queue, calls, ids) = queue::<D>(features, 2);
        let tickets = [(); 2].map(|()| queue.pop().unwrap().into_ticket());
        let [first, second] = tickets;
        queue.put_back(second).unwrap();
        queue.put_back(first).unwrap();
        assert_eq!(calls.take(), [Popped(ids[0]), Popped(ids[1]), PutBack(ids[1]), PutBack(ids[0])]);
        queue.pop().unwrap().complete(8);
        assert_eq!(calls.take(), [Popped(ids[0]), Staged(ids[0], 8)]);
    }
}

fn a_chain_that_is_completed_at_once<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_driver, mut queue, calls, ids) = queue::<D>(features, 2);
        queue.publish();
        let chain = queue.pop().unwrap();
        assert_eq!(calls.take(), [], "taken, but neither kept nor completed yet");
        chain.complete(3);
        assert_eq!(calls.take(), [Popped(ids[0]), Staged(ids[0], 3)]);
        queue.pop().unwrap().complete(8);
        assert_eq!(calls.take(), [Popped(ids[1]), Staged(ids[1], 8)]);
        queue.publish();
        assert_eq!(calls.take(), [Published(queue.position())]);
        queue.publish();
        assert_eq!(calls.take(), [], "nothing new");
    }
}

fn tickets_out_of_order<D: RingDriver>() {
    let (_driver, mut queue, calls, ids) = queue::<D>(Features::NONE, 3);
    let [a, b, c] = [(); 3].map(|()| queue.pop().unwrap().into_ticket());
    assert_eq!(calls.take(), [Popped(ids[0]), Popped(ids[1]), Popped(ids[2])]);
    queue.complete(c, 8).unwrap();
    queue.complete(a, 1).unwrap();
    assert_eq!(calls.take(), [Staged(ids[2], 8), Staged(ids[0], 1)]);
    queue.publish();
    assert_eq!(calls.take(), [Published(queue.position())]);
    queue.complete(b, 0).unwrap();
    queue.publish();
    assert_eq!(calls.take(), [Staged(ids[1], 0), Published(queue.position())]);
}

/// What the driver cannot be shown yet is not staged.
fn tickets_out_of_order_with_in_order<D: RingDriver>() {
    let (mut driver, mut queue, calls, ids) = queue::<D>(Features::IN_ORDER, 4);
    let [a, b, c] = [(); 3].map(|()| queue.pop().unwrap().into_ticket());
    calls.take();
    queue.complete(c, 8).unwrap();
    queue.publish();
    assert_eq!((calls.take(), driver.used()), (vec![], None));
    queue.complete(a, 8).unwrap();
    assert_eq!(calls.take(), [Staged(ids[0], 8)]);
    queue.publish();
    assert_eq!(calls.take(), [Published(queue.position())]);
    assert_eq!((driver.waiting(), driver.used().map(|used| used.id)), (1, Some(ids[0].into())));
    queue.complete(b, 8).unwrap();
    assert_eq!(calls.take(), [Staged(ids[1], 8), Staged(ids[2], 8)]);
    queue.publish();
    assert_eq!(calls.take(), [Published(queue.position())]);
    assert_eq!(driver.waiting(), 2);
}

fn chains_behind_a_ticket_with_in_order<D: RingDriver>() {
    let (driver, mut queue, calls, ids) = queue::<D>(Features::IN_ORDER, 3);
    let ticket = queue.pop().unwrap().into_ticket();
    queue.pop().unwrap().complete(2);
    drop(queue.pop().unwrap());
    queue.publish();
    assert_eq!(calls.take(), [Popped(ids[0]), Popped(ids[1]), Popped(ids[2])]);
    queue.complete(ticket, 1).unwrap();
    assert_eq!(calls.take(), [Staged(ids[0], 1), Staged(ids[1], 2), Staged(ids[2], 0)]);
    queue.publish();
    assert_eq!((calls.take(), driver.waiting()), (vec![Published(queue.position())], 3));
}

fn a_chain_that_is_dropped<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_driver, mut queue, calls, ids) = queue::<D>(features, 1);
        drop(queue.pop().unwrap());
        queue.publish();
        assert_eq!(calls.take(), [Popped(ids[0]), Staged(ids[0], 0), Published(queue.position())]);
    }
}

fn a_chain_that_is_put_back<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_driver, mut queue, calls, ids) = queue::<D>(features, 1);
        queue.pop().unwrap().put_back();
        queue.publish();
        assert_eq!(calls.take(), []);
        queue.pop().unwrap().complete(8);
        queue.publish();
        assert_eq!(calls.take(), [Popped(ids[0]), Staged(ids[0], 8), Published(queue.position())]);
    }
}

/// What was staged is still published; all others stay in flight.
fn a_ring_that_breaks<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_driver, mut queue, calls, ids) = queue::<D>(features, 3);
        queue.pop().unwrap().complete(8);
        let ticket = queue.pop().unwrap().into_ticket();
        calls.take();
        queue.pop().unwrap().break_ring();
        assert_eq!(queue.fault(), Some(RingFault::NoAnswer { head: ids[2] }));
        assert_eq!(calls.take(), [Published(queue.position())]);
        queue.complete(ticket, 8).unwrap();
        queue.publish();
        assert_eq!(calls.take(), []);
    }
}

fn where_chains_are<D: RingDriver>() {
    let (mut driver, mut queue, calls, _) = queue::<D>(Features::NONE, 0);
    let packed = matches!(queue.position(), QueuePosition::Packed { .. });
    let mut expected = Vec::new();
    let mut next = 0;
    for (chain, slots) in (0..).zip([3, 1, 3, 2, 1, 3]) {
        let id = driver.add(&vec![Buffer::writable(0x2000, 1); slots.into()]).unwrap();
        driver.show();
        expected.push(if packed { (id, next, slots) } else { (id, chain, 1) });
        next = (next + slots) % 8;
        queue.pop().unwrap().complete(1);
        queue.publish();
        assert_eq!(driver.used().map(|used| used.id), Some(id.into()));
    }
    let chains = &calls.0.lock().unwrap().1;
    let seen: Vec<_> = chains.iter().map(|InFlight { id, slot, slots, .. }| (*id, *slot, *slots)).collect();
    assert_eq!(seen, expected);
}
