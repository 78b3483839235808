//! Several pairs of queues, and which of them receives what.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{Capabilities, NetHeader, Offloads};

use crate::commands::*;
use crate::frames::{BROADCAST, plain};
use crate::network::Network;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_mq_01_one_pair_is_in_use_at_first,
    net_mq_02_nothing_goes_to_pairs_that_are_given_up,
    net_mq_02_what_waits_in_a_pair_that_is_given_up_goes_elsewhere,
    net_mq_02_pieces_of_a_frame_go_elsewhere,
    net_mq_05_a_flow_stays_with_its_pair,
    net_mq_06_a_flow_comes_back_to_the_pair_that_sends,
    a_network_that_steers_is_left_to_it,
    drv_net_ctrl_05_pairs_that_there_are_not_are_refused,
    drv_net_ctrl_06_pairs_without_queues_are_refused,
    drv_net_ctrl_07_what_is_sent_by_a_pair_not_in_use_comes_back,
    no_frame_is_lost_when_pairs_come_and_go,
}

pub(crate) const PAIRS: Features = Features::from_bits(USUAL.bits() | CTRL_VQ.bits() | MQ.bits());

fn network(steers: bool) -> Network {
    let mut can = Capabilities::default();
    (can.pairs, can.transmit, can.receive, can.steers) = (4, Offloads::ALL, Offloads::ALL, steers);
    Network::with(can)
}

fn rig<P: Port>(steers: bool) -> Rig<P> {
    Rig::with(network(steers), |builder| builder)
}

fn set<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, pairs: u16) {
    assert_eq!(rig.order(queues, PAIRS_SET, &pairs.to_le_bytes()), OK);
    let mut open = rig.network.state().open.clone();
    open.sort_unstable();
    assert_eq!(open, (0..pairs).collect::<Vec<_>>(), "those in use are open");
    assert_eq!((rig.network.configuration().pairs, rig.handle.pairs()), (pairs, pairs));
}

/// A segment of a flow, from a port to the device.
fn of_flow(flow: u16, payload: &[u8]) -> Vec<u8> {
    frame(&ipv4(B4, A4, TCP, &tcp((flow, 80), 0x10, payload)))
}

/// The same flow in the other direction.
fn reply(flow: u16) -> Vec<u8> {
    frame(&ipv4(A4, B4, TCP, &tcp((80, flow), 0x10, b"reply")))
}

fn post_all<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, each: usize) {
    for pair in 0..queues.rx.len() as u16 {
        while queues.rx[usize::from(pair)].free() > 16 - each {
            rig.post(queues, pair, 2048);
        }
    }
}

/// How many buffers came back in each receive queue.
fn taken<D: RingDriver>(queues: &mut Queues<D>) -> Vec<usize> {
    queues.rx.iter_mut().map(|ring| std::iter::from_fn(|| ring.used()).count()).collect()
}

/// The pair that a frame is received by.
fn received_by<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, at: usize, bytes: &[u8]) -> usize {
    post_all(rig, queues, 1);
    rig.arrive(at, NetHeader::default(), bytes);
    let taken = taken(queues);
    assert_eq!(taken.iter().sum::<usize>(), 1);
    taken.iter().position(|count| *count == 1).unwrap()
}

fn net_mq_01_one_pair_is_in_use_at_first<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    for _ in 0..2 {
        assert_eq!(rig.network.state().open, [0]);
        assert_eq!(rig.network.configuration().pairs, 1);
        for flow in 0..64 {
            assert_eq!(received_by(&rig, &mut queues, 0, &of_flow(flow, b"")), 0);
        }
        // Whatever was in use is not after a reset.
        set(&rig, &mut queues, 4);
        rig.port.set_status(0);
        assert!(rig.network.state().open.is_empty());
        queues = rig.live(PAIRS);
    }
}

// spec: NET-MQ-08
fn net_mq_02_nothing_goes_to_pairs_that_are_given_up<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 4);
    let mut flow = 0;
    for pairs in [3, 1, 4, 2, 1, 3] {
        post_all(&rig, &mut queues, 16);
        // Frames come while the command is on its way, too.
        for _ in 0..8 {
            rig.network.inject(0, NetHeader::default(), &of_flow(flow, b""));
            flow += 1;
        }
        set(&rig, &mut queues, pairs);
        taken(&mut queues);
        post_all(&rig, &mut queues, 16);
        for _ in 0..12 {
            rig.arrive(0, NetHeader::default(), &of_flow(flow, b""));
            flow += 1;
        }
        let taken = taken(&mut queues);
        let (used, others) = taken.split_at(pairs.into());
        assert_eq!((used.iter().sum::<usize>(), others.iter().sum::<usize>()), (12, 0));
        assert!(pairs == 1 || used.iter().filter(|count| **count > 0).count() > 1, "several are used");
    }
}

