//! Frames in tunnels that are to be cut.

use virtio_core::Features;
use virtio_net::{GsoType, NetHeader};

use crate::offloads::*;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_rx_22_what_is_in_a_tunnel_is_left_to_the_driver,
    net_rx_21_without_the_feature_what_is_in_a_tunnel_is_cut,
    net_rx_25_without_the_feature_the_checksum_of_a_tunnel_is_complete,
}

/// The header of a frame in a tunnel, with `flags` besides.
fn tunnel(flags: u8) -> NetHeader {
    let header = to_cut(GsoType::Tcp4, INNER + 20, 1200);
    NetHeader {
        flags: header.flags | flags,
        gso_type: header.gso_type | NetHeader::UDP_TUNNEL_IPV4,
        outer_th_offset: OUTER,
        inner_nh_offset: INNER,
        ..header
    }
}

// spec: NET-RX-23 NET-RX-34 NET-RX-35 NET-RX-36
fn net_rx_22_what_is_in_a_tunnel_is_left_to_the_driver<P: Port>() {
    let expected = |header: NetHeader| NetHeader { hdr_len: INNER + 40, ..header };
    for (bytes, flags) in [(vxlan_without_checksum(&tcp4(0x10)), 0), (vxlan(&tcp4(0x10)), NetHeader::UDP_TUNNEL_CSUM)] {
        let (given, counts) = given::<P>(TUNNELS, tunnel(flags), &bytes);
        assert_eq!(given, [(expected(tunnel(flags)), bytes.clone())]);
        assert_eq!(counts.rx_gso_frames, 1);
        let (given, _) = self::given::<P>(TUNNELS, tunnel(flags | NetHeader::DATA_VALID), &bytes);
        assert_eq!(given, [(expected(tunnel(flags)), bytes)], "nothing is said to be right");
    }
    // Of the other version.
    let inner = tcp6();
    let bytes = vxlan_without_checksum(&inner);
    let header =
        NetHeader { gso_type: GsoType::Tcp6 as u8 | NetHeader::UDP_TUNNEL_IPV6, csum_start: INNER + 40, ..tunnel(0) };
    let (given, _) = given::<P>(TUNNELS, header, &bytes);
    assert_eq!(given, [(NetHeader { hdr_len: INNER + 60, ..header }, bytes)]);
}

// spec: NET-RX-11 NET-RX-37 NET-RX-46
fn net_rx_21_without_the_feature_what_is_in_a_tunnel_is_cut<P: Port>() {
    let bytes = vxlan_without_checksum(&tcp4(0x10));
    for features in [PLAIN, PLAIN - GUEST_TSO4, Features::NONE] {
        let (given, _) = given::<P>(features, tunnel(0), &bytes);
        assert!(given.iter().all(|(header, piece)| *header == NetHeader::default() && piece[40..42] == [0, 0]));
        let inner: Vec<_> = given.into_iter().map(|(header, piece)| (header, piece[50..].to_vec())).collect();
        are_pieces(&inner, 54);
    }
    // Both versions at once are none.
    let both = NetHeader { gso_type: tunnel(0).gso_type | NetHeader::UDP_TUNNEL, ..tunnel(0) };
    let (given, counts) = given::<P>(TUNNELS, both, &bytes);
    assert_eq!((given.len(), counts.rx_bad_header), (0, 1));
}

// spec: NET-RX-12 NET-RX-24 NET-RX-37
fn net_rx_25_without_the_feature_the_checksum_of_a_tunnel_is_complete<P: Port>() {
    let bytes = vxlan(&tcp4(0x10));
    for features in [TUNNELS - GUEST_UDP_TUNNEL_GSO_CSUM, PLAIN, Features::NONE] {
        let (given, _) = given::<P>(features, tunnel(NetHeader::UDP_TUNNEL_CSUM), &bytes);
        assert!(given.iter().all(|(header, piece)| *header == NetHeader::default() && is_complete(piece)));
        let inner: Vec<_> = given.into_iter().map(|(header, piece)| (header, piece[50..].to_vec())).collect();
        are_pieces(&inner, 54);
    }
    // A frame that is not to be cut has no such flag.
    let single = frame(&ipv4(B4, A4, UDP, &udp((1, 4789), b"data")));
    let needs = NetHeader { gso_type: 0, gso_size: 0, ..to_cut(GsoType::UdpL4, 34, 0) };
    let header = NetHeader { flags: needs.flags | NetHeader::UDP_TUNNEL_CSUM, ..needs };
    let (given, _) = given::<P>(TUNNELS, header, &single);
    assert_eq!(given, [(needs, single)]);
}
