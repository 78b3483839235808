//! A ring of either layout under a driver that keeps the rules.

use super::{Port, USUAL, World};
use crate::features::Features;
use crate::testing::{Buffer, RingDriver};

// spec: RING-PACKED-05
pub fn ring_split_02_readable_buffers_are_not_written<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let from = world.memory.place(b"precious");
    let to = world.memory.alloc(64, 1);
    driver.add(&[Buffer::readable(from, 8), Buffer::writable(to, 64)]);
    driver.show();
    world.kick();
    assert_eq!(driver.used().map(|used| used.len), Some(8));
    assert_eq!(world.memory.bytes(from, 8), b"precious");
}

// spec: RING-PACKED-06
pub fn ring_split_03_writable_buffers_are_not_read<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for fill in [0x00, 0xff] {
        let (from, to) = (world.memory.place(b"data"), world.memory.place(&[fill; 8]));
        driver.add(&[Buffer::readable(from, 4), Buffer::writable(to, 8)]);
        driver.show();
        world.kick();
        assert_eq!(driver.used().map(|used| used.len), Some(4));
        assert_eq!(world.memory.bytes(to, 8), [b"data".as_slice(), &[fill; 4]].concat());
    }
}

// spec: RING-SPLIT-08 RING-PACKED-13
pub fn ring_split_07_len_never_exceeds_what_was_written<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for (readable, writable) in [(1, 1), (5, 3), (3, 5), (16, 1)] {
        let from = world.memory.place(&vec![7; readable as usize]);
        let to = world.memory.place(&[0; 16]);
        driver.add(&[Buffer::readable(from, readable), Buffer::writable(to, writable)]);
        driver.show();
        world.kick();
        let len = driver.used().expect("an answer").len as usize;
        assert_eq!(len, readable.min(writable) as usize);
        assert_eq!(world.memory.bytes(to, len), vec![7; len], "every byte below len was written");
        assert_eq!(world.memory.bytes(to + len as u64, 16 - len), vec![0; 16 - len]);
    }
}

// spec: RING-PACKED-01
pub fn ring_split_11_published_buffers_need_no_doorbell_while_awake<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.request(&mut driver, b"first");
    world.request(&mut driver, b"second");
    world.kick();
    assert_eq!(driver.waiting(), 2, "one doorbell for both");
    world.kick();
    assert_eq!(driver.waiting(), 2, "nothing is processed twice");
}

/// With as many descriptors as a task is granted chains for a run, and fewer, and when several batches come in a run.
pub fn a_queue_that_was_served_comes_to_rest<P: Port, D: RingDriver>(world: &World<P, D>) {
    for size in [256, 128, 16] {
        world.port.set_status(0);
        assert!(world.negotiate(USUAL));
        let mut driver = world.enable(0, size, USUAL);
        world.go();
        for requests in [0, 1, 3, 2] {
            for _ in 0..requests {
                world.request(&mut driver, b"echo");
            }
            world.port.notify(0);
            assert!(!world.runtime.poll(), "the task of a queue of {size} finds no rest after {requests} requests");
            let runs = world.device.runs();
            world.runtime.poll();
            assert_eq!(world.device.runs(), runs, "it is not run without a reason");
            assert_eq!(std::iter::from_fn(|| driver.used()).count(), requests);
        }
    }
}

/// Each cut is a list of lengths; readable and writable parts are cut alike.
// spec: RING-PACKED-09
pub fn ring_frame_01_any_framing_gives_the_same_answer<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let cuts: [&[u32]; 6] = [&[7], &[1, 6], &[6, 1], &[3, 1, 3], &[1, 1, 1, 1, 1, 1, 1], &[2, 5]];
    for cut in cuts {
        let from = world.memory.place(b"message");
        let to = world.memory.alloc(7, 1);
        let mut buffers = Vec::new();
        for (start, make) in [(from, Buffer::readable as fn(u64, u32) -> Buffer), (to, Buffer::writable)] {
            let mut at = start;
            for len in cut {
                buffers.push(make(at, *len));
                at += u64::from(*len);
            }
        }
        for indirect in [false, true] {
            world.memory.write(to, &[0; 7]);
            if indirect { driver.add_indirect(&buffers) } else { driver.add(&buffers) }.expect("free descriptors");
            driver.show();
            world.kick();
            assert_eq!(driver.used().map(|used| used.len), Some(7), "{cut:?}");
            assert_eq!(world.memory.bytes(to, 7), b"message", "{cut:?}");
        }
    }
}