/// A flow that is received by the last pair.
fn flow_of_last<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> u16 {
    (1000..1100).find(|flow| received_by(rig, queues, 0, &of_flow(*flow, b"")) == 3).expect("a flow")
}

fn net_mq_02_what_waits_in_a_pair_that_is_given_up_goes_elsewhere<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 4);
    let flow = flow_of_last(&rig, &mut queues);
    // Those that wait for buffers of the last pair: the first has been looked at, the others are on their way.
    assert_eq!(queues.rx[3].free(), 16);
    for _ in 0..3 {
        rig.arrive(0, NetHeader::default(), &of_flow(flow, b"waiting"));
    }
    assert_eq!(taken(&mut queues), [0; 4]);
    set(&rig, &mut queues, 1);
    for _ in 0..8 {
        rig.post(&mut queues, 3, 2048);
        rig.post(&mut queues, 0, 2048);
    }
    assert_eq!(taken(&mut queues), [3, 0, 0, 0]);
    assert!(!rig.is_broken());
}

fn net_mq_02_pieces_of_a_frame_go_elsewhere<P: Port>() {
    let mut rig = rig::<P>(true);
    let mut queues = rig.live(PAIRS | GUEST_CSUM);
    set(&rig, &mut queues, 4);
    let at = rig.post(&mut queues, 3, 2048);
    let bytes = of_flow(7, &[3; 5000]);
    rig.arrive(3, to_cut(virtio_net::GsoType::Tcp4, 34, 1000), &bytes);
    assert_eq!(rig.got(&mut queues, 3, at).unwrap().1.len(), 54 + 1000);
    set(&rig, &mut queues, 1);
    rig.post(&mut queues, 3, 2048);
    let places: Vec<_> = (0..5).map(|_| rig.post(&mut queues, 0, 2048)).collect();
    rig.runtime.poll();
    assert_eq!(queues.rx[3].waiting(), 0);
    for place in &places[..4] {
        let (header, piece) = rig.got(&mut queues, 0, *place).expect("a piece");
        assert_eq!((header[1], piece.len()), (0, 54 + 1000));
    }
    assert!(queues.rx[0].used().is_none());
}

// spec: NET-MQ-07
fn net_mq_05_a_flow_stays_with_its_pair<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 4);
    let flows: Vec<u16> = (2000..2032).collect();
    let first: Vec<_> =
        flows.iter().map(|flow| received_by(&rig, &mut queues, 0, &of_flow(*flow, b"")) as u16).collect();
    assert!((0..4).all(|pair| first.contains(&pair)), "all pairs are used");
    for at in [0, 2, 3] {
        let again = flows.iter().map(|flow| received_by(&rig, &mut queues, at, &of_flow(*flow, b"more")) as u16);
        assert!(again.eq(first.iter().copied()), "whichever pair of the network they come by");
    }
    // Frames of no flow go somewhere, too.
    received_by(&rig, &mut queues, 1, &plain(BROADCAST, 60));
}

fn net_mq_06_a_flow_comes_back_to_the_pair_that_sends<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 4);
    for round in 0..3 {
        for flow in 3000..3016 {
            let pair = (flow + round) % 4;
            rig.send(&mut queues, pair, &NetHeader::default(), &reply(flow)).expect("it is sent");
            assert_eq!(received_by(&rig, &mut queues, 0, &of_flow(flow, b"")), usize::from(pair));
        }
    }
    // A pair that is not in use any more receives none.
    set(&rig, &mut queues, 2);
    for flow in 3000..3016 {
        assert!(received_by(&rig, &mut queues, 0, &of_flow(flow, b"")) < 2);
    }
}

