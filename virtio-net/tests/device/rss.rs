//! Hashes: what the driver is told of them, and steering by them.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{GsoType, NetHeader};

use crate::commands::*;
use crate::frames::{BROADCAST, plain};
use crate::network::Network;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_rss_01_frames_go_where_the_table_says,
    net_rss_02_a_frame_for_a_queue_under_reset_is_dropped,
    net_hash_01_hashes_are_configured_with_one_pair,
    net_hash_02_receive_side_scaling_is_configured,
    net_hash_04_hashes_go_with_automatic_steering,
    net_hash_06_hashes_are_reported_with_their_types,
    net_hash_06_pieces_of_a_frame_have_hashes,
    net_hash_07_what_is_in_a_tunnel_is_hashed_if_that_is_asked_for,
    net_hash_09_tunnels_are_not_looked_into_after_a_reset,
    drv_net_ctrl_09_tables_with_other_queues_are_refused,
    drv_net_ctrl_10_tables_of_other_lengths_are_refused,
    drv_net_ctrl_11_other_types_and_keys_are_refused,
}

/// The key that published examples are made with.
pub(crate) const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];
const ALL_TYPES: u32 = 0x1ff;
const IPV4: u32 = 1;
pub(crate) const TCPV4: u32 = 2;

const HASHES: Features = Features::from_bits(USUAL.bits() | CTRL_VQ.bits() | HASH_REPORT.bits());
const SCALED: Features = Features::from_bits(HASHES.bits() | RSS.bits() | MQ.bits());

/// Of a published example over IPv4: source, its port, destination, its port, the hash without ports, and with them.
pub(crate) type V4 = ([u8; 4], u16, [u8; 4], u16, u32, u32);
pub(crate) const V4: [V4; 5] = [
    ([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, 0x323e_8fc2, 0x51cc_c178),
    ([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, 0xd718_262a, 0xc626_b0ea),
    ([24, 19, 198, 95], 12898, [12, 22, 207, 184], 38024, 0xd2d0_a5de, 0x5c2b_394a),
    ([38, 27, 205, 30], 48228, [209, 142, 163, 6], 2217, 0x8298_9176, 0xafc7_327f),
    ([153, 39, 163, 191], 44251, [202, 188, 127, 2], 1303, 0x5d18_09c5, 0x10e8_28a2),
];
const V6: [(&str, u16, &str, u16, u32, u32); 3] = [
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc1_8cd5, 0x4020_7d3d),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c_461c, 0xdde5_1bbf),
    ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61_e985, 0x02d1_feef),
];

pub(crate) fn tcp4_of((source, from, destination, to, ..): V4) -> Vec<u8> {
    frame(&ipv4(source, destination, TCP, &tcp((from, to), 0x10, b"data")))
}

fn udp4_of((source, from, destination, to, ..): V4) -> Vec<u8> {
    frame(&ipv4(source, destination, UDP, &udp((from, to), b"data")))
}

/// A packet of neither TCP nor UDP.
fn other4_of((source, _, destination, ..): V4) -> Vec<u8> {
    frame(&ipv4(source, destination, 132, &[1; 40]))
}

fn rig<P: Port>(pairs: u16) -> Rig<P> {
    Rig::with(Network::new(pairs), |builder| builder.rss(true).hash_report(true))
}

/// One buffer in each receive queue.
pub(crate) struct Ears(Vec<u64>);

/// What the driver is told of a frame's hash: the value and the type; and the pair that receives it.
pub(crate) type Told = (u32, u16, usize);

impl Ears {
    pub(crate) fn new<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> Ears {
        Ears((0..queues.rx.len() as u16).map(|pair| rig.post(queues, pair, 2048)).collect())
    }

    pub(crate) fn told<P: Port>(&mut self, rig: &Rig<P>, queues: &mut Queues<P::Driver>, bytes: &[u8]) -> Option<Told> {
        rig.arrive(0, NetHeader::default(), bytes);
        let pair = queues.rx.iter().position(|ring| ring.waiting() > 0)?;
        let (header, got) = rig.got(queues, pair as u16, self.0[pair])?;
        assert_eq!((header.len(), &got[..], &header[18..20]), (20, bytes, &[0, 0][..]));
        self.0[pair] = rig.post(queues, pair as u16, 2048);
        assert!(queues.rx.iter().all(|ring| ring.waiting() == 0));
        let value = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        Some((value, u16::from_le_bytes([header[16], header[17]]), pair))
    }
}

