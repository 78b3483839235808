//! Queues that are reset by themselves while frames are on their way.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::NetHeader;

use crate::frames::{BROADCAST, OWN, plain, tcp4};
use crate::lifecycle::{LONG, long};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    net_mq_03_frames_for_a_queue_that_is_reset_go_to_another,
    net_mq_04_frames_are_dropped_while_no_queue_takes_them,
    net_mq_02_what_was_handed_to_a_pair_that_is_switched_off_goes_elsewhere,
    basic_vqreset_01_a_transmit_queue_that_is_reset_sends_nothing,
    basic_vqreset_03_queues_are_enabled_again_at_another_depth,
    a_frame_that_is_half_given_ends_with_its_queue,
    the_control_queue_is_reset_like_others,
    queues_are_reset_again_and_again,
}

const RESETTABLE: Features = Features::from_bits(USUAL.bits() | Features::RING_RESET.bits());
const TWO: Features = Features::from_bits(RESETTABLE.bits() | MQ.bits() | CTRL_VQ.bits());

/// A device whose driver uses two pairs.
fn two<P: Port>() -> (Rig<P>, Queues<P::Driver>) {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
    let mut queues = rig.live(TWO);
    assert_eq!(rig.command(&mut queues, 4, 0, &[2, 0]), Some(0));
    (rig, queues)
}

fn reset<P: Port>(rig: &Rig<P>, queue: u16) {
    rig.port.reset_queue(queue);
    rig.runtime.poll();
    assert!(!rig.port.is_resetting(queue) && !rig.port.is_enabled(queue));
}

fn enable<P: Port>(rig: &Rig<P>, queue: u16, size: u16, features: Features) -> P::Driver {
    let features = if rig.offered().contains(Features::EVENT_IDX) { features } else { features - Features::EVENT_IDX };
    let driver = P::Driver::new(&rig.memory, size, features | P::Driver::LAYOUT);
    rig.port.set_queue(queue, size, driver.areas());
    rig.port.enable(queue);
    rig.runtime.poll();
    assert!(rig.port.is_enabled(queue));
    driver
}

/// Which of both pairs receives a frame of a flow.
fn pair_of<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, source: u16) -> Option<usize> {
    rig.arrive(0, NetHeader::default(), &tcp4(OWN, source, b""));
    let pair = (0..2).find(|pair| queues.rx[*pair].waiting() > 0)?;
    queues.rx[pair].used().expect("a frame");
    rig.post(queues, pair as u16, 2048);
    Some(pair)
}

fn net_mq_03_frames_for_a_queue_that_is_reset_go_to_another<P: Port>() {
    let (rig, mut queues) = two::<P>();
    for pair in 0..2 {
        (0..4).for_each(|_| _ = rig.post(&mut queues, pair, 2048));
    }
    let flows: Vec<u16> = (1000..1032).collect();
    let before: Vec<_> = flows.iter().map(|flow| pair_of(&rig, &mut queues, *flow)).collect();
    assert!(before.contains(&Some(0)) && before.contains(&Some(1)), "both pairs are used: {before:?}");
    for (resets, other) in [(0, 1), (1, 0)] {
        reset(&rig, 2 * resets);
        for flow in &flows {
            assert_eq!(pair_of(&rig, &mut queues, *flow), Some(other));
        }
        queues.rx[usize::from(resets)] = enable(&rig, 2 * resets, 16, TWO);
        (0..4).for_each(|_| _ = rig.post(&mut queues, resets, 2048));
        let after: Vec<_> = flows.iter().map(|flow| pair_of(&rig, &mut queues, *flow)).collect();
        assert_eq!(after, before, "each has its own again");
    }
    assert_eq!(rig.handle.counts().rx_no_queue, 0);
}

fn net_mq_04_frames_are_dropped_while_no_queue_takes_them<P: Port>() {
    let (rig, mut queues) = two::<P>();
    let places: Vec<_> = (0..2).map(|pair| rig.post(&mut queues, pair, 2048)).collect();
    reset(&rig, 0);
    reset(&rig, 2);
    for flow in 1000..1010 {
        rig.arrive(usize::from(flow % 2), NetHeader::default(), &tcp4(OWN, flow, b""));
    }
    assert_eq!(rig.handle.counts().rx_no_queue, 10);
    for place in places {
        assert_eq!(rig.memory.bytes(place, 2048), [UNTOUCHED; 2048]);
    }
    // Sending goes on.
    for pair in 0..2 {
        assert!(rig.send(&mut queues, pair, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
        assert_eq!(rig.network.sent(pair.into()).len(), 1);
    }
    queues.rx[1] = enable(&rig, 2, 16, TWO);
    rig.post(&mut queues, 1, 2048);
    assert_eq!(pair_of(&rig, &mut queues, 1000), Some(1));
    assert!(!rig.is_broken());
}

fn net_mq_02_what_was_handed_to_a_pair_that_is_switched_off_goes_elsewhere<P: Port>() {
    let (rig, mut queues) = two::<P>();
    for pair in 0..2 {
        (0..4).for_each(|_| _ = rig.post(&mut queues, pair, 2048));
    }
    let flow =
        (1000..1032).find(|flow| pair_of(&rig, &mut queues, *flow) == Some(1)).expect("a flow of the second pair");
    // Its ring is full of frames, and one more waits in front of it.
    for len in 0..6 {
        rig.arrive(0, NetHeader::default(), &tcp4(OWN, flow, &vec![1; len]));
    }
    assert_eq!(std::iter::from_fn(|| queues.rx[1].used()).count(), 4);
    assert_eq!(rig.command(&mut queues, 4, 0, &[1, 0]), Some(0));
    rig.post(&mut queues, 1, 2048);
    assert_eq!(queues.rx[1].waiting(), 0, "the pair is not used any more");
    let lengths: Vec<_> = std::iter::from_fn(|| queues.rx[0].used()).map(|used| used.len).collect();
    assert_eq!(lengths, [12 + 54 + 4, 12 + 54 + 5]);
}

fn basic_vqreset_01_a_transmit_queue_that_is_reset_sends_nothing<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(RESETTABLE);
    rig.network.make_room(0, 0);
    assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)), None);
    reset(&rig, 1);
    rig.network.make_room(0, usize::MAX);
    assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 61)), None);
    assert_eq!((rig.network.sent(0).len(), rig.handle.counts().tx_frames), (0, 0));
    // Receiving goes on.
    let at = rig.post(&mut queues, 0, 2048);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    assert!(rig.got(&mut queues, 0, at).is_some());
    queues.tx[0] = enable(&rig, 1, 16, RESETTABLE);
    let frame = plain(BROADCAST, 62);
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &frame).is_some());
    assert_eq!(rig.network.sent(0)[0].1, frame);
}

