use proptest::prelude::*;

use super::*;
use crate::packet::header_len;

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[test]
fn tcp_is_cut_into_segments() {
    let payload: Vec<u8> = (0..=255).cycle().take(2500).collect();
    // CWR, ACK, PSH and FIN.
    let frame = ethernet(&[(0x8100, 5)], ETHER_IPV4, &ipv4(TCP, &tcp((1, 2), 0x99, &[1; 12], &payload)));
    let header = header(&frame, 1 | NetHeader::ECN, 1000);
    let pieces = cut(&frame, &header).unwrap();
    assert_eq!(pieces.len(), 3);
    for (index, piece) in pieces.iter().enumerate() {
        let layers = Layers::parse(piece).unwrap();
        let packet = layers.network.unwrap();
        check(piece, &packet, true);
        assert_eq!(layers.ethernet, Layers::parse(&frame).unwrap().ethernet);
        assert_eq!(word(piece, 18 + 4), 0x1234 + index as u16, "the packet's number");
        // It started near the end of the numbers.
        let sequence = u32::from_be_bytes(*piece[38 + 4..].first_chunk().unwrap());
        assert_eq!(sequence, 0xffff_ff00_u32.wrapping_add(1000 * index as u32));
        assert_eq!(piece[38 + 8..38 + 12], [5, 6, 7, 8], "what is acknowledged");
        assert_eq!(piece[38 + 13], [0x90, 0x10, 0x19][index], "flags");
        assert_eq!(piece[38 + 20..38 + 32], [1; 12], "options");
    }
    assert_eq!(pieces.iter().flat_map(|piece| &piece[70..]).copied().collect::<Vec<_>>(), payload);
}

#[test]
fn a_segment_that_is_short_enough_stays_one() {
    for payload in [&[7; 1000][..], &[]] {
        let frame = frame(&ipv6(TCP, &tcp((1, 2), 0x99, &[], payload)));
        let pieces = cut(&frame, &header(&frame, 4, 1000)).unwrap();
        let [piece] = pieces.as_slice() else { panic!("{} pieces", pieces.len()) };
        check(piece, &Layers::parse(piece).unwrap().network.unwrap(), true);
        assert_eq!(piece[54 + 13], 0x99);
        assert_eq!(piece[74..], *payload);
    }
}

/// A packet in VXLAN, and where its header is.
pub(super) fn tunnel(outer_v4: bool, checksum: u16, packet: &[u8]) -> (Vec<u8>, usize) {
    let mut datagram = udp((50000, 4789), &[&[8, 0, 0, 0, 0, 0, 9, 0], frame(packet).as_slice()].concat());
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    let outer = frame(&if outer_v4 { ipv4(UDP, &datagram) } else { ipv6(UDP, &datagram) });
    let inner = outer.len() - packet.len();
    (outer, inner)
}

pub(super) fn tunnel_header(frame: &[u8], inner: usize, gso_type: u8, gso_size: u16) -> NetHeader {
    let outer = Layers::parse(frame).unwrap().transport().unwrap().at;
    let network = Network::parse(frame, inner).unwrap();
    let kind = if network.is_v4() { NetHeader::UDP_TUNNEL_IPV4 } else { NetHeader::UDP_TUNNEL_IPV6 };
    NetHeader {
        outer_th_offset: outer as u16,
        inner_nh_offset: inner as u16,
        ..at(&network.transport.unwrap(), gso_type | kind, gso_size)
    }
}

#[test]
fn headers_of_tunnels_are_those_of_each_piece() {
    for (outer_v4, field, flag) in [(true, 0, 0), (true, 0x4321, 0), (false, 0x4321, 8), (false, 0, 8), (false, 0, 0)] {
        let packet = ipv4(TCP, &tcp((1, 2), 0x18, &[], &[5; 2001]));
        let (mut frame, inner) = tunnel(outer_v4, field, &packet);
        if outer_v4 {
            // As it is where the pieces' checksum was made before.
            frame[14 + 20 + 4..14 + 20 + 6].copy_from_slice(&[3, 0]);
            frame[16..18].copy_from_slice(&[3, 20]);
        }
        let header = tunnel_header(&frame, inner, 1, 1000);
        let header = NetHeader { flags: header.flags | flag, ..header };
        let pieces = cut(&frame, &header).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.len() - inner - 40).collect::<Vec<_>>(), [1000, 1000, 1]);
        for (index, piece) in pieces.iter().enumerate() {
            let outer = Layers::parse(piece).unwrap().network.unwrap();
            check(piece, &outer, field != 0 || flag != 0);
            check(piece, &Network::parse(piece, inner).unwrap(), true);
            if outer_v4 {
                assert_eq!(word(piece, 14 + 4), 0x1234 + index as u16);
            }
            assert_eq!(piece[inner - 22..inner], frame[inner - 22..inner], "the tunnel's own header");
        }
    }
}

