//! Limits on frames and bytes per second, in each direction.

use std::time::{Duration, Instant};

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::{NetHeader, Rate, RateLimit};

use crate::commands::{OK, RSS_CONFIG, rss};
use crate::frames::{BROADCAST, GROUP, OWN, plain, tcp4};
use crate::lifecycle::{LONG, long};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    frames_that_are_sent_above_the_limit_wait_in_the_ring,
    frames_that_are_received_above_the_limit_wait_in_the_network,
    each_direction_has_its_own_limit,
    what_is_held_back_goes_on_by_itself,
    resets_and_pauses_do_not_wait_for_the_limit,
    a_frame_for_another_pair_is_one_frame,
    the_pieces_of_a_frame_are_what_the_driver_is_given,
    a_frame_that_is_worked_on_is_one_frame,
    what_the_driver_is_not_given_does_not_count,
}

/// None of these tests takes that long to fill a bucket by one.
fn slow(burst: u64) -> RateLimit {
    RateLimit::new(Some(Rate { per_second: 1, burst }), None)
}

/// Adds so many frames, and shows them.
fn send_all<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, count: usize) {
    let bytes = rig.with_header(&NetHeader::default(), &plain(BROADCAST, 100));
    let at = rig.memory.place(&bytes);
    for _ in 0..count {
        queues.tx[0].add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
    }
    rig.kick(1, &mut queues.tx[0]);
}

fn frames_that_are_sent_above_the_limit_wait_in_the_ring<P: Port>() {
    let start = Instant::now();
    for limit in [slow(3), RateLimit::new(None, Some(Rate { per_second: 1, burst: 250 }))] {
        let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.transmit_limit(limit));
        let mut queues = rig.live(USUAL);
        send_all(&rig, &mut queues, 8);
        // 250 bytes are more than two frames and less than three.
        let late = start.elapsed() > Duration::from_millis(900);
        assert!(queues.tx[0].waiting() == 3 || late, "{} at once", queues.tx[0].waiting());
        assert!(rig.runtime.next_deadline().is_some(), "the task says when it goes on");
        (0..100).for_each(|_| _ = rig.runtime.poll());
        let times = rig.handle.counts().tx_throttled;
        assert!((1..10).contains(&times) || late, "the task looked {times} times");
    }
}

fn frames_that_are_received_above_the_limit_wait_in_the_network<P: Port>() {
    let start = Instant::now();
    for limit in [slow(3), RateLimit::new(None, Some(Rate { per_second: 1, burst: 250 }))] {
        let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.receive_limit(limit));
        let mut queues = rig.live(USUAL);
        (0..8).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
        for _ in 0..8 {
            rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
        }
        let late = start.elapsed() > Duration::from_millis(900);
        assert!(queues.rx[0].waiting() == 3 || late, "{} at once", queues.rx[0].waiting());
        assert!(rig.network.state().pairs[0].coming.len() == 5 || late, "the others are not taken");
        assert!(rig.runtime.next_deadline().is_some(), "the task says when it goes on");
        (0..100).for_each(|_| _ = rig.runtime.poll());
        let times = rig.handle.counts().rx_throttled;
        assert!((1..20).contains(&times) || late, "the task looked {times} times");
    }
}

fn each_direction_has_its_own_limit<P: Port>() {
    let start = Instant::now();
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.transmit_limit(slow(1)));
    let mut queues = rig.live(USUAL);
    (0..8).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
    send_all(&rig, &mut queues, 8);
    for _ in 0..8 {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
    }
    assert_eq!(queues.rx[0].waiting(), 8);
    assert!(queues.tx[0].waiting() == 1 || start.elapsed() > Duration::from_millis(900));
}

fn what_is_held_back_goes_on_by_itself<P: Port>() {
    // Quick enough that the test gets to its end, slow enough that not all come at once.
    let limit = || RateLimit::new(Some(Rate { per_second: 20, burst: 5 }), None);
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.transmit_limit(limit()).receive_limit(limit()));
    let mut queues = rig.live(USUAL);
    (0..10).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
    let start = Instant::now();
    for len in 0..10 {
        rig.network.inject(0, NetHeader::default(), &plain(OWN, 60 + len));
    }
    send_all(&rig, &mut queues, 10);
    let (mut sent, mut received) = (0, Vec::new());
    while sent < 10 || received.len() < 10 {
        assert!(start.elapsed() < Duration::from_secs(60), "{sent} and {received:?} of 10");
        rig.runtime.poll();
        sent += std::iter::from_fn(|| queues.tx[0].used()).count();
        received.extend(std::iter::from_fn(|| queues.rx[0].used()).map(|used| used.len));
        std::thread::yield_now();
    }
    assert_eq!(received, (72..82).collect::<Vec<_>>());
    assert!(start.elapsed() >= Duration::from_millis(200), "five of them, at twenty in a second");
    let counts = rig.handle.counts();
    assert!(counts.tx_throttled > 0 && counts.rx_throttled > 0);
}

