//! Rings that hold little: as `ethtool -G` of Linux makes them.

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::NetHeader;

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    every_frame_comes_through_rings_of_two,
    frames_longer_than_the_whole_ring_are_dropped_at_once,
    a_frame_that_waits_for_buffers_is_no_reason_to_look_again,
    a_frame_that_waits_for_buffers_is_given_up_after_a_while,
    chains_may_be_as_long_as_the_ring,
    a_frame_of_as_many_buffers_as_the_ring_has,
}

fn rig<P: Port>(size: u16) -> Rig<P> {
    Rig::<P>::with(Network::new(1), |builder| builder.queue_size(size))
}

fn every_frame_comes_through_rings_of_two<P: Port>() {
    for size in [2, 4] {
        for features in [USUAL, USUAL | MRG_RXBUF] {
            let mut rig = rig::<P>(size);
            let mut queues = rig.live(features);
            for len in (14..1500).step_by(37) {
                let places: Vec<_> = (0..size).map(|_| rig.post(&mut queues, 0, 2048)).collect();
                let frames: Vec<_> = (0..usize::from(size)).map(|more| plain(OWN, len + more)).collect();
                for frame in &frames {
                    rig.arrive(0, NetHeader::default(), frame);
                    assert!(rig.send(&mut queues, 0, &NetHeader::default(), frame).is_some());
                }
                for (place, frame) in places.into_iter().zip(&frames) {
                    assert_eq!(&rig.got(&mut queues, 0, place).expect("a frame").1, frame);
                }
                assert_eq!(rig.network.sent(0).into_iter().map(|(_, frame)| frame).collect::<Vec<_>>(), frames);
            }
        }
    }
}

// spec: DRV-NET-03
fn frames_longer_than_the_whole_ring_are_dropped_at_once<P: Port>() {
    for fills in [false, true] {
        let mut rig = rig::<P>(4);
        rig.network.state().fills = fills;
        let mut queues = rig.live(USUAL | MRG_RXBUF);
        let places: Vec<_> = (0..4).map(|_| rig.post(&mut queues, 0, 512)).collect();
        for number in 1..4 {
            rig.arrive(0, NetHeader::default(), &plain(OWN, 2037));
            assert_eq!((rig.handle.counts().rx_no_fit, queues.rx[0].waiting()), (number, 0));
        }
        let frame = plain(OWN, 2036);
        rig.arrive(0, NetHeader::default(), &frame);
        let mut bytes = Vec::new();
        for place in places {
            assert_eq!(queues.rx[0].used().expect("a full buffer").len, 512);
            bytes.extend(rig.memory.bytes(place, 512));
        }
        assert_eq!(bytes[12..], frame);
    }
}

fn a_frame_that_waits_for_buffers_is_no_reason_to_look_again<P: Port>() {
    for fills in [false, true] {
        let mut rig = Rig::<P>::new();
        rig.network.state().fills = fills;
        let mut queues = rig.live(USUAL | MRG_RXBUF);
        let mut places = vec![rig.post(&mut queues, 0, 512)];
        let frame = plain(OWN, 2036);
        rig.arrive(0, NetHeader::default(), &frame);
        (0..100).for_each(|_| _ = rig.runtime.poll());
        let times = rig.handle.counts().rx_blocked;
        assert!((1..10).contains(&times), "the task looked {times} times");
        // It is told of each buffer that comes, by a driver that rings only where it is asked to.
        for _ in 0..3 {
            assert_eq!(queues.rx[0].waiting(), 0);
            places.push(rig.post(&mut queues, 0, 512));
        }
        assert_eq!(queues.rx[0].waiting(), 4);
        let mut bytes = Vec::new();
        for place in places {
            assert_eq!(queues.rx[0].used().expect("a full buffer").len, 512);
            bytes.extend(rig.memory.bytes(place, 512));
        }
        assert_eq!(bytes[12..], frame);
        assert_eq!(rig.handle.counts().rx_no_fit, 0);
    }
}

fn a_frame_that_waits_for_buffers_is_given_up_after_a_while<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | MRG_RXBUF);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 2036));
    assert_eq!(rig.runtime.next_deadline(), None, "without any buffer it waits for as long as it takes");
    let place = rig.post(&mut queues, 0, 512);
    let frame = plain(OWN, 60);
    rig.arrive(0, NetHeader::default(), &frame);
    assert!(rig.runtime.next_deadline().is_some());
    assert_eq!((queues.rx[0].waiting(), rig.handle.counts().rx_no_fit), (0, 0));
    while rig.handle.counts().rx_no_fit == 0 {
        rig.runtime.poll();
        std::thread::yield_now();
    }
    assert_eq!(rig.got(&mut queues, 0, place).expect("the frame behind it").1, frame);
}