fn a_network_that_steers_is_left_to_it<P: Port>() {
    let mut rig = rig::<P>(true);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 4);
    for flow in 0..8 {
        for at in 0..4 {
            assert_eq!(received_by(&rig, &mut queues, at, &of_flow(flow, b"")), at);
        }
    }
    // Its queues that are given up are closed; what it has there it keeps.
    set(&rig, &mut queues, 2);
    for at in 0..2 {
        assert_eq!(received_by(&rig, &mut queues, at, &of_flow(9, b"")), at);
    }
    rig.arrive(3, NetHeader::default(), &of_flow(9, b""));
    assert_eq!((taken(&mut queues), rig.network.state().pairs[3].coming.len()), (vec![0; 4], 1));
}

fn drv_net_ctrl_05_pairs_that_there_are_not_are_refused<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    set(&rig, &mut queues, 3);
    for bad in [0, 5, 0x8000, 0x8001, u16::MAX] {
        assert_eq!(rig.order(&mut queues, PAIRS_SET, &u16::to_le_bytes(bad)), ERR);
    }
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[1]), ERR);
    assert_eq!((rig.handle.pairs(), rig.network.configuration().pairs), (3, 3));
}

fn drv_net_ctrl_06_pairs_without_queues_are_refused<P: Port>() {
    for missing in [4, 5] {
        let mut rig = rig::<P>(false);
        assert!(rig.negotiate(PAIRS));
        let enabled = |index: u16| (index != missing).then(|| rig.enable(index, PAIRS));
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        for pair in 0..3 {
            rx.extend(enabled(2 * pair));
            tx.extend(enabled(2 * pair + 1));
        }
        // The queues of the last pair are not enabled either.
        rx.push(rig.enable(7, PAIRS));
        let control = Some(rig.enable(8, PAIRS));
        rig.go();
        while rx.len() < 4 {
            rx.push(P::Driver::new(&rig.memory, 16, PAIRS));
        }
        let mut queues = Queues { rx, tx, control };
        for pairs in [4, 3] {
            assert_eq!(rig.order(&mut queues, PAIRS_SET, &u16::to_le_bytes(pairs)), ERR, "without {missing}");
        }
        assert_eq!(rig.handle.pairs(), 1);
        assert_eq!(rig.order(&mut queues, PAIRS_SET, &[2, 0]), OK);
        assert_eq!(rig.handle.pairs(), 2);
        rig.arrive(0, NetHeader::default(), &of_flow(1, b""));
        assert!(!rig.is_broken());
    }
}

fn drv_net_ctrl_07_what_is_sent_by_a_pair_not_in_use_comes_back<P: Port>() {
    for steers in [false, true] {
        let mut rig = rig::<P>(steers);
        let mut queues = rig.live(PAIRS);
        set(&rig, &mut queues, 2);
        for pair in 0..4 {
            let used = rig.send(&mut queues, pair, &NetHeader::default(), &plain(BROADCAST, 60));
            assert_eq!(used.expect("it comes back").len, 0);
            let sent = rig.network.sent(pair.into()).len();
            assert_eq!(sent, usize::from(pair < 2));
            assert_eq!(rig.handle.pair_counts(pair).unwrap().tx_inactive, u64::from(pair >= 2));
        }
        set(&rig, &mut queues, 4);
        rig.send(&mut queues, 3, &NetHeader::default(), &plain(BROADCAST, 60));
        assert_eq!((rig.network.sent(3).len(), rig.is_broken()), (1, false));
    }
}

fn no_frame_is_lost_when_pairs_come_and_go<P: Port>() {
    let mut rig = rig::<P>(false);
    let mut queues = rig.live(PAIRS);
    let (mut injected, mut got) = (0, 0);
    for round in 0..40_u16 {
        for flow in 0..10 {
            rig.network.inject(0, NetHeader::default(), &of_flow(flow, &[round as u8]));
            injected += 1;
        }
        // Buffers sometimes come before the command, and sometimes behind it.
        if round % 3 == 0 {
            post_all(&rig, &mut queues, 8);
        }
        set(&rig, &mut queues, [1, 4, 2, 3][usize::from(round) % 4]);
        if round % 3 != 1 {
            post_all(&rig, &mut queues, 16);
        }
        rig.runtime.poll();
        got += taken(&mut queues).iter().sum::<usize>();
    }
    for _ in 0..40 {
        post_all(&rig, &mut queues, 16);
        rig.runtime.poll();
        got += taken(&mut queues).iter().sum::<usize>();
    }
    assert_eq!((got, rig.handle.counts().rx_frames), (injected, injected as u64));
}