fn net_rss_01_frames_go_where_the_table_says<P: Port>() {
    let mut rig = rig::<P>(4);
    let mut queues = rig.live(SCALED);
    let mut ears = Ears::new(&rig, &mut queues);
    let tables: [Vec<u16>; 4] =
        [(0..128).map(|at| at % 4).collect(), (0..128).map(|at| at / 3 % 4).collect(), vec![3, 1], vec![2]];
    for (unclassified, table) in (0..).zip(tables) {
        let config = rss(ALL_TYPES, &table, unclassified, 4, &KEY);
        assert_eq!(rig.order(&mut queues, RSS_CONFIG, &config), OK);
        let place = |hash: u32| usize::from(table[hash as usize % table.len()]);
        for vector in V4 {
            let (.., ip, tcp) = vector;
            assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(vector)), Some((tcp, 2, place(tcp))));
            assert_eq!(ears.told(&rig, &mut queues, &udp4_of(vector)), Some((tcp, 3, place(tcp))));
            assert_eq!(ears.told(&rig, &mut queues, &other4_of(vector)), Some((ip, 1, place(ip))));
        }
        let other = ears.told(&rig, &mut queues, &plain(BROADCAST, 60));
        assert_eq!(other, Some((0, 0, usize::from(unclassified))), "what is not hashed");
    }
    // What is sent has no say in it.
    let back = frame(&ipv4(A4, B4, TCP, &tcp((80, 1000), 0x10, b"")));
    rig.send(&mut queues, 0, &NetHeader::default(), &back);
    let forth = frame(&ipv4(B4, A4, TCP, &tcp((1000, 80), 0x10, b"")));
    assert_eq!(ears.told(&rig, &mut queues, &forth).unwrap().2, 2);
    // Nothing is hashed: all is unclassified.
    assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(0, &[0, 1], 3, 4, &[])), OK);
    assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(V4[0])), Some((0, 0, 3)));
}

fn net_rss_02_a_frame_for_a_queue_under_reset_is_dropped<P: Port>() {
    let features = SCALED | Features::RING_RESET;
    let mut rig = rig::<P>(2);
    let mut queues = rig.live(features);
    let mut ears = Ears::new(&rig, &mut queues);
    assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(TCPV4, &[0, 1], 0, 2, &KEY)), OK);
    let bytes = V4.map(tcp4_of);
    let pairs = V4.map(|(.., hash)| (hash & 1) as usize);
    assert!(pairs.contains(&0) && pairs.contains(&1));
    let heard = |rig: &Rig<P>, ears: &mut Ears, queues: &mut Queues<P::Driver>| {
        [0, 1, 2, 3, 4].map(|at: usize| ears.told(rig, queues, &bytes[at]).map(|(.., pair)| pair))
    };
    assert_eq!(heard(&rig, &mut ears, &mut queues), pairs.map(Some));
    rig.port.reset_queue(2);
    let mut others = pairs.map(|pair| Some(pair).filter(|pair| *pair == 0));
    assert_eq!(heard(&rig, &mut ears, &mut queues), others);
    let lost = others.iter().filter(|pair| pair.is_none()).count() as u64;
    assert_eq!(rig.handle.counts().rx_no_queue, lost);
    queues.rx[1] = rig.enable(2, features);
    rig.runtime.poll();
    ears.0[1] = rig.post(&mut queues, 1, 2048);
    others = pairs.map(Some);
    assert_eq!(heard(&rig, &mut ears, &mut queues), others);
}

// spec: NET-HASH-03 NET-HASH-05
fn net_hash_01_hashes_are_configured_with_one_pair<P: Port>() {
    let mut rig = rig::<P>(1);
    assert!(!rig.offered().intersects(MQ | RSS) && rig.offered().contains(HASH_REPORT));
    for _ in 0..2 {
        let mut queues = rig.live(HASHES);
        let mut ears = Ears::new(&rig, &mut queues);
        let segment = tcp4_of(V4[0]);
        assert_eq!(ears.told(&rig, &mut queues, &segment), Some((0, 0, 0)), "nothing is hashed at first");
        assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(TCPV4, &KEY)), OK);
        assert_eq!(ears.told(&rig, &mut queues, &segment), Some((V4[0].5, 2, 0)));
        assert_eq!(ears.told(&rig, &mut queues, &udp4_of(V4[0])), Some((0, 0, 0)));
        assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(IPV4, &KEY)), OK);
        assert_eq!(ears.told(&rig, &mut queues, &segment), Some((V4[0].4, 1, 0)));
        assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(IPV4, &[0], 0, 1, &KEY)), ERR);
        rig.port.set_status(0);
    }
}