// spec: NET-TX-08 NET-TX-10 NET-TX-11
#[test]
fn drv_net_tx_06_tunnels_that_make_no_sense_are_refused() {
    let (frame, inner) = tunnel(true, 0, &ipv4(TCP, &tcp((1, 2), 0, &[], &[5; 3000])));
    let good = tunnel_header(&frame, inner, 1, 1000);
    assert_eq!(cut(&frame, &good).unwrap().len(), 3);
    for bad in [
        NetHeader { gso_type: 1 | NetHeader::UDP_TUNNEL, ..good },
        NetHeader { gso_type: NetHeader::UDP_TUNNEL_IPV4, ..good },
        NetHeader { gso_type: 3 | NetHeader::UDP_TUNNEL_IPV4, ..good },
        NetHeader { flags: 0, ..good },
        NetHeader { flags: good.flags | NetHeader::DATA_VALID, ..good },
        NetHeader { gso_type: 1, flags: good.flags | NetHeader::UDP_TUNNEL_CSUM, ..good },
        NetHeader { gso_type: 0, flags: good.flags | NetHeader::UDP_TUNNEL_CSUM, ..good },
    ] {
        assert_eq!(cut(&frame, &bad), Err(Malformed::Gso { gso_type: bad.gso_type, flags: bad.flags }));
    }
    // DRV-NET-TX-11
    for (outer, inside, gso_type) in [
        (35, good.inner_nh_offset, good.gso_type),
        (good.outer_th_offset, 41, good.gso_type),
        (good.outer_th_offset, 0, good.gso_type),
        (good.outer_th_offset, u16::MAX, good.gso_type),
        (good.inner_nh_offset, good.outer_th_offset, good.gso_type),
        (good.outer_th_offset, good.inner_nh_offset, 1 | NetHeader::UDP_TUNNEL_IPV6),
    ] {
        let bad = NetHeader { outer_th_offset: outer, inner_nh_offset: inside, gso_type, ..good };
        assert_eq!(cut(&frame, &bad), Err(Malformed::Tunnel { outer, inner: inside, len: frame.len() }));
    }
}

// spec: DRV-NET-TX-09
#[test]
fn drv_net_tx_09_cutting_needs_a_size_and_a_checksum() {
    let frame = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], &[5; 3000])));
    let good = header(&frame, 1, 1000);
    let bad = NetHeader { flags: 0, ..good };
    assert_eq!(cut(&frame, &bad), Err(Malformed::Gso { gso_type: 1, flags: 0 }));
    assert_eq!(cut(&frame, &NetHeader { gso_size: 0, ..good }), Err(Malformed::GsoSize { size: 0 }));
    assert_eq!(cut(&frame, &NetHeader { gso_size: 1, ..good }).unwrap().len(), 3000);
    for gso_type in [2, 6, 0x10, 0x1f] {
        assert!(matches!(cut(&frame, &NetHeader { gso_type, ..good }), Err(Malformed::Gso { .. })));
    }
    // DRV-NET-TX-10: what is there is something else.
    for gso_type in [3, 4, 5] {
        assert!(matches!(cut(&frame, &NetHeader { gso_type, ..good }), Err(Malformed::Headers { .. })), "{gso_type}");
    }
    for (start, offset) in [(33, 16), (34, 6), (34, 14), (35, 15)] {
        let bad = NetHeader { csum_start: start, csum_offset: offset, ..good };
        assert_eq!(cut(&frame, &bad), Err(Malformed::Checksum { start, offset, len: frame.len() }));
    }
}

#[test]
fn packets_that_cannot_say_how_long_they_are_are_not_made() {
    let mut frame = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], &vec![5; 70000])));
    frame[16..18].copy_from_slice(&[0, 0]);
    assert_eq!(cut(&frame, &header(&frame, 1, 65535)), Err(Malformed::Length { len: 65575 }));
    assert_eq!(cut(&frame, &header(&frame, 1, 65495)).unwrap().len(), 2);
}

