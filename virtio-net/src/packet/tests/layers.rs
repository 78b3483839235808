use proptest::prelude::*;

use super::frames::*;
use crate::packet::{Addresses, Ethernet, Layers, Network, Protocol, header_len};
use crate::{MacAddress, NetHeader};

fn network(frame: &[u8]) -> Network {
    Layers::parse(frame).unwrap().network.unwrap()
}

#[test]
fn net_rx_31_headers_of_a_segment_are_found() {
    let frame = frame(&ipv4(TCP, &tcp((1, 2), 0x90, &[1; 12], b"hello")));
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!(layers.ethernet.destination, MacAddress([0x52, 0x54, 0, 1, 2, 3]));
    assert_eq!(layers.ethernet.source, MacAddress([0x52, 0x54, 0, 9, 8, 7]));
    assert_eq!((layers.ethernet.vlan, layers.ethernet.ethertype_at, layers.ethernet.end), (None, 12, 14));
    let network = layers.network.unwrap();
    assert_eq!(network.addresses, Addresses::V4 { source: A4, destination: B4 });
    assert_eq!((network.at, network.payload_at, network.protocol), (14, 34, TCP));
    let transport = layers.transport().unwrap();
    assert_eq!(transport.protocol, Protocol::Tcp { flags: 0x90 });
    assert_eq!((transport.at, transport.len, transport.ports), (34, 32, [0, 1, 0, 2]));
    assert_eq!(layers.header_len(), 66);
}

#[test]
fn net_rx_31_headers_behind_options_and_extensions_are_found() {
    let frame4 = frame(&ipv4_between(A4, B4, &[1; 24], UDP, &udp((7, 9), b"x")));
    assert_eq!(Layers::parse(&frame4).unwrap().header_len(), 14 + 44 + 8);

    let options = extension(43, &[1, 4, 0, 0, 0, 0], &[]);
    let routing = extension(60, &[2, 0, 0, 0, 0, 0].iter().chain(&[3; 16]).copied().collect::<Vec<_>>(), &[]);
    let home = extension(
        UDP,
        &[0, 1, 2, 9, 9, 201, 16].iter().chain(&[4; 16]).chain(&[0; 7]).copied().collect::<Vec<_>>(),
        &[],
    );
    let frame6 = frame(&ipv6(0, &[options, routing, home, udp((7, 9), b"x")].concat()));
    let packet = network(&frame6);
    assert!(packet.extensions && !packet.fragment && !packet.detour);
    assert_eq!((packet.routing, packet.home), (Some([3; 16]), Some([4; 16])));
    assert_eq!(packet.protocol, UDP);
    assert_eq!(Layers::parse(&frame6).unwrap().header_len(), 14 + 40 + 8 + 24 + 32 + 8);
    assert_eq!(packet.transport.unwrap().ports, [0, 7, 0, 9]);
}

#[test]
fn tags_are_looked_behind() {
    let packet = ipv4(UDP, &udp((1, 2), b""));
    for (tags, vlan) in [
        (vec![(0x8100, 0xe123)], Some(0x123)),
        (vec![(0x8100, 5), (0x8100, 6)], Some(5)),
        // What a provider's tag says is nothing that drivers filter by.
        (vec![(0x88a8, 7), (0x8100, 8)], None),
    ] {
        let frame = ethernet(&tags, ETHER_IPV4, &packet);
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(layers.ethernet.vlan, vlan, "{tags:?}");
        assert_eq!((layers.ethernet.ethertype, layers.ethernet.end), (ETHER_IPV4, 14 + 4 * tags.len()));
        assert_eq!(layers.ethernet.ethertype_at, 12 + 4 * tags.len());
        assert_eq!(layers.header_len(), 14 + 4 * tags.len() + 28);
    }
    let three = ethernet(&[(0x8100, 1), (0x8100, 2), (0x8100, 3)], ETHER_IPV4, &packet);
    assert_eq!(Layers::parse(&three).unwrap().network, None);
    // A tag that is cut off says what is there.
    assert_eq!(Ethernet::parse(&three[..16]).unwrap().vlan, Some(1));
    assert_eq!(Ethernet::parse(&three[..15]).unwrap().vlan, None);
    assert_eq!(Ethernet::parse(&three[..13]), None);
}