// spec: RING-PACKED-10
pub fn ring_frame_02_chains_up_to_the_queue_size<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(&[9; 8]), world.memory.alloc(8, 1));
    let mut buffers: Vec<Buffer> = (0..8).map(|i| Buffer::readable(from + i, 1)).collect();
    buffers.extend((0..8).map(|i| Buffer::writable(to + i, 1)));
    for indirect in [false, true] {
        if indirect { driver.add_indirect(&buffers) } else { driver.add(&buffers) }.expect("free descriptors");
        driver.show();
        world.kick();
        assert_eq!(driver.used().map(|used| used.len), Some(8));
    }
}

// spec: RING-EVT-13
pub fn ring_evt_10_avail_event_postpones_doorbells_without_a_stall<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"x"), world.memory.alloc(1, 1));
    for round in 0..70_000u32 {
        driver.add(&[Buffer::readable(from, 1), Buffer::writable(to, 1)]).expect("free descriptors");
        if driver.publish() {
            world.kick();
        }
        assert_eq!(driver.used().map(|used| used.len), Some(1), "round {round}: rung only when asked to");
    }
}

// spec: DRV-PACKED-04
pub fn ring_evt_11_spurious_doorbells_do_nothing<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for queue in [0, 1, 2, 77, 0xffff] {
        for _ in 0..10 {
            world.port.notify(queue);
        }
    }
    world.runtime.poll();
    assert_eq!(driver.waiting(), 0);
    assert!(world.echoes(&mut driver));
}

pub fn ring_packed_02_chains_are_processed_in_the_order_of_the_ring<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for round in 0..20u8 {
        // Each chain copies what the one before it has written.
        let places: Vec<u64> = (0..6).map(|i| world.memory.place(&[if i == 0 { round } else { 0xff }; 3])).collect();
        for pair in places.windows(2) {
            driver.add(&[Buffer::readable(pair[0], 3), Buffer::writable(pair[1], 3)]).expect("free descriptors");
        }
        driver.show();
        world.kick();
        assert_eq!(world.memory.bytes(places[5], 3), [round; 3]);
        while driver.used().is_some() {}
    }
}

/// Holds requests, and has them answered in reverse; what came back, by the numbers of the requests.
fn answered_in_reverse<P: Port, D: RingDriver>(world: &World<P, D>, driver: &mut D) -> Vec<usize> {
    world.device.hold(true);
    let (from, to) = (world.memory.place(&[5; 8]), world.memory.alloc(8, 1));
    // None is wholly written, so each has an element of its own in any case.
    let chain = |i: u32| [Buffer::readable(from, 1 + i), Buffer::writable(to, 8)];
    let ids: Vec<u32> = (0..5).map(|i| driver.add(&chain(i)).expect("free descriptors").into()).collect();
    driver.show();
    world.kick();
    assert_eq!(driver.waiting(), 0);
    world.device.reverse(true);
    world.device.hold(false);
    world.runtime.poll();
    let came_back = std::iter::from_fn(|| driver.used());
    came_back
        .map(|used| {
            let number = ids.iter().position(|id| *id == used.id).expect("it was out");
            assert_eq!(used.len, 1 + number as u32);
            number
        })
        .collect()
}

pub fn ring_packed_03_buffers_come_back_in_the_order_of_completion<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for _ in 0..5 {
        assert_eq!(answered_in_reverse(world, &mut driver), [4, 3, 2, 1, 0]);
    }
}

pub fn feat_rsvd_05_in_order_buffers_come_back_as_they_were_made_available<P: Port, D: RingDriver>(_: &World<P, D>) {
    let world = World::<P, D>::offering(Features::IN_ORDER);
    let mut driver = world.live(USUAL | Features::IN_ORDER);
    for _ in 0..5 {
        assert_eq!(answered_in_reverse(&world, &mut driver), [0, 1, 2, 3, 4]);
    }
    // Without it having been agreed on, the order is that of completion.
    world.port.set_status(0);
    let mut driver = world.live(USUAL);
    assert_eq!(answered_in_reverse(&world, &mut driver), [4, 3, 2, 1, 0]);
}

/// What was not wholly written has a length of its own, which a batch would swallow.
pub fn in_order_buffers_that_are_not_full_keep_their_length<P: Port, D: RingDriver>(_: &World<P, D>) {
    let world = World::<P, D>::offering(Features::IN_ORDER);
    let mut driver = world.live(USUAL | Features::IN_ORDER);
    let (from, to) = (world.memory.place(&[5; 8]), world.memory.alloc(8, 1));
    for lens in [[4, 4, 2, 4, 4, 4], [1, 2, 3, 4, 4, 1], [4, 4, 4, 4, 4, 3], [3, 4, 4, 4, 4, 4]] {
        for len in lens {
            driver.add(&[Buffer::readable(from, len), Buffer::writable(to, 4)]).expect("free descriptors");
        }
        driver.show();
        world.kick();
        let came_back: Vec<u32> = std::iter::from_fn(|| driver.used()).map(|used| used.len).collect();
        assert_eq!(came_back, lens);
    }
}
