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