#[test]
fn fragments_have_no_ports() {
    let datagram = udp((1, 2), b"12345678");
    for field in [[0x20, 0], [0, 1], [0x3f, 0xff]] {
        let mut packet = ipv4(UDP, &datagram);
        packet[6..8].copy_from_slice(&field);
        let network = network(&frame(&packet));
        assert!(network.fragment && network.transport.is_none(), "{field:?}");
    }
    for (field, whole) in [([0, 0], true), ([0, 1], false), ([0, 8], false)] {
        let content = [[field[0], field[1], 1, 2, 3, 4].as_slice(), &datagram].concat();
        let packet = ipv6(44, &[&[UDP, 0], content.as_slice()].concat());
        let network = network(&frame(&packet));
        assert_eq!((network.fragment, network.transport.is_none()), (!whole, !whole), "{field:?}");
        assert_eq!((network.protocol, network.payload_at), (UDP, 14 + 48));
    }
}

#[test]
fn padding_is_no_header() {
    // Twenty bytes that are no part of the packet.
    let mut short = frame(&ipv4(TCP, &[]));
    short.extend([0x55; 26]);
    assert_eq!(network(&short).transport, None);
    let mut short = frame(&ipv6(UDP, &[1; 7]));
    short.extend([0x55; 26]);
    assert_eq!(network(&short).transport, None);
    // No length stands for one that does not fit in.
    let mut long = frame(&ipv6(UDP, &udp((1, 2), b"x")));
    long[18..20].copy_from_slice(&[0, 0]);
    assert!(network(&long).transport.is_some());
}

#[test]
fn headers_that_make_no_sense_are_not_there() {
    let good = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], b"")));
    for (at, value) in [(14, 0x44), (14, 0x4f), (14, 0x65), (14, 0x05)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Layers::parse(&bad).unwrap().network, None, "{value:#x}");
        assert_eq!(Layers::parse(&bad).unwrap().header_len(), 14);
    }
    for offset in [0x40, 0x60] {
        let mut bad = good.clone();
        bad[14 + 20 + 12] = offset;
        assert_eq!(network(&bad).transport, None, "{offset:#x}");
        assert_eq!(Layers::parse(&bad).unwrap().header_len(), 34);
    }
}

#[test]
fn chains_of_extension_headers_end() {
    let chain = |count: usize| {
        let mut payload = udp((1, 2), b"");
        for number in 0..count {
            payload = extension(if number == 0 { UDP } else { 60 }, &[1, 4, 0, 0, 0, 0], &payload);
        }
        network(&frame(&ipv6(60, &payload)))
    };
    assert!(chain(8).transport.is_some());
    assert_eq!((chain(9).transport, chain(9).protocol, chain(9).payload_at), (None, 60, 14 + 40 + 64));
    // One that says that it is longer than the packet.
    let cut = frame(&ipv6(60, &[UDP, 255, 1, 4, 0, 0, 0, 0]));
    assert_eq!((network(&cut).transport, network(&cut).protocol), (None, 60));
}

/// Frames with a bit of truth in them.
pub(super) fn wild() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![ETHER_IPV4, ETHER_IPV6, 0x8100, 0x88a8, 0x0806]);
    let first = prop::sample::select(vec![0x45, 0x46, 0x60, 0x4f, 0]);
    let next = prop::sample::select(vec![0, 4, TCP, UDP, 41, 43, 44, 47, 60]);
    (kinds, first, next, prop::collection::vec(prop::sample::select(vec![0, 1, 4, 8, 60, 201, 255]), 0..300)).prop_map(
        |(kind, first, next, mut bytes)| {
            for (at, value) in [(12, (kind >> 8) as u8), (13, kind as u8), (14, first), (20, next), (23, next)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes
        },
    )
}

/// What is said to be there is there.
fn check(frame: &[u8]) -> Result<(), TestCaseError> {
    for inner_nh_offset in [0, 14, 34, u16::MAX] {
        let header = NetHeader { gso_type: NetHeader::UDP_TUNNEL_IPV4, inner_nh_offset, ..NetHeader::default() };
        prop_assert!(header_len(frame, &header) <= frame.len());
    }
    let Some(layers) = Layers::parse(frame) else {
        prop_assert!(frame.len() < 14);
        return Ok(());
    };
    prop_assert!(layers.ethernet.end <= frame.len());
    if let Some(transport) = layers.transport() {
        prop_assert!(transport.at + transport.len <= frame.len());
        prop_assert_eq!(&frame[transport.at..transport.at + 4], &transport.ports);
    }
    prop_assert!(layers.header_len() <= frame.len());
    for at in 0..frame.len() {
        if let Some(transport) = Network::parse(frame, at).and_then(|packet| packet.transport) {
            prop_assert!(transport.at >= at + 20 && transport.at + transport.len <= frame.len());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(frame in prop::collection::vec(any::<u8>(), 0..256)) {
        check(&frame)?;
    }

    #[test]
    fn wild_frames_can_be_parsed(frame in wild()) {
        check(&frame)?;
    }
}
