use proptest::prelude::*;

use super::frames::*;
use crate::packet::Layers;
use crate::packet::hash::{Hash, Hasher, RssKey};
use crate::wire::hash_type::*;

/// The key that Microsoft's examples of receive-side scaling are made with.
pub(super) const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

pub(super) fn hash(types: u32, tunnels: u32, frame: &[u8]) -> Hash {
    Hasher::new(&RssKey::new(&KEY).unwrap(), types, tunnels).hash(frame, &Layers::parse(frame).unwrap())
}

fn of(types: u32, frame: &[u8]) -> (u32, u16) {
    let hash = hash(types, 0, frame);
    assert_eq!(hash.is_known(), hash.report != 0);
    (hash.value, hash.report)
}

/// Bit by bit, as it is defined.
fn naive(key: &[u8; 40], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| bytes.get(at / 8).is_some_and(|byte| byte << (at % 8) & 0x80 != 0);
    let window = |at: usize| (0..32).fold(0, |window, next| window << 1 | u32::from(bit(key, at + next)));
    (0..input.len() * 8).filter(|at| bit(input, *at)).fold(0, |sum, at| sum ^ window(at))
}

// spec: NET-HASH-06 NET-RSS-01
#[test]
fn published_vectors_of_ipv4_are_met() {
    for (destination, port, source, from, ip, tcp_hash) in [
        ([161, 142, 100, 80], 1766, [66, 9, 149, 187], 2794, 0x323e_8fc2, 0x51cc_c178),
        ([65, 69, 140, 83], 4739, [199, 92, 111, 2], 14230, 0xd718_262a, 0xc626_b0ea),
        ([12, 22, 207, 184], 38024, [24, 19, 198, 95], 12898, 0xd2d0_a5de, 0x5c2b_394a),
        ([209, 142, 163, 6], 2217, [38, 27, 205, 30], 48228, 0x8298_9176, 0xafc7_327f),
        ([202, 188, 127, 2], 1303, [153, 39, 163, 191], 44251, 0x5d18_09c5, 0x10e8_28a2),
    ] {
        let segment = frame(&ipv4_between(source, destination, &[], TCP, &tcp((from, port), 0, &[], b"")));
        let datagram = frame(&ipv4_between(source, destination, &[], UDP, &udp((from, port), b"")));
        assert_eq!(of(ALL, &segment), (tcp_hash, 2));
        assert_eq!(of(IPV4 | UDPV4, &segment), (ip, 1));
        assert_eq!(of(ALL, &datagram), (tcp_hash, 3));
        assert_eq!(of(IPV4 | TCPV4, &datagram), (ip, 1));
    }
}

// spec: NET-HASH-06 NET-RSS-01
#[test]
fn published_vectors_of_ipv6_are_met() {
    for (destination, port, source, from, ip, tcp_hash) in [
        ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc1_8cd5, 0x4020_7d3d),
        ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c_461c, 0xdde5_1bbf),
        ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61_e985, 0x02d1_feef),
    ] {
        let (destination, source) = (v6(destination), v6(source));
        let segment = frame(&ipv6_between(source, destination, TCP, &tcp((from, port), 0, &[], b"")));
        let datagram = frame(&ipv6_between(source, destination, UDP, &udp((from, port), b"")));
        // The types with extension headers are for packets with extension headers.
        assert_eq!(of(ALL, &segment), (tcp_hash, 5));
        assert_eq!(of(IPV6 | UDPV6 | TCP_EX, &segment), (ip, 4));
        assert_eq!(of(ALL, &datagram), (tcp_hash, 6));
        assert_eq!(of(IPV6 | TCPV6 | UDP_EX, &datagram), (ip, 4));
    }
}