fn net_hash_02_receive_side_scaling_is_configured<P: Port>() {
    // Without reports, too; then the header has no room for one.
    for (features, len) in [(SCALED, 20), (SCALED - HASH_REPORT, 12), (SCALED - HASH_REPORT - MQ, 12)] {
        let mut rig = rig::<P>(2);
        let mut queues = rig.live(features);
        assert_eq!(rig.header_len, len);
        assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(ALL_TYPES, &[1, 1], 0, 2, &KEY)), OK);
        // A byte behind the key is what some drivers leave there.
        let longer = [&rss(ALL_TYPES, &[1, 1], 0, 2, &KEY)[..], &[0]].concat();
        assert_eq!((rig.order(&mut queues, RSS_CONFIG, &longer), rig.handle.pairs()), (OK, 2));
        let at = rig.post(&mut queues, 1, 2048);
        rig.arrive(0, NetHeader::default(), &tcp4_of(V4[0]));
        assert_eq!(rig.got(&mut queues, 1, at).unwrap().1, tcp4_of(V4[0]));
    }
}

fn net_hash_04_hashes_go_with_automatic_steering<P: Port>() {
    let mut rig = rig::<P>(4);
    let mut queues = rig.live(SCALED - RSS);
    let mut ears = Ears::new(&rig, &mut queues);
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[4, 0]), OK);
    assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(ALL_TYPES, &KEY)), OK);
    for (pair, vector) in (0..4).zip(V4) {
        let (source, from, destination, to, .., expected) = vector;
        let reply = frame(&ipv4(destination, source, TCP, &tcp((to, from), 0x10, b"")));
        rig.send(&mut queues, pair, &NetHeader::default(), &reply).expect("it is sent");
        let got = ears.told(&rig, &mut queues, &tcp4_of(vector));
        assert_eq!(got, Some((expected, 2, usize::from(pair))), "the pair that sends in the flow");
    }
}

fn net_hash_06_hashes_are_reported_with_their_types<P: Port>() {
    let mut rig = rig::<P>(1);
    let mut queues = rig.live(HASHES);
    let mut ears = Ears::new(&rig, &mut queues);
    assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(ALL_TYPES, &KEY)), OK);
    for vector in V4 {
        assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(vector)), Some((vector.5, 2, 0)));
        assert_eq!(ears.told(&rig, &mut queues, &udp4_of(vector)), Some((vector.5, 3, 0)));
        assert_eq!(ears.told(&rig, &mut queues, &other4_of(vector)), Some((vector.4, 1, 0)));
    }
    for (source, from, destination, to, ip, with_ports) in V6 {
        let (source, destination) = (v6(source), v6(destination));
        let segment = frame(&ipv6(source, destination, TCP, &tcp((from, to), 0x10, b"")));
        let datagram = frame(&ipv6(source, destination, UDP, &udp((from, to), b"")));
        let other = frame(&ipv6(source, destination, 132, &[1; 40]));
        assert_eq!(ears.told(&rig, &mut queues, &segment), Some((with_ports, 5, 0)));
        assert_eq!(ears.told(&rig, &mut queues, &datagram), Some((with_ports, 6, 0)));
        assert_eq!(ears.told(&rig, &mut queues, &other), Some((ip, 4, 0)));
    }
    // No packet of IP, and one that is no whole one.
    assert_eq!(ears.told(&rig, &mut queues, &plain(BROADCAST, 60)), Some((0, 0, 0)));
    assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(V4[0])[..30]), Some((0, 0, 0)));
}

fn net_hash_06_pieces_of_a_frame_have_hashes<P: Port>() {
    let mut rig = rig::<P>(1);
    let mut queues = rig.live(HASHES | GUEST_CSUM);
    assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(ALL_TYPES, &KEY)), OK);
    let (source, from, destination, to, _, expected) = V4[0];
    let places = [(); 3].map(|()| rig.post(&mut queues, 0, 2048));
    let bytes = frame(&ipv4(source, destination, TCP, &tcp((from, to), 0x10, &[7; 2500])));
    rig.arrive(0, to_cut(GsoType::Tcp4, 34, 1000), &bytes);
    for place in places {
        let (header, piece) = rig.got(&mut queues, 0, place).expect("a piece");
        assert!(piece.len() <= 1054);
        assert_eq!(header[12..18], [&expected.to_le_bytes()[..], &[2, 0]].concat());
    }
}

