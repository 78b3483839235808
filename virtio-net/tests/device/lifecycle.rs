//! Reset, pause and removal while frames are on their way.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use virtio_core::ThreadRuntime;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_net::{GsoType, Loopback, MacAddress, NetHeader, Offloads};

use crate::frames::{BROADCAST, OTHER, OWN, plain, tcp4};
use crate::network::Network;
use crate::rig::*;
use crate::traffic::on_threads;

each_transport! {
    basic_reset_02_a_reset_ends_all_traffic,
    net_mq_01_after_a_reset_nothing_is_left_of_what_the_driver_had_set,
    a_frame_that_is_half_given_is_lost_with_a_reset,
    removal_ends_all_traffic,
    a_paused_device_moves_nothing_and_loses_nothing,
    a_frame_that_is_half_given_goes_on_after_a_pause,
    a_driver_is_not_waited_for_while_it_is_paused,
    memory_is_changed_at_once_whatever_waits,
    pairs_on_threads_of_their_own,
}

/// A segment of TCP that has to be cut for a driver without TSO.
pub(crate) const LONG: NetHeader = NetHeader {
    flags: NetHeader::NEEDS_CSUM,
    gso_type: GsoType::Tcp4 as u8,
    hdr_len: 54,
    gso_size: 1460,
    csum_start: 34,
    csum_offset: 16,
    outer_th_offset: 0,
    inner_nh_offset: 0,
};

/// A frame that takes seven pieces.
pub(crate) fn long() -> Vec<u8> {
    let payload: Vec<u8> = (0..10000).map(|at| (at % 253) as u8).collect();
    tcp4(OWN, 1000, &payload)
}

// spec: BASIC-RESET-01
fn basic_reset_02_a_reset_ends_all_traffic<P: Port>() {
    let mut rig = Rig::<P>::new();
    for round in 0..3 {
        let mut queues = rig.live(USUAL | CSUM | GUEST_CSUM);
        assert_eq!(rig.network.configuration().receive, Offloads::CSUM);
        let places: Vec<_> = (0..4).map(|_| rig.post(&mut queues, 0, 2048)).collect();
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
        assert!(rig.got(&mut queues, 0, places[0]).is_some(), "round {round}");
        // The network has no room, so that frames stay in the ring.
        rig.network.make_room(0, 0);
        for len in 60..65 {
            assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, len)), None);
        }
        assert_eq!(rig.network.state().open, [0]);
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
        assert!(rig.network.is_closed());
        // Nothing is touched, and nothing sent, from now on.
        rig.network.make_room(0, usize::MAX);
        rig.arrive(0, NetHeader::default(), &plain(OWN, 100));
        for place in &places[1..] {
            assert_eq!(rig.memory.bytes(*place, 2048), [UNTOUCHED; 2048]);
        }
        assert_eq!(rig.network.sent(0), []);
        rig.network.state().pairs[0].coming.clear();
    }
}

fn net_mq_01_after_a_reset_nothing_is_left_of_what_the_driver_had_set<P: Port>() {
    let features = USUAL | MQ | CTRL_VQ | CTRL_RX | CTRL_VLAN | CTRL_MAC_ADDR | CTRL_GUEST_OFFLOADS | GUEST_CSUM;
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
    let mut queues = rig.live(features);
    let commands: [(u8, u8, &[u8]); 5] =
        [(0, 0, &[1]), (1, 1, &OTHER), (2, 0, &[7, 0]), (4, 0, &[2, 0]), (5, 0, &[0; 8])];
    for (class, command, data) in commands {
        assert_eq!(rig.command(&mut queues, class, command, data), Some(0), "class {class}");
    }
    assert_eq!((rig.handle.pairs(), rig.handle.mac()), (2, MacAddress(OTHER)));
    assert_eq!((rig.network.state().open.len(), rig.config::<6>(0)), (2, OTHER));
    rig.port.set_status(0);
    assert_eq!((rig.handle.pairs(), rig.handle.mac(), rig.config::<6>(0)), (1, MacAddress(OWN), OWN));

    let mut queues = rig.live(features);
    let at = rig.post(&mut queues, 0, 2048);
    assert_eq!((rig.network.configuration().pairs, rig.network.configuration().receive), (1, Offloads::CSUM));
    assert_eq!(rig.network.state().open, [0]);
    rig.arrive(0, NetHeader::default(), &plain(OTHER, 60));
    rig.arrive(0, NetHeader::default(), &crate::frames::tagged(OWN, 7, 64));
    let counts = rig.handle.counts();
    assert_eq!((queues.rx[0].waiting(), counts.rx_filtered_mac, counts.rx_filtered_vlan), (0, 1, 1));
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    assert!(rig.got(&mut queues, 0, at).is_some());
}

