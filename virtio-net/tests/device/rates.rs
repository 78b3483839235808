//! Limits on frames and bytes per second, in each direction.

use std::time::{Duration, Instant};

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::{NetHeader, Rate, RateLimit};

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    frames_that_are_sent_above_the_limit_wait_in_the_ring,
    frames_that_are_received_above_the_limit_wait_in_the_network,
    each_direction_has_its_own_limit,
    what_is_held_back_goes_on_by_itself,
    resets_and_pauses_do_not_wait_for_the_limit,
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