fn chains_may_be_as_long_as_the_ring<P: Port>() {
    for size in [2u16, 4, 16] {
        for features in [USUAL, USUAL | MRG_RXBUF] {
            let mut rig = rig::<P>(size);
            let mut queues = rig.live(features);
            let frame = plain(OWN, 16 * usize::from(size));
            let bytes = rig.with_header(&NetHeader::default(), &frame);
            let piece = bytes.len().div_ceil(size.into());
            let (to, from) = (rig.memory.alloc(4096, 16), rig.memory.place(&bytes));
            for indirect in [false, true] {
                let places = |at: u64| {
                    bytes
                        .chunks(piece)
                        .enumerate()
                        .map(move |(place, chunk)| (at + (place * piece) as u64, chunk.len()))
                };
                let readable: Vec<_> = places(from).map(|(at, len)| Buffer::readable(at, len as u32)).collect();
                let writable: Vec<_> = places(to).map(|(at, len)| Buffer::writable(at, len as u32)).collect();
                assert_eq!(readable.len(), usize::from(size));
                let add = |driver: &mut P::Driver, chain: &[Buffer]| {
                    if indirect { driver.add_indirect(chain) } else { driver.add(chain) }.expect("room in the ring");
                };
                add(&mut queues.tx[0], &readable);
                rig.kick(1, &mut queues.tx[0]);
                assert_eq!(queues.tx[0].used().expect("it was sent").len, 0);
                assert_eq!(rig.network.sent(0)[0].1, frame);
                add(&mut queues.rx[0], &writable);
                rig.kick(0, &mut queues.rx[0]);
                rig.arrive(0, NetHeader::default(), &frame);
                assert_eq!(queues.rx[0].used().expect("it was received").len as usize, bytes.len());
                assert_eq!(rig.memory.bytes(to + 12, frame.len()), frame);
            }
        }
    }
}

/// A queue gives as many buffers in a run as this ring has, and a chain here has several descriptors.
fn a_frame_of_as_many_buffers_as_the_ring_has<P: Port>() {
    for (size, most) in [(128u16, 128), (1024, 192)] {
        let mut rig = rig::<P>(size);
        let mut queues = rig.live(USUAL | MRG_RXBUF);
        let at = rig.memory.alloc(4096 * u64::from(size), 16);
        let slots = if P::Driver::LAYOUT.contains(Features::RING_PACKED) && size > 256 { 2 } else { 1 };
        let chains = usize::from(size) / slots;
        for number in 0..chains as u64 {
            let place = at + 256 * number;
            let chain: Vec<_> = (0..slots as u64)
                .map(|piece| Buffer::writable(place + piece * 64 / slots as u64, 64 / slots as u32))
                .collect();
            queues.rx[0].add(&chain).expect("room in the ring");
        }
        rig.kick(0, &mut queues.rx[0]);
        // A run gives 256 slots of a packed ring.
        let most = most.min(256 / slots);
        rig.arrive(0, NetHeader::default(), &plain(OWN, 64 * most - 11));
        assert_eq!((rig.handle.counts().rx_no_fit, queues.rx[0].waiting()), (1, 0), "a ring of {size}");
        let frame = plain(OWN, 64 * most - 12);
        rig.arrive(0, NetHeader::default(), &frame);
        assert_eq!(queues.rx[0].waiting(), most);
        let bytes: Vec<_> = (0..most as u64).flat_map(|number| rig.memory.bytes(at + 256 * number, 64)).collect();
        assert_eq!((bytes[10], &bytes[12..]), (most as u8, &frame[..]));
        // More than one run gives, one after the other.
        for _ in 0..2 {
            rig.network.inject(0, NetHeader::default(), &plain(OWN, 64 * 40));
            rig.network.inject(0, NetHeader::default(), &plain(BROADCAST, 64 * 10));
        }
        while queues.rx[0].used().is_some() {}
        rig.runtime.poll();
        if size > 128 {
            assert_eq!(rig.handle.counts().rx_frames, 5);
        }
    }
}