fn a_frame_that_is_half_given_is_lost_with_a_reset<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | GUEST_CSUM);
    let place = rig.post(&mut queues, 0, 2048);
    rig.arrive(0, LONG, &long());
    assert!(rig.got(&mut queues, 0, place).is_some());
    assert_eq!(rig.handle.counts().rx_segmented, 1);
    rig.port.set_status(0);
    assert_eq!(rig.handle.counts().rx_abandoned, 1);
    let mut queues = rig.live(USUAL);
    let place = rig.post(&mut queues, 0, 2048);
    assert_eq!(queues.rx[0].waiting(), 0, "nothing of the frame before");
    let frame = plain(OWN, 60);
    rig.arrive(0, NetHeader::default(), &frame);
    assert_eq!(rig.got(&mut queues, 0, place).unwrap().1, frame);
}

fn removal_ends_all_traffic<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    rig.network.make_room(0, 0);
    rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    let Rig { port, handle, network, memory, .. } = rig;
    drop(port);
    assert!(network.is_closed());
    let counts = handle.counts();
    assert_eq!((counts.rx_abandoned, counts.tx_frames, network.sent(0).len()), (1, 0, 0));
    // The handle outlives it.
    handle.set_link(false);
    assert!(!handle.announce());
    drop(memory);
}

fn a_paused_device_moves_nothing_and_loses_nothing<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let frames: Vec<_> = (60..68).map(|len| plain(OWN, len)).collect();
    // One is received and waits for a buffer, the others wait in the network.
    frames.iter().for_each(|frame| rig.arrive(0, NetHeader::default(), frame));
    rig.network.make_room(0, 0);
    let frame = plain(BROADCAST, 99);
    assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &frame), None);
    assert_eq!(rig.port.host().pause(Duration::from_secs(1)).expect("nothing is in flight").len(), 2);

    let places: Vec<_> = (0..8).map(|_| rig.post(&mut queues, 0, 2048)).collect();
    rig.network.make_room(0, usize::MAX);
    rig.runtime.poll();
    assert_eq!((queues.rx[0].waiting(), queues.tx[0].waiting(), rig.network.sent(0).len()), (0, 0, 0));
    assert_eq!(rig.memory.bytes(places[0], 2048), [UNTOUCHED; 2048]);

    rig.port.host().resume();
    rig.runtime.poll();
    for (frame, place) in frames.iter().zip(places) {
        assert_eq!(&rig.got(&mut queues, 0, place).expect("a frame").1, frame);
    }
    assert!(queues.tx[0].used().is_some());
    assert_eq!(rig.network.sent(0)[0].1, frame);
    let counts = rig.handle.counts();
    assert_eq!((counts.rx_frames, counts.tx_frames, counts.rx_abandoned), (8, 1, 0));
}

fn a_frame_that_is_half_given_goes_on_after_a_pause<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | GUEST_CSUM);
    let mut places: Vec<_> = (0..2).map(|_| rig.post(&mut queues, 0, 2048)).collect();
    rig.arrive(0, LONG, &long());
    assert_eq!(queues.rx[0].waiting(), 2);
    rig.port.host().pause(Duration::from_secs(1)).expect("nothing is in flight");
    places.extend((0..5).map(|_| rig.post(&mut queues, 0, 2048)));
    rig.runtime.poll();
    assert_eq!(queues.rx[0].waiting(), 2);
    rig.port.host().resume();
    rig.runtime.poll();
    let mut payload = Vec::<u8>::new();
    for place in places {
        payload.extend(&rig.got(&mut queues, 0, place).expect("a piece").1[54..]);
    }
    assert_eq!(payload, long()[54..]);
}