// spec: NET-HASH-08 DRV-NET-CTRL-01
fn net_hash_07_what_is_in_a_tunnel_is_hashed_if_that_is_asked_for<P: Port>() {
    let mut rig = rig::<P>(1);
    let mut queues = rig.live(HASHES | HASH_TUNNEL);
    let mut ears = Ears::new(&rig, &mut queues);
    assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(ALL_TYPES, &KEY)), OK);
    let tunnelled = vxlan_without_checksum(&tcp4_of(V4[0]));
    let (outer, kind, _) = ears.told(&rig, &mut queues, &tunnelled).unwrap();
    assert_eq!(kind, 3, "the tunnel's own datagram");
    let inner = (V4[0].5, 2, 0);
    for (types, expected) in [
        (1 << 4, inner),
        // Other tunnels: VXLAN-GPE, GENEVE, IP in IP.
        (1 << 5 | 1 << 6 | 1 << 7, (outer, 3, 0)),
        (0x1ff, inner),
        (0, (outer, 3, 0)),
    ] {
        assert_eq!(rig.order(&mut queues, HASH_TUNNEL_SET, &u32::to_le_bytes(types)), OK);
        assert_eq!(ears.told(&rig, &mut queues, &tunnelled), Some(expected), "{types:#x}");
        assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(V4[1])), Some((V4[1].5, 2, 0)), "what is in no tunnel");
    }
    assert_eq!(rig.order(&mut queues, HASH_TUNNEL_SET, &u32::to_le_bytes(1 << 4)), OK);
    for bad in [1 << 9, 1 << 31, u32::MAX] {
        assert_eq!(rig.order(&mut queues, HASH_TUNNEL_SET, &u32::to_le_bytes(bad)), ERR);
    }
    assert_eq!(rig.order(&mut queues, HASH_TUNNEL_SET, &[0; 3]), ERR);
    assert_eq!(ears.told(&rig, &mut queues, &tunnelled), Some(inner), "as it was");
}

fn net_hash_09_tunnels_are_not_looked_into_after_a_reset<P: Port>() {
    let mut rig = rig::<P>(1);
    let tunnelled = vxlan_without_checksum(&tcp4_of(V4[0]));
    let mut kinds = Vec::new();
    for set in [true, false] {
        let mut queues = rig.live(HASHES | HASH_TUNNEL);
        let mut ears = Ears::new(&rig, &mut queues);
        assert_eq!(rig.order(&mut queues, HASH_CONFIG, &hash(ALL_TYPES, &KEY)), OK);
        if set {
            assert_eq!(rig.order(&mut queues, HASH_TUNNEL_SET, &u32::to_le_bytes(1 << 4)), OK);
        }
        kinds.push(ears.told(&rig, &mut queues, &tunnelled).unwrap().1);
        rig.port.set_status(0);
    }
    assert_eq!(kinds, [2, 3]);
}

/// What was configured before stays.
fn refused<P: Port>(bad: impl IntoIterator<Item = Vec<u8>>) {
    let mut rig = rig::<P>(2);
    let mut queues = rig.live(SCALED);
    let mut ears = Ears::new(&rig, &mut queues);
    assert_eq!(rig.order(&mut queues, RSS_CONFIG, &rss(TCPV4, &[1, 1], 0, 2, &KEY)), OK);
    for config in bad {
        assert_eq!(rig.order(&mut queues, RSS_CONFIG, &config), ERR, "{config:?}");
    }
    assert_eq!(ears.told(&rig, &mut queues, &tcp4_of(V4[0])), Some((V4[0].5, 2, 1)));
    assert_eq!(ears.told(&rig, &mut queues, &plain(BROADCAST, 60)), Some((0, 0, 0)));
}

fn drv_net_ctrl_09_tables_with_other_queues_are_refused<P: Port>() {
    let bad = [2, 0x7fff, 0x8000, 0x8001, 0xffff];
    let table = |bad| rss(TCPV4, &[0, bad], 0, 2, &KEY);
    let unclassified = |bad| rss(TCPV4, &[0, 1], bad, 2, &KEY);
    let transmit = [0, 3, 0xffff].map(|bad| rss(TCPV4, &[0, 1], 0, bad, &KEY));
    refused::<P>(bad.map(table).into_iter().chain(bad.map(unclassified)).chain(transmit));
}

fn drv_net_ctrl_10_tables_of_other_lengths_are_refused<P: Port>() {
    let mut long: Vec<_> = [3, 5, 127, 129, 256].map(|len| rss(TCPV4, &vec![0; len], 0, 2, &KEY)).into();
    // A mask that says that there is more than there is.
    for mask in [0xff_u16, 0x7f, 0x7fff, 0xffff] {
        let mut config = rss(TCPV4, &[0, 1], 0, 2, &KEY);
        config[4..6].copy_from_slice(&mask.to_le_bytes());
        long.push(config);
    }
    refused::<P>(long);
}

fn drv_net_ctrl_11_other_types_and_keys_are_refused<P: Port>() {
    let good = rss(TCPV4, &[0, 1], 0, 2, &KEY);
    let mut bad: Vec<_> = [1 << 9, 1 << 31, u32::MAX].map(|types| rss(types, &[0, 1], 0, 2, &KEY)).into();
    bad.push(rss(TCPV4, &[0, 1], 0, 2, &[1; 41]));
    bad.push(rss(TCPV4, &[0, 1], 0, 2, &[1; 255]));
    bad.push(rss(TCPV4, &[0, 1], 0, 2, &[]));
    // Cut anywhere.
    bad.extend((0..good.len()).map(|len| good[..len].to_vec()));
    refused::<P>(bad);
}
