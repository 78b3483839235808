//! Chains that a device has taken as tickets and leaves in the ring after all.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, GuestBuffers, Virtqueue};

both_layouts! {
    several_are_taken_again,
    a_part_is_put_back_and_the_rest_completed,
    in_order_the_last_one_goes_first,
    another_queues_ticket_is_returned,
    several_chains_are_held_as_one,
}

/// A queue of 16 with so many chains of 8 bytes to write, and two descriptors each.
fn queue<D: RingDriver>(features: Features, chains: usize) -> (TestMemory, D, Virtqueue) {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 16, features);
    let queue = Virtqueue::new(driver.setup()).unwrap();
    for _ in 0..chains {
        let at = memory.alloc(8, 8);
        driver.add(&[Buffer::writable(at, 4), Buffer::writable(at + 4, 4)]).unwrap();
    }
    driver.show();
    (memory, driver, queue)
}

fn addresses(queue: &mut Virtqueue) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(chain) = queue.pop() {
        all.extend(chain.buffers().map(|buffer| buffer.address));
        chain.complete(8);
    }
    all
}

fn several_are_taken_again<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let expected = addresses(&mut queue::<D>(features, 5).2);
        let (_memory, mut driver, mut queue) = queue::<D>(features, 5);
        for _ in 0..100 {
            let mut tickets: Vec<_> = std::iter::from_fn(|| Some(queue.pop()?.into_ticket())).collect();
            assert_eq!((tickets.len(), queue.in_flight()), (5, 5));
            while let Some(ticket) = tickets.pop() {
                queue.put_back(ticket).unwrap();
            }
            assert_eq!(queue.in_flight(), 0);
        }
        assert_eq!(addresses(&mut queue), expected);
        queue.publish();
        assert_eq!(std::iter::from_fn(|| driver.used()).count(), 5);
        let counts = queue.setup().counters.read();
        assert_eq!((counts.chains, counts.bytes), (5, 40), "each is counted once");
    }
}

fn a_part_is_put_back_and_the_rest_completed<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let (_memory, mut driver, mut queue) = queue::<D>(features, 5);
        let [a, b, c, d] = [(); 4].map(|()| queue.pop().unwrap().into_ticket());
        queue.put_back(d).unwrap();
        queue.put_back(c).unwrap();
        queue.complete(a, 8).unwrap();
        queue.complete(b, 3).unwrap();
        queue.publish();
        assert_eq!([driver.used(), driver.used()].map(|used| used.unwrap().len), [8, 3]);
        assert!(driver.used().is_none());
        assert_eq!(addresses(&mut queue).len(), 6, "the other three");
    }
}

fn in_order_the_last_one_goes_first<D: RingDriver>() {
    let (_memory, _driver, mut queue) = queue::<D>(Features::IN_ORDER, 2);
    let [a, b] = [(); 2].map(|()| queue.pop().unwrap().into_ticket());
    let a = queue.put_back(a).unwrap_err().0;
    queue.put_back(b).unwrap();
    queue.put_back(a).unwrap();
    assert_eq!(addresses(&mut queue).len(), 4);
}

fn another_queues_ticket_is_returned<D: RingDriver>() {
    let (_one_memory, _one_driver, mut one) = queue::<D>(Features::NONE, 1);
    let (_other_memory, _other_driver, mut other) = queue::<D>(Features::NONE, 1);
    let ticket = one.pop().unwrap().into_ticket();
    let ticket = other.put_back(ticket).unwrap_err().0;
    assert_eq!((one.in_flight(), other.in_flight()), (1, 0));
    one.put_back(ticket).unwrap();
}

fn several_chains_are_held_as_one<D: RingDriver>() {
    let (memory, _driver, mut queue) = queue::<D>(Features::NONE, 3);
    let mut buffers = GuestBuffers::new();
    let (mut tickets, mut places) = (Vec::new(), Vec::new());
    while let Some(chain) = queue.pop() {
        places.extend(chain.buffers().map(|buffer| buffer.address));
        assert!(buffers.hold_more_writable(&chain.writer()).unwrap());
        tickets.push(chain.into_ticket());
    }
    assert_eq!((buffers.len(), buffers.io_slices().len()), (24, 6));
    buffers.writer(queue.view()).write(b"abcdefghijklmnopqrstuvwx").unwrap();
    let written: Vec<_> = places.iter().flat_map(|place| memory.bytes(*place, 4)).collect();
    assert_eq!(written, b"abcdefghijklmnopqrstuvwx");
    // Of another queue's, which has a view of its own.
    let (_other_memory, _other_driver, mut other) = self::queue::<D>(Features::NONE, 1);
    let chain = other.pop().unwrap();
    assert!(!buffers.hold_more_writable(&chain.writer()).unwrap());
    assert_eq!(buffers.len(), 24);
}