fn a_driver_is_not_waited_for_while_it_is_paused<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | MRG_RXBUF);
    rig.post(&mut queues, 0, 100);
    let start = Instant::now();
    let frame = plain(OWN, 600);
    rig.arrive(0, NetHeader::default(), &frame);
    rig.port.host().pause(Duration::from_secs(1)).expect("nothing is in flight");
    // Longer than a frame waits for a driver that runs.
    while start.elapsed() < Duration::from_millis(1100) {
        thread::yield_now();
    }
    let end = Instant::now();
    rig.port.host().resume();
    rig.runtime.poll();
    let late = end.elapsed() > Duration::from_millis(900);
    assert!(rig.handle.counts().rx_no_fit == 0 || late, "it is given up");
    rig.post(&mut queues, 0, 1000);
    let late = end.elapsed() > Duration::from_millis(900);
    assert!(queues.rx[0].waiting() == 2 || late, "it is given to the driver");
}

fn memory_is_changed_at_once_whatever_waits<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | MRG_RXBUF);
    // Too few buffers, and frames that wait in both directions: none of it holds memory.
    rig.post(&mut queues, 0, 100);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 600));
    rig.network.make_room(0, 0);
    rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    let barrier = rig.memory.ram().replace_with(rig.memory.ram());
    rig.runtime.poll();
    assert!(barrier.is_complete());
    rig.post(&mut queues, 0, 1000);
    rig.network.make_room(0, 1);
    rig.runtime.poll();
    assert_eq!((queues.rx[0].waiting(), queues.tx[0].waiting(), rig.network.sent(0).len()), (2, 1, 1));
}

/// Waits until `driver` has something, for a while.
fn wait<D: RingDriver>(driver: &mut D) -> virtio_core::testing::Used {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match driver.used() {
            Some(used) => break used,
            None if Instant::now() < deadline => thread::yield_now(),
            None => panic!("no answer"),
        }
    }
}

fn pairs_on_threads_of_their_own<P: Port + Sync>() {
    let (memory, runtime) = (TestMemory::new(32 << 20), Arc::new(ThreadRuntime::new()));
    let mut rig = on_threads::<P>(Loopback::new(), |builder| builder.pairs(4), memory, runtime);
    for round in 1..=2 {
        let Queues { rx, tx, control } = rig.live(USUAL | MQ | CTRL_VQ);
        let mut control = control.expect("a control queue");
        let (at, answer) = (rig.memory.place(&[4, 0, 4, 0]), rig.memory.place(&[UNTOUCHED]));
        control.add(&[Buffer::readable(at, 4), Buffer::writable(answer, 1)]).expect("room");
        rig.kick(8, &mut control);
        assert_eq!(wait(&mut control).len, 1);
        assert_eq!(rig.memory.bytes(answer, 1), [0]);
        thread::scope(|scope| {
            for (pair, (mut rx, mut tx)) in (0u16..).zip(rx.into_iter().zip(tx)) {
                let rig = &rig;
                scope.spawn(move || {
                    let (to, from) = (rig.memory.alloc(2048, 16), rig.memory.alloc(2048, 16));
                    for count in 0..200 {
                        let frame = plain(OWN, 60 + 50 * usize::from(pair) + count % 40);
                        rig.memory.write(from, &rig.with_header(&NetHeader::default(), &frame));
                        rx.add(&[Buffer::writable(to, 2048)]).expect("room");
                        rx.kick(|| rig.port.notify(2 * pair));
                        tx.add(&[Buffer::readable(from, 12 + frame.len() as u32)]).expect("room");
                        tx.kick(|| rig.port.notify(2 * pair + 1));
                        assert_eq!(wait(&mut tx).len, 0);
                        assert_eq!(wait(&mut rx).len as usize, 12 + frame.len());
                        assert_eq!(rig.memory.bytes(to + 12, frame.len()), frame, "pair {pair}, {count}");
                    }
                });
            }
        });
        let counts = rig.handle.counts();
        assert_eq!((counts.rx_frames, counts.tx_frames), (800 * round, 800 * round));
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
    }
}
