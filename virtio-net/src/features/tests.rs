#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// All that is in the table, and what it needs.
fn all() -> Features {
    NEEDS.iter().chain(OFFERED_WITH).fold(CTRL_VQ | STATUS | CSUM | GUEST_CSUM, |all, (feature, _)| all | *feature)
}

#[test]
fn net_feat_02_what_misses_a_prerequisite_is_neither_offered_nor_agreed_to() {
    assert_eq!(consistent(all()), all());
    assert!(check(all()).is_ok());
    for (feature, needs) in NEEDS {
        for need in *needs {
            let without = all() - *need;
            assert!(!consistent(without).contains(*feature), "{feature:?} without {need:?} is offered");
            assert!(check(without).is_err(), "{feature:?} without {need:?} is agreed to");
            assert!(check(consistent(without)).is_ok(), "what is left fits together");
        }
    }
}

#[test]
fn what_is_of_no_use_alone_is_not_offered_and_can_be_chosen() {
    for (feature, needs) in OFFERED_WITH {
        for need in *needs {
            assert!(!consistent(all() - *need).contains(*feature));
            assert!(check(consistent(all() - *need) | *feature).is_ok());
        }
    }
}

// spec: NET-CFG-13 NET-CFG-14
#[test]
fn net_cfg_13_without_the_control_queue_nothing_is_offered_that_needs_it() {
    let left = consistent(all() - CTRL_VQ);
    assert!(!left.intersects(HASH_REPORT | RSS | MQ | CTRL_RX | CTRL_RX_EXTRA | CTRL_VLAN | CTRL_MAC_ADDR));
    assert!(left.contains(GUEST_TSO4 | HOST_TSO4));
}

#[test]
fn offloads_and_features_are_the_same_thing_twice() {
    let features = of_offloads(Offloads::ALL, Offloads::ALL);
    assert_eq!((receive_offloads(features), transmit_offloads(features)), (Offloads::ALL, Offloads::ALL));
    let one = of_offloads(Offloads::CSUM | Offloads::USO4, Offloads::CSUM | Offloads::USO4);
    assert_eq!(one, GUEST_CSUM | GUEST_USO4 | CSUM, "HOST_USO is for both kinds");
}

#[test]
fn net_rx_43_the_header_is_as_long_as_negotiated() {
    let lens = [Features::NONE, MRG_RXBUF, HASH_REPORT, HOST_UDP_TUNNEL_GSO, HASH_REPORT | GUEST_UDP_TUNNEL_GSO];
    assert_eq!(lens.map(header_len), [12, 12, 20, 24, 24]);
}

#[test]
fn names_stand_for_the_bits_of_the_specification() {
    let words = [
        (0, CSUM | GUEST_CSUM | CTRL_GUEST_OFFLOADS | MTU | MAC, 0x2f),
        (0, GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | GUEST_UFO, 0x780),
        (0, HOST_TSO4 | HOST_TSO6 | HOST_ECN | HOST_UFO, 0x7800),
        (0, MRG_RXBUF | STATUS | CTRL_VQ | CTRL_RX, 0x7_8000),
        (0, CTRL_VLAN | CTRL_RX_EXTRA | GUEST_ANNOUNCE | MQ | CTRL_MAC_ADDR, 0xf8_0000),
        (1, DEVICE_STATS | HASH_TUNNEL | VQ_NOTF_COAL | NOTF_COAL, 0x3c_0000),
        (1, GUEST_USO4 | GUEST_USO6 | HOST_USO | HASH_REPORT, 0x3c0_0000),
        (1, GUEST_HDRLEN | RSS | RSC_EXT | STANDBY | SPEED_DUPLEX, 0xf800_0000),
        (2, RSS_CONTEXT | GUEST_UDP_TUNNEL_GSO | GUEST_UDP_TUNNEL_GSO_CSUM, 0x7),
        (2, HOST_UDP_TUNNEL_GSO | HOST_UDP_TUNNEL_GSO_CSUM | OUT_NET_HEADER | IPSEC, 0x78),
    ];
    for (word, features, bits) in words {
        assert_eq!(features, Features::NONE.with_word(word, bits));
        assert!(features.iter().all(|bit| feature_name(bit).is_some()));
    }
    let ends = [CSUM, MAC, GUEST_UFO, MRG_RXBUF, CTRL_MAC_ADDR, DEVICE_STATS, GUEST_HDRLEN, RSS, SPEED_DUPLEX, IPSEC];
    assert_eq!(ends.map(|feature| feature.bits().trailing_zeros()), [0, 5, 10, 15, 23, 50, 59, 60, 63, 70]);
    let names = ends.map(|feature| feature_name(feature.bits().trailing_zeros()).unwrap());
    assert_eq!((names[0], names[5], names[9]), ("CSUM", "DEVICE_STATS", "IPSEC"));
    assert_eq!([4, 6, 24, 49, 58, 71, 128].map(feature_name), [None; 7]);
}
