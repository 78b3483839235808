//! Pairs that have more frames for each other than their drivers' side takes.

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::NetHeader;

use crate::commands::{OK, PAIRS_SET, RSS_CONFIG, rss};
use crate::frames::{OWN, plain};
use crate::network::Network;
use crate::packets::{self, TCP, ipv4, tcp};
use crate::rig::*;
use crate::rss::{KEY, TCPV4, V4};

each_transport! {
    frames_for_a_pair_without_buffers_wait_in_the_network,
    pairs_that_hand_frames_to_each_other_get_on,
    frames_of_pairs_that_are_disabled_may_be_too_many,
}

/// Bytes of a frame, of which [`ENOUGH`] wait for one task.
const LEN: usize = 60_000;
const ENOUGH: usize = (4 << 20) / LEN + 1;

fn rig<P: Port>(pairs: u16) -> (Rig<P>, Queues<P::Driver>) {
    let mut rig = Rig::with(Network::new(pairs), |builder| builder.rss(true));
    let queues = rig.live(USUAL | CTRL_VQ | MQ | RSS);
    (rig, queues)
}

/// All frames go to `to` from now on.
fn steer<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, to: u16) {
    assert_eq!(rig.order(queues, RSS_CONFIG, &rss(0, &[0], to, queues.rx.len() as u16, &[])), OK);
}

/// Has the driver take the frames of a pair, which are as long as `lens` says and come in that order.
fn take<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, pair: u16, lens: impl Iterator<Item = usize>) {
    let at = rig.memory.place(&vec![UNTOUCHED; LEN + 2000]);
    for len in lens {
        let ring = &mut queues.rx[usize::from(pair)];
        ring.add(&[Buffer::writable(at, LEN as u32 + 2000)]).expect("room in the ring");
        rig.kick(2 * pair, &mut queues.rx[usize::from(pair)]);
        let (_, frame) = rig.got(queues, pair, at).expect("a frame");
        assert_eq!(frame.len(), len);
        assert!(frame == plain(OWN, len), "a frame of {len} bytes is another one");
    }
    assert_eq!(queues.rx[usize::from(pair)].waiting(), 0);
}

fn frames_for_a_pair_without_buffers_wait_in_the_network<P: Port>() {
    for (count, len, enough) in [(1500, 60, 1024), (100, LEN, ENOUGH)] {
        let (rig, mut queues) = rig::<P>(2);
        steer(&rig, &mut queues, 1);
        let lens = || (0..count).map(move |number| len + number % 1000);
        lens().for_each(|len| rig.arrive(0, NetHeader::default(), &plain(OWN, len)));
        // One has been taken out of the mailbox.
        assert!((count - enough - 2..count - enough).contains(&rig.network.state().pairs[0].coming.len()));
        let blocked = rig.handle.counts().rx_blocked;
        (0..100).for_each(|_| _ = rig.runtime.poll());
        assert!(rig.handle.counts().rx_blocked <= blocked + 2, "nobody tries again and again");
        take(&rig, &mut queues, 1, lens());
        let counts = rig.handle.counts();
        assert_eq!((counts.rx_frames, counts.rx_steering_full), (count as u64, 0));
        assert!(!rig.is_broken());
    }
}

fn pairs_that_hand_frames_to_each_other_get_on<P: Port>() {
    let (rig, mut queues) = rig::<P>(2);
    assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(TCPV4, &[0, 1], 0, 2, &KEY)), OK);
    // A flow for each pair, which the network gives to the other one.
    let flows = [V4[0], V4[3]];
    assert_eq!(flows.map(|(.., hash)| hash & 1), [0, 1]);
    let frame = |pair: usize, number: usize| {
        let (source, from, destination, to, ..) = flows[pair];
        packets::frame(&ipv4(source, destination, TCP, &tcp((from, to), 0x10, &vec![pair as u8; LEN + number])))
    };
    for number in 0..100 {
        rig.network.inject(1, NetHeader::default(), &frame(0, number));
        rig.network.inject(0, NetHeader::default(), &frame(1, number));
    }
    rig.runtime.poll();
    let places = [(); 2].map(|()| rig.memory.place(&vec![UNTOUCHED; LEN + 2000]));
    let mut given = [0; 2];
    // A buffer in each ring, at all times.
    for _ in 0..200 {
        for pair in [0, 1] {
            if queues.rx[pair].free() == usize::from(queues.rx[pair].size()) {
                queues.rx[pair].add(&[Buffer::writable(places[pair], LEN as u32 + 2000)]).expect("room in the ring");
                rig.kick(2 * pair as u16, &mut queues.rx[pair]);
            }
            if let Some((_, got)) = rig.got(&mut queues, pair as u16, places[pair]) {
                assert!(got == frame(pair, given[pair]), "pair {pair}, frame {}", given[pair]);
                given[pair] += 1;
            }
        }
    }
    assert_eq!(given, [100, 100]);
    assert_eq!((rig.handle.counts().rx_steering_full, rig.handle.counts().rx_frames), (0, 200));
}

fn frames_of_pairs_that_are_disabled_may_be_too_many<P: Port>() {
    let (rig, mut queues) = rig::<P>(4);
    for pair in 1..4 {
        steer(&rig, &mut queues, pair);
        for _ in 0..ENOUGH {
            rig.arrive(0, NetHeader::default(), &plain(OWN, LEN));
        }
    }
    let all = 3 * ENOUGH as u64;
    assert_eq!(rig.handle.counts().rx_steering_full, 0);
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[1, 0]), OK);
    rig.runtime.poll();
    let lost = rig.handle.counts().rx_steering_full;
    // A frame more of each of the three is taken, whose tasks wait.
    assert!((ENOUGH as u64 - 7..=ENOUGH as u64 - 3).contains(&lost), "{lost} of {all}");
    take(&rig, &mut queues, 0, (lost..all).map(|_| LEN));
    let counts = rig.handle.counts();
    assert_eq!((counts.rx_frames, counts.rx_steering_full), (all - lost, lost));
}
