//! What a driver is told of its queues.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{Duplex, GsoType, NetHeader};

use crate::commands::*;
use crate::frames::{BROADCAST, OWN, plain};
use crate::network::{Fault, Network};
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_stats_01_a_query_names_what_can_be_asked,
    net_stats_02_bad_entries_fail,
    net_stats_04_replies_are_what_happened,
    net_stats_06_replies_end_where_the_room_does,
    what_is_dropped_is_counted,
    numbers_outlive_a_reset,
}

const STATISTICS: Features = Features::from_bits(USUAL.bits() | CTRL_VQ.bits() | DEVICE_STATS.bits());
pub(crate) const RX_BASIC: u64 = 1;
const RX_CSUM: u64 = 1 << 1;
const RX_GSO: u64 = 1 << 2;
const RX_SPEED: u64 = 1 << 3;
pub(crate) const TX_BASIC: u64 = 1 << 16;
const TX_CSUM: u64 = 1 << 17;
const TX_GSO: u64 = 1 << 18;
const TX_SPEED: u64 = 1 << 19;
pub(crate) const CONTROL: u64 = 1 << 32;

/// A kind, the queue, and the numbers.
pub(crate) type Reply = (u8, u16, Vec<u64>);

/// The replies to requests, taken apart by their sizes; none if they are refused.
pub(crate) fn get<P: Port>(
    rig: &Rig<P>,
    queues: &mut Queues<P::Driver>,
    requests: &[(u16, u64)],
    room: usize,
) -> Option<Vec<Reply>> {
    let data: Vec<u8> = requests.iter().flat_map(|(queue, kinds)| statistics(*queue, *kinds)).collect();
    let answer = rig.ask(queues, STATS_GET.0, STATS_GET.1, &data, room).expect("an answer");
    assert!(answer[0] == OK || answer == [ERR]);
    let (mut rest, mut replies) = (&answer[1..], Vec::new());
    while let [kind, 0, low, high, 0, 0, size_low, size_high, ..] = rest {
        let (reply, next) = rest.split_at(u16::from_le_bytes([*size_low, *size_high]).into());
        let (values, []) = reply[8..].as_chunks() else { panic!("{reply:?}") };
        let values = values.iter().map(|value| u64::from_le_bytes(*value)).collect();
        replies.push((*kind, u16::from_le_bytes([*low, *high]), values));
        rest = next;
    }
    assert!(rest.is_empty());
    (answer[0] == OK).then_some(replies)
}

fn net_stats_01_a_query_names_what_can_be_asked<P: Port>() {
    let basic = RX_BASIC | TX_BASIC | CONTROL;
    for (features, kinds) in [
        (Features::NONE, basic),
        (CSUM, basic | TX_CSUM),
        (GUEST_CSUM, basic | RX_CSUM),
        (GUEST_CSUM | GUEST_TSO6, basic | RX_CSUM | RX_GSO),
        (CSUM | HOST_TSO4, basic | TX_CSUM | TX_GSO),
        (CSUM | HOST_USO, basic | TX_CSUM | TX_GSO),
        (SPEED_DUPLEX, basic | RX_SPEED | TX_SPEED),
    ] {
        let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.speed(10, Duplex::Full));
        let mut queues = rig.live(STATISTICS | features);
        let expected = [&[OK][..], &kinds.to_le_bytes()].concat();
        assert_eq!(rig.ask(&mut queues, STATS_QUERY.0, STATS_QUERY.1, &[], 9), Some(expected.clone()));
        assert_eq!(rig.ask(&mut queues, STATS_QUERY.0, STATS_QUERY.1, &[], 64), Some(expected));
        assert_eq!(rig.ask(&mut queues, STATS_QUERY.0, STATS_QUERY.1, &[], 8), Some(vec![ERR]), "no room");
    }
}

// spec: NET-STATS-03 DRV-NET-CTRL-15
fn net_stats_02_bad_entries_fail<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
    let mut queues = rig.live(STATISTICS | MQ);
    let good = [(0, RX_BASIC), (3, TX_BASIC), (4, CONTROL), (1, 0)];
    assert_eq!(get(&rig, &mut queues, &good, 1000).unwrap().len(), 3);
    for bad in [
        (0, TX_BASIC),
        (1, RX_BASIC),
        (0, CONTROL),
        (4, RX_BASIC),
        (5, RX_BASIC),
        (0xffff, TX_BASIC),
        // Of features that were not negotiated, and of none.
        (0, RX_CSUM),
        (1, TX_GSO),
        (0, RX_SPEED),
        (0, RX_BASIC | 1 << 63),
        (0, 1 << 4),
    ] {
        assert_eq!(get(&rig, &mut queues, &[bad], 1000), None, "{bad:?}");
        for place in 0..good.len() {
            let mut mixed = good.to_vec();
            mixed.insert(place, bad);
            assert_eq!(get(&rig, &mut queues, &mixed, 1000), None, "{mixed:?}");
        }
    }
    let entry = statistics(0, RX_BASIC);
    for len in 1..16 {
        assert_eq!(rig.ask(&mut queues, STATS_GET.0, STATS_GET.1, &entry[..len], 1000), Some(vec![ERR]));
    }
}