#[test]
fn a_detour_counts_by_where_it_ends() {
    let last = v6("fd00::9");
    let routing = |kind: u8| {
        extension(TCP, &[[kind, 1, 0, 0, 0, 0].as_slice(), &last].concat(), &tcp((1, 2), 0, &[], &[5; 3000]))
    };
    let frame_of = |kind| frame(&ipv6(43, &routing(kind)));
    let pieces = cut(&frame_of(2), &header(&frame_of(2), 4, 1000)).unwrap();
    for piece in &pieces {
        let packet = Layers::parse(piece).unwrap().network.unwrap();
        let ends = ipv6_between(v6("fd00::1"), last, TCP, &piece[packet.payload_at..]);
        check(&frame(&ends), &Layers::parse(&frame(&ends)).unwrap().network.unwrap(), true);
    }
    assert_eq!(pieces.len(), 3);
    assert!(matches!(cut(&frame_of(4), &header(&frame_of(4), 4, 1000)), Err(Malformed::Headers { .. })));
}

/// A frame to be cut, with what it is made of.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) frame: Vec<u8>,
    pub(super) header: NetHeader,
    payload: Vec<u8>,
    /// Where the packet in the tunnel is, and whether the tunnel's checksum is there.
    tunnel: Option<(usize, bool)>,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let shape = (any::<bool>(), any::<bool>(), 0..3_usize, 0..11_usize, any::<u8>());
    let around = (prop::option::of((any::<bool>(), any::<bool>(), any::<bool>())), 0..3_usize);
    (shape, around, prop::collection::vec(any::<u8>(), 0..3000), 1..2000_u16).prop_map(
        |((v4, is_tcp, extensions, options, flags), (tunnelled, tags), payload, size)| {
            let (protocol, mut carried) = match is_tcp {
                true => (TCP, tcp((1000, 80), flags, &vec![1; options * 4], &payload)),
                false => (UDP, udp((1000, 80), &payload)),
            };
            let packet = if v4 {
                ipv4_between(A4, B4, &vec![1; extensions * 4], protocol, &carried)
            } else {
                let mut next = protocol;
                for _ in 0..extensions {
                    carried = extension(next, &[1, 4, 0, 0, 0, 0], &carried);
                    next = 60;
                }
                ipv6(next, &carried)
            };
            let gso_type = match (is_tcp, v4) {
                (true, true) => 1,
                (true, false) => 4,
                _ => 5,
            };
            if let Some((outer_v4, field, flag)) = tunnelled {
                let (frame, inner) = tunnel(outer_v4, u16::from(field) * 0x1111, &packet);
                let header = tunnel_header(&frame, inner, gso_type, size);
                let header =
                    NetHeader { flags: header.flags | (u8::from(flag) * NetHeader::UDP_TUNNEL_CSUM), ..header };
                return Case { frame, header, payload, tunnel: Some((inner, field || flag)) };
            }
            let frame = ethernet(&vec![(0x8100, 9); tags], if v4 { ETHER_IPV4 } else { ETHER_IPV6 }, &packet);
            Case { header: header(&frame, gso_type, size), frame, payload, tunnel: None }
        },
    )
}

proptest! {
    #[test]
    fn pieces_are_whole_frames_and_together_what_was_cut(case in case()) {
        let Case { frame, header, payload, tunnel } = case;
        let pieces = cut(&frame, &header).unwrap();
        let size = usize::from(header.gso_size);
        prop_assert_eq!(pieces.len(), payload.len().div_ceil(size).max(1));
        // NET-RX-31
        prop_assert_eq!(header_len(&frame, &header), frame.len() - payload.len());
        let start = usize::from(header.csum_start);
        let mut together = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let outer = Layers::parse(piece).unwrap();
            let mut packet = outer.network.unwrap();
            if let Some((inner, checksum)) = tunnel {
                check(piece, &packet, checksum);
                packet = Network::parse(piece, inner).unwrap();
            }
            check(piece, &packet, true);
            let transport = packet.transport.unwrap();
            prop_assert_eq!(transport.at, start);
            let content = &piece[transport.at + transport.len..];
            prop_assert!(content.len() == size || index + 1 == pieces.len());
            if packet.protocol == TCP {
                let sequence = |frame: &[u8]| u32::from_be_bytes(*frame[start + 4..].first_chunk().unwrap());
                prop_assert_eq!(sequence(piece), sequence(&frame).wrapping_add(together.len() as u32));
                let (first, last) = (index == 0, index + 1 == pieces.len());
                let kept = 0x76 + u8::from(first) * 0x80 + u8::from(last) * 0x09;
                prop_assert_eq!(piece[start + 13], frame[start + 13] & kept);
            }
            together.extend_from_slice(content);
        }
        prop_assert_eq!(together, payload);
    }
}
