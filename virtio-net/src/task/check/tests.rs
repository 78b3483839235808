#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const LEN: usize = 1514;
const NONE: NetHeader = NetHeader {
    flags: 0,
    gso_type: 0,
    hdr_len: 0,
    gso_size: 0,
    csum_start: 0,
    csum_offset: 0,
    outer_th_offset: 0,
    inner_nh_offset: 0,
};
const CSUM: NetHeader = NetHeader { flags: NetHeader::NEEDS_CSUM, csum_start: 34, csum_offset: 16, ..NONE };
const TSO: NetHeader = NetHeader { gso_type: GsoType::Tcp4 as u8, gso_size: 1448, hdr_len: 66, ..CSUM };
const TUNNEL: NetHeader = NetHeader {
    gso_type: GsoType::Tcp4 as u8 | NetHeader::UDP_TUNNEL_IPV4,
    outer_th_offset: 34,
    inner_nh_offset: 64,
    csum_start: 84,
    hdr_len: 104,
    ..TSO
};

fn all(header: NetHeader) -> Result<NetHeader, BadFrame> {
    check(&header, LEN, Offloads::ALL)
}

#[test]
fn net_tx_01_unknown_flags_are_disregarded() {
    assert_eq!(all(NetHeader { flags: 0xf0, ..NONE }), Ok(NONE));
    assert_eq!(all(NetHeader { flags: 0xf1, ..CSUM }), Ok(CSUM));
}

// spec: NET-TX-07
#[test]
fn net_tx_02_without_needs_csum_nothing_is_to_be_summed() {
    let garbage = NetHeader { csum_start: 0xffff, csum_offset: 0xffff, hdr_len: 0xffff, gso_size: 7, ..NONE };
    assert_eq!(all(garbage), Ok(NONE));
}

#[test]
fn net_tx_06_header_lengths_of_frames_that_are_not_cut_mean_nothing() {
    for hdr_len in [0, 1, 0xffff] {
        assert_eq!(all(NetHeader { hdr_len, ..CSUM }), Ok(CSUM));
    }
}

// spec: NET-TX-05
#[test]
fn drv_net_tx_10_header_lengths_are_brought_to_where_headers_can_end() {
    for (said, kept) in [(0, 52), (51, 52), (66, 66), (1514, 1514), (0xffff, 1514)] {
        assert_eq!(all(NetHeader { hdr_len: said, ..TSO }).unwrap().hdr_len, kept);
    }
}

#[test]
fn net_tx_08_a_tunnel_over_both_protocols_is_refused() {
    let both = NetHeader { gso_type: GsoType::Tcp4 as u8 | NetHeader::UDP_TUNNEL, ..TUNNEL };
    assert!(matches!(all(both), Err(BadFrame::Tunnel { .. })));
}

#[test]
fn net_tx_09_offsets_of_tunnels_mean_nothing_without_one() {
    let garbage = NetHeader { outer_th_offset: 0xffff, inner_nh_offset: 3, ..TSO };
    assert_eq!(all(garbage), Ok(TSO));
}

// spec: DRV-NET-TX-06 DRV-NET-TX-13
#[test]
fn net_tx_10_tunnels_that_do_not_go_with_the_rest_are_refused() {
    assert_eq!(all(TUNNEL), Ok(TUNNEL));
    let of = |base: u8| base | NetHeader::UDP_TUNNEL_IPV6;
    for bad in [
        NetHeader { flags: 0, ..TUNNEL },
        NetHeader { flags: NetHeader::NEEDS_CSUM | NetHeader::DATA_VALID, ..TUNNEL },
        NetHeader { gso_type: of(GsoType::None as u8), ..TUNNEL },
        NetHeader { gso_type: of(GsoType::Udp as u8), ..TUNNEL },
        NetHeader { gso_type: of(7), ..TUNNEL },
    ] {
        assert!(matches!(all(bad), Err(BadFrame::Tunnel { .. })), "{bad:?}");
    }
    let without = Offloads::ALL - Offloads::UDP_TUNNEL_GSO;
    assert!(matches!(check(&TUNNEL, LEN, without), Err(BadFrame::Tunnel { .. })));
}

// spec: DRV-NET-TX-07
#[test]
fn net_tx_11_a_sum_of_a_tunnel_goes_with_a_tunnel_and_its_feature() {
    let sums = NetHeader::NEEDS_CSUM | NetHeader::UDP_TUNNEL_CSUM;
    assert!(all(NetHeader { flags: NetHeader::UDP_TUNNEL_CSUM, ..NONE }).is_err());
    assert!(all(NetHeader { flags: sums, ..TSO }).is_err());
    let tunnel = NetHeader { flags: sums, ..TUNNEL };
    assert_eq!(all(tunnel), Ok(tunnel));
    assert!(check(&tunnel, LEN, Offloads::ALL - Offloads::UDP_TUNNEL_GSO_CSUM).is_err());
}