// spec: NET-STATS-05
fn net_stats_04_replies_are_what_happened<P: Port>() {
    let offloads = CSUM | GUEST_CSUM | GUEST_TSO4 | HOST_TSO4;
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder.speed(10, Duplex::Full));
    let mut queues = rig.live(STATISTICS | MQ | SPEED_DUPLEX | offloads);
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[2, 0]), OK);
    // In the second pair: frames with a checksum to complete, verified, to be cut, and none of that.
    let bytes = frame(&ipv4(B4, A4, TCP, &tcp((1, 2), 0x10, &[7; 1500])));
    let cut = to_cut(GsoType::Tcp4, 34, 500);
    let needs = NetHeader { gso_type: 0, gso_size: 0, ..cut };
    let valid = NetHeader { flags: NetHeader::DATA_VALID, ..NetHeader::default() };
    rig.send(&mut queues, 1, &NetHeader::default(), &bytes);
    rig.send(&mut queues, 1, &needs, &bytes);
    rig.send(&mut queues, 1, &cut, &bytes);
    rig.send_bytes(&mut queues, 1, &[0; 5]);
    // A flow that is sent by a pair is received by it.
    for header in [NetHeader::default(), needs, valid, cut] {
        rig.post(&mut queues, 1, 2048);
        rig.arrive(0, header, &bytes);
        assert_eq!(queues.rx[1].used().unwrap().len as usize, 12 + bytes.len());
    }
    let len = bytes.len() as u64;
    let requests =
        [(2, RX_BASIC | RX_CSUM | RX_GSO | RX_SPEED), (3, TX_BASIC | TX_CSUM | TX_GSO | TX_SPEED), (4, CONTROL)];
    let replies = get(&rig, &mut queues, &requests, 1000).unwrap();
    let named: Vec<_> = replies.iter().map(|(kind, queue, values)| (*kind, *queue, values.len())).collect();
    assert_eq!(
        named,
        [(0, 2, 6), (1, 2, 4), (2, 2, 4), (3, 2, 2), (16, 3, 6), (17, 3, 2), (18, 3, 6), (19, 3, 2), (32, 4, 2)]
    );
    let values = |at: usize| &replies[at].2[..];
    // Doorbells and interrupts depend on how both are suppressed; there was at least one of each.
    let ([rx_doorbells, 4, rx_bytes, rx_interrupts, 0, 0], [tx_doorbells, 3, tx_bytes, tx_interrupts, 1, 1]) =
        (values(0), values(4))
    else {
        panic!("{:?} {:?}", values(0), values(4));
    };
    assert_eq!((*rx_bytes, *tx_bytes), (4 * len, 3 * len));
    assert!([rx_doorbells, rx_interrupts, tx_doorbells, tx_interrupts].iter().all(|count| (1..=4).contains(*count)));
    assert_eq!([values(1), values(2), values(3)], [&[1, 2, 0, 0][..], &[1, len, 0, 0], &[0, 0]]);
    assert_eq!([values(5), values(6), values(7)], [&[1, 2][..], &[1, len, 0, 0, 1, len], &[0, 0]]);
    assert_eq!(values(8), [2, 2], "this command is the second");
    // Those of the first pair are others.
    let other = get(&rig, &mut queues, &[(0, RX_BASIC), (1, TX_BASIC)], 1000).unwrap();
    assert!(other.iter().all(|(_, _, values)| values[1..] == [0; 5]));
    // Commands that fail count, too.
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[9, 0]), ERR);
    assert_eq!(get(&rig, &mut queues, &[(4, CONTROL)], 1000).unwrap(), [(32, 4, vec![5, 4])]);
}

fn net_stats_06_replies_end_where_the_room_does<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(STATISTICS);
    let requests = [(0, RX_BASIC), (1, TX_BASIC), (2, CONTROL)];
    let basic = 8 + 6 * 8;
    for (room, replies) in [
        (1, 0),
        (basic, 0),
        (1 + basic, 1),
        (2 * basic, 1),
        (1 + 2 * basic, 2),
        (1 + 2 * basic + 23, 2),
        (1 + 2 * basic + 24, 3),
        (1 + 2 * basic + 25, 3),
        (10000, 3),
    ] {
        assert_eq!(get(&rig, &mut queues, &requests, room).unwrap().len(), replies, "{room}");
    }
}

fn what_is_dropped_is_counted<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.mtu(1500));
    let mut queues = rig.live(STATISTICS | MTU | STATUS);
    rig.post(&mut queues, 0, 200);
    // Longer than the MTU, than the buffer, and shorter than a frame; and some while the link is down.
    for len in [1515, 300, 13] {
        rig.arrive(0, NetHeader::default(), &plain(OWN, len.max(14))[..len]);
    }
    rig.handle.set_link(false);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    rig.handle.set_link(true);
    rig.network.state().pairs[0].send_error = Some(Fault::Kind(std::io::ErrorKind::BrokenPipe));
    rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    rig.send_bytes(&mut queues, 0, &[0; 20]);
    let replies = get(&rig, &mut queues, &[(0, RX_BASIC), (1, TX_BASIC)], 1000).unwrap();
    let ([_, 0, 0, _, 4, 1], [_, 0, 0, _, 3, 1]) = (&replies[0].2[..], &replies[1].2[..]) else {
        panic!("{replies:?}")
    };
}

fn numbers_outlive_a_reset<P: Port>() {
    let mut rig = Rig::<P>::new();
    for round in 1..4 {
        let mut queues = rig.live(STATISTICS);
        rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
        assert!(rig.hears(&mut queues, &plain(OWN, 100)));
        let replies = get(&rig, &mut queues, &[(0, RX_BASIC), (1, TX_BASIC)], 1000).unwrap();
        assert_eq!([&replies[0].2[1..3], &replies[1].2[1..3]], [[round, 100 * round], [round, 60 * round]]);
        rig.port.set_status(0);
    }
}