#[test]
fn net_hash_06_extension_headers_replace_addresses() {
    let (home, last) = (v6("3ffe:2501:200:1fff::7"), v6("3ffe:2501:200:3::1"));
    let options = |next, payload: &[u8]| {
        let content = [[1, 0, 201, 16].as_slice(), &home, &[1, 0]].concat();
        extension(next, &content, payload)
    };
    let routing = |next, payload: &[u8]| extension(next, &[[2, 1, 0, 0, 0, 0].as_slice(), &last].concat(), payload);
    let segment = tcp((2794, 1766), 0, &[], b"");
    let datagram = udp((2794, 1766), b"");
    let tcp_frame = frame(&ipv6(43, &routing(60, &options(TCP, &segment))));
    let udp_frame = frame(&ipv6(43, &routing(60, &options(UDP, &datagram))));
    assert_eq!(of(ALL, &tcp_frame), (0x4020_7d3d, 8));
    assert_eq!(of(ALL, &udp_frame), (0x4020_7d3d, 9));
    assert_eq!(of(ALL & !TCP_EX, &tcp_frame), (0x2cc1_8cd5, 7));
    // Without those types, extension headers are skipped.
    let plain = frame(&ipv6(TCP, &segment));
    assert_eq!(of(TCPV6 | IPV6, &tcp_frame), of(TCPV6, &plain));
    assert_eq!(of(IPV6 | UDPV6, &tcp_frame), of(IPV6, &plain));
    assert_eq!(of(UDPV6 | UDP_EX, &tcp_frame), (0, 0));
    // Each address is replaced for itself.
    let half = frame(&ipv6(60, &options(TCP, &segment)));
    let same = frame(&ipv6_between(home, v6("fd00::2"), TCP, &segment));
    assert_eq!(of(TCP_EX, &half).0, of(TCPV6, &same).0);
}

// spec: NET-HASH-05 NET-HASH-06
#[test]
fn what_is_not_enabled_is_not_hashed() {
    let segment = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], b"")));
    assert_eq!(of(0, &segment), (0, 0));
    assert_eq!(of(ALL & !(IPV4 | TCPV4), &segment), (0, 0));
    assert_eq!(of(ALL, &ethernet(&[], 0x0806, &[1; 28])), (0, 0));
    // Whoever gets the first fragment gets the others.
    let mut first = ipv4(TCP, &tcp((1, 2), 0, &[], b""));
    first[6] = 0x20;
    assert_eq!(of(ALL, &frame(&first)), (of(IPV4, &segment).0, 1));
}

#[test]
fn keys_may_be_short() {
    let segment = frame(&ipv6(TCP, &tcp((1, 2), 0, &[], b"")));
    let layers = Layers::parse(&segment).unwrap();
    let mut padded = KEY;
    padded[16..].fill(0);
    let [short, padded] = [&KEY[..16], &padded].map(|key| RssKey::new(key).unwrap());
    assert_eq!(short, padded);
    assert_ne!(Hasher::new(&short, ALL, 0).hash(&segment, &layers), hash(ALL, 0, &segment));
    assert_eq!(Hasher::new(&RssKey::new(&[]).unwrap(), ALL, 0).hash(&segment, &layers), Hash { value: 0, report: 5 });
    assert_eq!(RssKey::new(&[0; 41]), None);
}

proptest! {
    #[test]
    fn net_hash_06_hashes_are_those_defined(
        key in any::<[u8; 40]>(), source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), ports in any::<(u16, u16)>(),
    ) {
        let segment = frame(&ipv6_between(source, destination, TCP, &tcp(ports, 0, &[], b"")));
        let layers = Layers::parse(&segment).unwrap();
        let hasher = |types| Hasher::new(&RssKey::new(&key).unwrap(), types, 0).hash(&segment, &layers).value;
        let input = [source.as_slice(), &destination, &ports.0.to_be_bytes(), &ports.1.to_be_bytes()].concat();
        prop_assert_eq!(hasher(TCPV6), naive(&key, &input));
        prop_assert_eq!(hasher(IPV6), naive(&key, &input[..32]));
    }

    #[test]
    fn wild_frames_can_be_hashed(frame in super::layers::wild(), types in 0..=ALL, tunnels in 0_u32..0x200) {
        if let Some(layers) = Layers::parse(&frame) {
            let hash = Hasher::new(&RssKey::new(&KEY).unwrap(), types, tunnels).hash(&frame, &layers);
            prop_assert!(hash.report == 0 || types & 1 << (hash.report - 1) != 0);
            prop_assert!(hash.report != 0 || hash.value == 0);
        }
    }
}