#[test]
fn drv_net_tx_03_a_checksum_that_was_not_negotiated_is_not_completed() {
    assert_eq!(check(&CSUM, LEN, Offloads::NONE), Ok(NONE));
}

#[test]
fn drv_net_tx_04_cutting_that_was_not_negotiated_is_refused() {
    for (gso, needs) in [
        (GsoType::Tcp4, Offloads::TSO4),
        (GsoType::Tcp6, Offloads::TSO6),
        (GsoType::Udp, Offloads::UFO),
        (GsoType::UdpL4, Offloads::USO4),
    ] {
        let header = NetHeader { gso_type: gso as u8, ..TSO };
        assert_eq!(all(header).unwrap().gso(), Some(gso));
        assert!(matches!(check(&header, LEN, Offloads::ALL - needs), Err(BadFrame::Gso { .. })));
    }
    for unknown in [2, 6, 0x1f] {
        assert!(all(NetHeader { gso_type: unknown, ..TSO }).is_err());
    }
}

#[test]
fn drv_net_tx_05_congestion_marks_that_were_not_negotiated_mean_nothing() {
    let marked = NetHeader { gso_type: TSO.gso_type | NetHeader::ECN, ..TSO };
    assert_eq!(all(marked), Ok(marked));
    assert_eq!(check(&marked, LEN, Offloads::ALL - Offloads::ECN), Ok(TSO));
    assert_eq!(all(NetHeader { gso_type: NetHeader::ECN, ..CSUM }), Ok(CSUM), "nothing is cut");
}

#[test]
fn drv_net_tx_08_checksums_behind_the_end_are_refused() {
    for (start, offset) in [(1512, 1), (1513, 0), (0xffff, 0xffff), (0, 1513), (0xffff, 1)] {
        let bad = NetHeader { csum_start: start, csum_offset: offset, ..CSUM };
        assert!(matches!(all(bad), Err(BadFrame::Checksum { .. })), "{start} and {offset}");
    }
    let last = NetHeader { csum_start: 1512, csum_offset: 0, ..CSUM };
    assert_eq!(all(last), Ok(last));
}

#[test]
fn drv_net_tx_09_cutting_without_a_size_or_a_checksum_is_refused() {
    assert_eq!(all(NetHeader { gso_size: 0, ..TSO }), Err(BadFrame::GsoIncomplete));
    assert_eq!(all(NetHeader { flags: 0, ..TSO }), Err(BadFrame::GsoIncomplete));
}

#[test]
fn drv_net_tx_11_tunnels_with_headers_out_of_order_are_refused() {
    for (outer, inner) in [(13, 64), (34, 41), (64, 34), (34, 84), (34, 0xffff), (0xffff, 0)] {
        let bad = NetHeader { outer_th_offset: outer, inner_nh_offset: inner, ..TUNNEL };
        assert!(matches!(all(bad), Err(BadFrame::TunnelHeaders { .. })), "{outer} and {inner}");
    }
}

#[test]
fn drv_net_tx_01_what_is_no_frame_is_refused() {
    for len in [0, 13, MAX_FRAME_LEN + 1] {
        assert_eq!(check(&NONE, len, Offloads::ALL), Err(BadFrame::Length { len }));
    }
    assert!(check(&NONE, 14, Offloads::ALL).is_ok() && check(&NONE, MAX_FRAME_LEN, Offloads::ALL).is_ok());
}

proptest! {
    /// Whatever a driver writes: what is left means something, and says nothing that was not negotiated.
    #[test]
    fn what_passes_makes_sense(bytes in any::<[u8; 24]>(), gso in 0..6_u8, len in 0..70000_usize, taken in 0..512_u16) {
        let mut header = NetHeader::decode(&bytes);
        header.gso_type = header.gso_type & 0xe0 | gso;
        let allowed = Offloads::from_bits(taken);
        let Ok(passed) = check(&header, len, allowed) else { return Ok(()) };
        prop_assert!(passed.flags & !(NetHeader::NEEDS_CSUM | NetHeader::UDP_TUNNEL_CSUM) == 0);
        if passed.needs_csum() {
            prop_assert!(allowed.contains(Offloads::CSUM));
            prop_assert!(usize::from(passed.csum_start) + usize::from(passed.csum_offset) + 2 <= len);
        }
        if passed.is_gso() {
            prop_assert!(passed.needs_csum() && passed.gso_size > 0 && usize::from(passed.hdr_len) <= len);
        } else {
            prop_assert_eq!(passed.gso_type, 0);
        }
    }
}
