use super::frames::*;
use super::hash::hash;
use crate::packet::hash::Hash;
use crate::wire::hash_type;
use crate::wire::tunnel_type::{self, *};

/// The packet in the tunnels, and one that is not hashed.
fn packets() -> [Vec<u8>; 2] {
    [ipv4_between([1, 2, 3, 4], [5, 6, 7, 8], &[], TCP, &tcp((9, 10), 0, &[], b"inner")), vec![0; 40]]
}

fn gre(flags: u16, kind: u16, fields: usize, payload: &[u8]) -> Vec<u8> {
    [&flags.to_be_bytes(), &kind.to_be_bytes(), vec![7; fields * 4].as_slice(), payload].concat()
}

fn over_udp(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    frame(&ipv4(UDP, &udp((50000, port), &[header, payload].concat())))
}

/// Frames around `packet`, and the tunnel types that each is of.
fn tunnels(packet: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let bridged = frame(packet);
    let tagged = ethernet(&[(0x8100, 5)], ETHER_IPV4, packet);
    let v4 = |payload: &[u8]| frame(&ipv4(47, payload));
    let v6 = |payload: &[u8]| frame(&ipv6(47, payload));
    let geneve = |kind: u16, options: u8| {
        [&[options / 4, 0], kind.to_be_bytes().as_slice(), &[0, 0, 9, 0], &vec![3; usize::from(options)]].concat()
    };
    vec![
        (GRE_2784, v4(&gre(0, ETHER_IPV4, 0, packet))),
        (GRE_2784, v4(&gre(0x8000, ETHER_IPV4, 1, packet))),
        (GRE_2784, v4(&gre(0, 0x6558, 0, &tagged))),
        (GRE_2890, v4(&gre(0x3000, ETHER_IPV4, 2, packet))),
        (GRE_2890, v4(&gre(0xb000, 0x6558, 3, &bridged))),
        (GRE_2890, v6(&gre(0x1000, ETHER_IPV4, 1, packet))),
        (GRE_2890 | NVGRE, v4(&gre(0x2000, 0x6558, 1, &bridged))),
        (GRE_7676, v6(&gre(0, ETHER_IPV4, 0, packet))),
        (GRE_UDP, over_udp(4754, &gre(0x2000, ETHER_IPV4, 1, &[]), packet)),
        (VXLAN, over_udp(4789, &[8, 0, 0, 0, 0, 0, 9, 0], &bridged)),
        (VXLAN_GPE, over_udp(4790, &[8, 0, 0, 0, 0, 0, 9, 0], &tagged)),
        (VXLAN_GPE, over_udp(4790, &[12, 0, 0, 3, 0, 0, 9, 0], &bridged)),
        (VXLAN_GPE, over_udp(4790, &[12, 0, 0, 1, 0, 0, 9, 0], packet)),
        (GENEVE, over_udp(6081, &geneve(ETHER_IPV4, 0), packet)),
        (GENEVE, over_udp(6081, &geneve(0x6558, 12), &bridged)),
        (IPIP, frame(&ipv4(4, packet))),
    ]
}

// spec: NET-HASH-06 NET-HASH-07 NET-HASH-09
#[test]
fn what_is_in_a_tunnel_is_hashed_where_that_is_enabled() {
    let [packet, other] = packets();
    let plain = hash(hash_type::ALL, 0, &frame(&packet));
    assert_eq!(plain.report, 2);
    for (types, tunnel) in tunnels(&packet) {
        let outer = hash(hash_type::ALL, 0, &tunnel);
        assert_ne!(outer, plain);
        assert_eq!(hash(hash_type::ALL, types, &tunnel), plain, "{types:#x}");
        assert_eq!(hash(hash_type::ALL, tunnel_type::ALL & !types, &tunnel), outer, "{types:#x}");
        for bit in (0..9).map(|bit| 1 << bit).filter(|bit| types & bit != 0) {
            assert_eq!(hash(hash_type::ALL, bit, &tunnel), plain, "{bit:#x}");
        }
    }
    // Whatever is in there is what would be hashed.
    for (types, tunnel) in tunnels(&other) {
        assert_eq!(hash(hash_type::ALL, types, &tunnel), Hash::default(), "{types:#x}");
    }
}

#[test]
fn net_hash_06_gre_with_ipv6_in_it_is_that_of_rfc_7676_too() {
    let packet = ipv6(TCP, &tcp((9, 10), 0, &[], b"inner"));
    let tunnel = frame(&ipv4(47, &gre(0, ETHER_IPV6, 0, &packet)));
    for types in [GRE_2784, GRE_7676] {
        assert_eq!(hash(hash_type::ALL, types, &tunnel), hash(hash_type::ALL, 0, &frame(&packet)));
    }
}

#[test]
fn net_hash_07_what_is_no_tunnel_is_hashed_on_the_outside() {
    let [packet, _] = packets();
    let bridged = frame(&packet);
    let mut fragment = ipv4(4, &packet);
    fragment[6] = 0x20;
    for frame in [
        frame(&fragment),
        frame(&ipv6(4, &packet)),
        frame(&ipv4(47, &gre(0x4000, ETHER_IPV4, 0, &packet))),
        frame(&ipv4(47, &gre(0x2001, 0x880b, 1, &packet))),
        frame(&ipv4(47, &[0, 0, 8])),
        over_udp(4789, &[0, 0, 0, 0, 0, 0, 9, 0], &bridged),
        over_udp(4790, &[12, 0, 0, 4, 0, 0, 9, 0], &bridged),
        over_udp(4790, &[9, 0, 0, 0, 0, 0, 9, 0], &bridged),
        over_udp(6081, &[0x40, 0, 0x65, 0x58, 0, 0, 9, 0], &bridged),
        over_udp(6081, &[0, 0x80, 0x65, 0x58, 0, 0, 9, 0], &bridged),
        over_udp(53, &[8, 0, 0, 0, 0, 0, 9, 0], &bridged),
    ] {
        let outer = hash(hash_type::ALL, 0, &frame);
        assert!(outer.is_known());
        assert_eq!(hash(hash_type::ALL, tunnel_type::ALL, &frame), outer, "{frame:x?}");
    }
}