fn basic_vqreset_03_queues_are_enabled_again_at_another_depth<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(RESETTABLE | MRG_RXBUF);
    for size in [2, 16, 4, 8] {
        for queue in [0, 1] {
            reset(&rig, queue);
        }
        queues.rx[0] = enable(&rig, 0, size, RESETTABLE);
        queues.tx[0] = enable(&rig, 1, size, RESETTABLE);
        let places: Vec<_> = (0..size).map(|_| rig.post(&mut queues, 0, 512)).collect();
        let frame = plain(OWN, 512 * usize::from(size) - 12);
        rig.arrive(0, NetHeader::default(), &frame);
        let mut bytes = Vec::new();
        for place in places {
            assert_eq!(queues.rx[0].used().expect("a full buffer").len, 512);
            bytes.extend(rig.memory.bytes(place, 512));
        }
        assert_eq!((bytes[10..12].to_vec(), &bytes[12..]), (size.to_le_bytes().to_vec(), &frame[..]));
        for len in 0..2 * usize::from(size) {
            assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60 + len)).is_some());
        }
        assert_eq!(rig.network.sent(0).len(), 2 * usize::from(size));
    }
}

fn a_frame_that_is_half_given_ends_with_its_queue<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(RESETTABLE | GUEST_CSUM);
    let place = rig.post(&mut queues, 0, 2048);
    rig.arrive(0, LONG, &long());
    assert!(rig.got(&mut queues, 0, place).is_some());
    reset(&rig, 0);
    assert_eq!(rig.handle.counts().rx_no_queue, 6, "a piece has been given, and six had nowhere to go");
    queues.rx[0] = enable(&rig, 0, 16, RESETTABLE);
    let place = rig.post(&mut queues, 0, 2048);
    let frame = plain(OWN, 60);
    rig.arrive(0, NetHeader::default(), &frame);
    assert_eq!(rig.got(&mut queues, 0, place).expect("a frame").1, frame);
}

fn the_control_queue_is_reset_like_others<P: Port>() {
    let (rig, mut queues) = two::<P>();
    reset(&rig, 4);
    queues.control = Some(enable(&rig, 4, 64, TWO));
    assert_eq!(rig.handle.pairs(), 2, "what was set stays");
    assert_eq!(rig.command(&mut queues, 4, 0, &[1, 0]), Some(0));
    assert_eq!(rig.handle.pairs(), 1);
    // Commands do not wait for queues that are reset.
    reset(&rig, 0);
    assert_eq!(rig.command(&mut queues, 4, 0, &[2, 0]), Some(0));
    reset(&rig, 3);
    assert_eq!(rig.command(&mut queues, 4, 0, &[1, 0]), Some(0));
}

fn queues_are_reset_again_and_again<P: Port>() {
    let (rig, mut queues) = two::<P>();
    for round in 0..40u16 {
        for pair in 0..2 {
            (0..3).for_each(|_| _ = rig.post(&mut queues, pair, 2048));
        }
        for flow in 0..4 {
            rig.network.inject(usize::from(flow % 2), NetHeader::default(), &tcp4(OWN, 1000 + round + flow, b"some"));
            rig.send(&mut queues, flow % 2, &NetHeader::default(), &plain(BROADCAST, 60));
        }
        let queue = round % 5;
        rig.port.reset_queue(queue);
        rig.runtime.poll();
        assert!(!rig.port.is_enabled(queue));
        let size = rig.port.queue_max(queue);
        let driver = enable(&rig, queue, size, TWO);
        match queue {
            4 => queues.control = Some(driver),
            _ if queue % 2 == 0 => queues.rx[usize::from(queue / 2)] = driver,
            _ => queues.tx[usize::from(queue / 2)] = driver,
        }
        for driver in queues.rx.iter_mut().chain(&mut queues.tx) {
            while driver.used().is_some() {}
        }
        let pairs = 1 + round % 2;
        assert_eq!(rig.command(&mut queues, 4, 0, &pairs.to_le_bytes()), Some(0));
        // What is left is taken, so that there is room.
        for index in 0..2 {
            if queues.rx[index].free() < 4 {
                rig.port.reset_queue(2 * index as u16);
                rig.runtime.poll();
                queues.rx[index] = enable(&rig, 2 * index as u16, 16, TWO);
            }
        }
    }
    let counts = rig.handle.counts();
    assert!(counts.tx_frames > 100 && counts.rx_frames > 50, "{counts:?}");
    assert!(!rig.is_broken());
}