fn resets_and_pauses_do_not_wait_for_the_limit<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.transmit_limit(slow(1)).receive_limit(slow(1)));
    let mut queues = rig.live(USUAL);
    (0..8).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
    send_all(&rig, &mut queues, 5);
    for _ in 0..5 {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
    }
    rig.port.host().pause(Duration::from_millis(1)).expect("nothing is in flight");
    rig.port.host().resume();
    rig.port.set_status(0);
    rig.runtime.poll();
    assert_eq!(rig.port.status(), 0);
}

/// Frames that the driver was given by pair 0, or by another, with the limit used up; and whether the limit has grown since `start`.
fn given<P: Port>(queues: &Queues<P::Driver>, pair: usize, start: Instant) -> (usize, bool) {
    (queues.rx[pair].waiting(), start.elapsed() > Duration::from_millis(900))
}

fn a_frame_for_another_pair_is_one_frame<P: Port>() {
    let start = Instant::now();
    for limit in [slow(6), RateLimit::new(None, Some(Rate { per_second: 1, burst: 550 }))] {
        let mut rig = Rig::<P>::with(Network::new(2), |builder| builder.rss(true).receive_limit(limit));
        let mut queues = rig.live(USUAL | CTRL_VQ | MQ | RSS);
        assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(0, &[0], 1, 2, &[])), OK);
        (0..10).for_each(|_| _ = rig.post(&mut queues, 1, 2048));
        for _ in 0..10 {
            rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
        }
        // 550 bytes are more than five frames and less than six.
        let (given, late) = given::<P>(&queues, 1, start);
        assert!(given == 6 || late, "{given} at once");
        assert!(rig.network.state().pairs[0].coming.len() == 4 || late, "the others are not taken");
    }
}

fn the_pieces_of_a_frame_are_what_the_driver_is_given<P: Port>() {
    let start = Instant::now();
    // Seven pieces, each with 54 bytes of headers; and one byte that a short frame may begin with.
    for limit in [slow(8), RateLimit::new(None, Some(Rate { per_second: 1, burst: 7 * 54 + 10001 }))] {
        let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.receive_limit(limit));
        let mut queues = rig.live(USUAL | GUEST_CSUM);
        (0..12).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
        rig.arrive(0, LONG, &long());
        for _ in 0..3 {
            rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
        }
        let (given, late) = given::<P>(&queues, 0, start);
        assert!(given == 8 || late, "{given} at once");
        assert_eq!(rig.handle.counts().rx_segmented, 7);
    }
}

fn a_frame_that_is_worked_on_is_one_frame<P: Port>() {
    let start = Instant::now();
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.receive_limit(slow(4)));
    let mut queues = rig.live(USUAL);
    (0..8).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
    let header = NetHeader { gso_type: 0, gso_size: 0, ..LONG };
    for _ in 0..8 {
        rig.arrive(0, header, &tcp4(OWN, 1000, &[7; 100]));
    }
    let (given, late) = given::<P>(&queues, 0, start);
    assert!(given == 4 || late, "{given} at once");
    assert!(rig.handle.counts().rx_csum_completed == 4 || late);
}

fn what_the_driver_is_not_given_does_not_count<P: Port>() {
    let start = Instant::now();
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.receive_limit(slow(2)));
    let mut queues = rig.live(USUAL | CTRL_VQ | CTRL_RX);
    (0..8).for_each(|_| _ = rig.post(&mut queues, 0, 2048));
    for _ in 0..50 {
        rig.arrive(0, NetHeader::default(), &plain(GROUP, 100));
    }
    rig.handle.set_link(false);
    for _ in 0..50 {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
    }
    rig.handle.set_link(true);
    for _ in 0..8 {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.rx_filtered_mac, counts.rx_link_down), (50, 50));
    let (given, late) = given::<P>(&queues, 0, start);
    assert!(given == 2 || late, "{given} at once");
}
