//! Features, the configuration space, and where the queues are.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{BuildError, Capabilities, Duplex, GsoType, Net, NetHeader, Offloads};

use crate::commands::*;
use crate::frames::{BROADCAST, OWN, plain, tagged, tcp4};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    net_feat_01_what_is_not_there_is_not_offered,
    net_feat_02_what_is_offered_and_accepted_has_what_it_needs,
    net_feat_03_the_control_queue_is_behind_those_of_pairs,
    net_cfg_01_pairs_that_there_can_be,
    net_cfg_04_the_mtu_stays,
    net_cfg_05_longer_frames_than_the_mtu_are_dropped,
    net_cfg_07_keys_and_tables_are_as_long_as_they_have_to_be,
    net_cfg_10_speed_and_duplex_are_told_where_they_are_known,
    net_cfg_13_nothing_that_is_commanded_without_commands,
    drv_net_01_writes_are_ignored,
    drv_net_02_frames_beyond_the_mtu_come_back,
}

/// A feature, and what it needs: one of each group.
const NEEDS: &[(Features, &[&[Features]])] = &[
    (GUEST_TSO4, &[&[GUEST_CSUM]]),
    (GUEST_TSO6, &[&[GUEST_CSUM]]),
    (GUEST_ECN, &[&[GUEST_TSO4, GUEST_TSO6]]),
    (GUEST_UFO, &[&[GUEST_CSUM]]),
    (GUEST_USO4, &[&[GUEST_CSUM]]),
    (GUEST_USO6, &[&[GUEST_CSUM]]),
    (GUEST_UDP_TUNNEL_GSO, &[&[GUEST_TSO4], &[GUEST_TSO6], &[GUEST_USO4], &[GUEST_USO6]]),
    (GUEST_UDP_TUNNEL_GSO_CSUM, &[&[GUEST_UDP_TUNNEL_GSO]]),
    (HOST_TSO4, &[&[CSUM]]),
    (HOST_TSO6, &[&[CSUM]]),
    (HOST_ECN, &[&[HOST_TSO4, HOST_TSO6]]),
    (HOST_UFO, &[&[CSUM]]),
    (HOST_USO, &[&[CSUM]]),
    (HOST_UDP_TUNNEL_GSO, &[&[HOST_TSO4], &[HOST_TSO6], &[HOST_USO]]),
    (HOST_UDP_TUNNEL_GSO_CSUM, &[&[HOST_UDP_TUNNEL_GSO]]),
    (CTRL_RX, &[&[CTRL_VQ]]),
    (CTRL_VLAN, &[&[CTRL_VQ]]),
    (GUEST_ANNOUNCE, &[&[CTRL_VQ]]),
    (MQ, &[&[CTRL_VQ]]),
    (CTRL_MAC_ADDR, &[&[CTRL_VQ]]),
    (NOTF_COAL, &[&[CTRL_VQ]]),
    (RSS, &[&[CTRL_VQ]]),
    (VQ_NOTF_COAL, &[&[CTRL_VQ]]),
    (HASH_TUNNEL, &[&[CTRL_VQ], &[RSS, HASH_REPORT]]),
];

fn any(features: &[Features]) -> Features {
    features.iter().fold(Features::NONE, |any, feature| any | *feature)
}

fn is_consistent(features: Features) -> bool {
    let met = |needs: &[&[Features]]| needs.iter().all(|group| features.intersects(any(group)));
    NEEDS.iter().all(|(feature, needs)| !features.contains(*feature) || met(needs))
}

/// Without what lacks something that it needs.
fn consistent(features: Features) -> Features {
    let step = |features: Features| {
        let met = |needs: &[&[Features]]| needs.iter().all(|group| features.intersects(any(group)));
        let lacking = NEEDS.iter().filter(|(_, needs)| !met(needs));
        lacking.fold(features, |left, (feature, _)| left - *feature)
    };
    // No chain of needs is longer than the list.
    NEEDS.iter().fold(features, |features, _| step(features))
}

/// All that a device can have, with four pairs.
fn full<P: Port>() -> Rig<P> {
    let mut can = Capabilities::default();
    (can.pairs, can.transmit, can.receive) = (4, Offloads::ALL, Offloads::ALL);
    Rig::with(Network::with(can), |builder| builder.rss(true).hash_report(true).mtu(1500).speed(1000, Duplex::Full))
}

// spec: NET-LEGACY-12
fn net_feat_01_what_is_not_there_is_not_offered<P: Port>() {
    let offered = full::<P>().offered();
    assert!(!offered.intersects(OUT_NET_HEADER | IPSEC | STANDBY | RSC_EXT));
    // What is the legacy interface's alone, and contexts of receive-side scaling.
    let legacy = Features::bit(6) | Features::bit(41) | Features::bit(42);
    assert!(!offered.intersects(legacy | RSS_CONTEXT));
}

fn net_feat_02_what_is_offered_and_accepted_has_what_it_needs<P: Port>() {
    let mut rig = full::<P>();
    let all = rig.offered();
    assert!(is_consistent(all));
    for (feature, needs) in NEEDS {
        assert!(all.contains(*feature), "{feature:?}");
        for need in *needs {
            let without = all - any(need) - Features::RING_PACKED;
            // All that does not need what is left out is accepted, and nothing more.
            rig.port.set_status(0);
            assert!(rig.negotiate(consistent(without - *feature)), "neither {feature:?} nor {need:?}");
            rig.port.set_status(0);
            assert!(!rig.negotiate(consistent(without - *feature) | *feature), "{feature:?} without {need:?}");
        }
    }
    rig.port.set_status(0);
    assert!(rig.negotiate(all - Features::RING_PACKED));
    // Whatever a network cannot do, what is offered goes together.
    for without in [Offloads::CSUM, Offloads::TSO4, Offloads::TSO6, Offloads::USO4, Offloads::UDP_TUNNEL_GSO] {
        let mut can = Capabilities::default();
        (can.transmit, can.receive) = (Offloads::ALL - without, Offloads::ALL - without);
        let rig = Rig::<P>::with(Network::with(can), |builder| builder);
        assert!(is_consistent(rig.offered()), "{without:?}");
    }
    // Whatever an embedder takes away.
    for (feature, _) in NEEDS {
        let rig = Rig::<P>::with(Network::new(4), |builder| builder.rss(true).hash_report(true).without(*feature));
        assert!(is_consistent(rig.offered()) && !rig.offered().intersects(*feature), "{feature:?}");
    }
}

// spec: NET-MQ-09 NET-MQ-10
fn net_feat_03_the_control_queue_is_behind_those_of_pairs<P: Port>() {
    for (pairs, features, control) in [
        (1, CTRL_VQ | CTRL_RX, 2),
        (3, CTRL_VQ | CTRL_RX, 2),
        (3, CTRL_VQ | CTRL_RX | MQ, 6),
        (3, CTRL_VQ | CTRL_RX | RSS, 6),
    ] {
        let mut rig = Rig::<P>::with(Network::new(pairs), |builder| builder.rss(true));
        assert_eq!(rig.offered().intersects(MQ | RSS), pairs > 1);
        assert_eq!(rig.offered().contains(MQ | RSS), pairs > 1);
        let mut queues = rig.live(USUAL | features);
        assert_eq!(2 * queues.rx.len(), control);
        assert_eq!(rig.order(&mut queues, PROMISC, &[1]), OK, "commands go to queue {control}");
    }
}

fn net_cfg_01_pairs_that_there_can_be<P: Port>() {
    for pairs in [1, 2, 7] {
        let rig = Rig::<P>::with(Network::new(pairs), |builder| builder);
        assert_eq!(u16::from_le_bytes(rig.config(8)), pairs);
        let queues = 2 * pairs + 1;
        assert!((0..queues).all(|queue| rig.port.queue_max(queue) > 0) && rig.port.queue_max(queues) == 0);
    }
}

// spec: NET-CFG-01
#[test]
fn net_cfg_01_no_other_pairs_can_be_had() {
    for pairs in [0, 0x8001, u16::MAX] {
        let built = Net::builder(Network::new(1)).pairs(pairs).build();
        assert!(matches!(built, Err(BuildError::Pairs { pairs: asked }) if asked == pairs));
    }
    let built = Net::builder(Network::new(2)).pairs(3).build();
    assert!(matches!(built, Err(BuildError::TooManyPairs { pairs: 3, most: 2 })));
}

#[test]
fn net_cfg_02_no_mtu_is_below_68() {
    for mtu in [0, 67] {
        let built = Net::builder(Network::new(1)).mtu(mtu).build();
        assert!(matches!(built, Err(BuildError::Mtu { mtu: asked }) if asked == mtu));
    }
    for mtu in [68, 1280, 65535] {
        assert!(Net::builder(Network::new(1)).mtu(mtu).build().is_ok());
    }
}

#[test]
fn net_cfg_10_no_speed_is_above_what_there_can_be() {
    for speed in [0x8000_0000, u32::MAX] {
        let built = Net::builder(Network::new(1)).speed(speed, Duplex::Full).build();
        assert!(matches!(built, Err(BuildError::Speed { speed: asked }) if asked == speed));
    }
    assert!(Net::builder(Network::new(1)).speed(i32::MAX as u32, Duplex::Half).build().is_ok());
}

// spec: NET-CFG-02 NET-CFG-12
fn net_cfg_04_the_mtu_stays<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder.mtu(9000).speed(40000, Duplex::Full));
    assert!(rig.offered().contains(MTU));
    let told = |rig: &Rig<P>| (u16::from_le_bytes(rig.config(10)), u32::from_le_bytes(rig.config(12)), rig.config(16));
    assert_eq!(told(&rig), (9000, 40000, [1]));
    let mut queues = rig.live(USUAL | MTU | SPEED_DUPLEX | STATUS | CTRL_VQ | CTRL_RX | CTRL_MAC_ADDR | MQ);
    assert_eq!(told(&rig), (9000, 40000, [1]));
    rig.order(&mut queues, MAC_ADDR_SET, &[2, 0, 0, 0, 0, 9]);
    rig.order(&mut queues, PAIRS_SET, &[2, 0]);
    for up in [false, true] {
        rig.handle.set_link(up);
        assert_eq!(told(&rig), (9000, 40000, [1]));
    }
    rig.hears(&mut queues, &plain(OWN, 5000));
    rig.port.set_status(0);
    assert_eq!(told(&rig), (9000, 40000, [1]));
    // A network has one of its own; without, the driver is told nothing.
    let mut can = Capabilities::default();
    can.mtu = Some(1400);
    let rig = Rig::<P>::with(Network::with(can), |builder| builder);
    assert_eq!((rig.offered().contains(MTU), rig.config(10)), (true, 1400u16.to_le_bytes()));
    assert!(!Rig::<P>::new().offered().contains(MTU));
}

fn net_cfg_05_longer_frames_than_the_mtu_are_dropped<P: Port>() {
    let features = USUAL | GUEST_CSUM | GUEST_TSO4;
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.mtu(1300));
    let mut queues = rig.live(features | MTU);
    assert!(rig.hears(&mut queues, &plain(OWN, 1314)));
    assert!(!rig.hears(&mut queues, &plain(OWN, 1315)));
    assert!(rig.hears(&mut queues, &tagged(OWN, 5, 1318)));
    assert!(!rig.hears(&mut queues, &tagged(OWN, 5, 1319)));
    assert_eq!(rig.handle.counts().rx_oversize, 2);
    // What is to be cut may be longer.
    rig.post(&mut queues, 0, 2048);
    let header = NetHeader {
        flags: NetHeader::NEEDS_CSUM,
        gso_type: GsoType::Tcp4 as u8,
        gso_size: 500,
        csum_start: 34,
        csum_offset: 16,
        ..NetHeader::default()
    };
    rig.arrive(0, header, &tcp4(OWN, 1, &[1; 1600]));
    assert_eq!(queues.rx[0].used().unwrap().len, 12 + 54 + 1600);
    // A driver that does not know of the MTU gets all that fits.
    rig.port.set_status(0);
    let mut queues = rig.live(features);
    assert!(rig.hears(&mut queues, &plain(OWN, 1600)));
}

// spec: NET-CFG-08
fn net_cfg_07_keys_and_tables_are_as_long_as_they_have_to_be<P: Port>() {
    let rig = full::<P>();
    assert!(rig.offered().contains(RSS | HASH_REPORT));
    assert!(rig.config::<1>(17)[0] >= 40);
    assert!(u16::from_le_bytes(rig.config(18)) >= 128);
    assert_eq!((u32::from_le_bytes(rig.config(20)), u32::from_le_bytes(rig.config(24))), (0x1ff, 0x1ff));
}

// spec: NET-CFG-11
fn net_cfg_10_speed_and_duplex_are_told_where_they_are_known<P: Port>() {
    for (speed, duplex, byte) in [(0, Duplex::Half, 0), (10, Duplex::Half, 0), (400_000, Duplex::Full, 1)] {
        let rig = Rig::<P>::with(Network::new(1), |builder| builder.speed(speed, duplex));
        assert!(rig.offered().contains(SPEED_DUPLEX));
        assert_eq!((rig.config(12), rig.config(16)), (speed.to_le_bytes(), [byte]));
    }
    let mut can = Capabilities::default();
    can.speed = Some(2500);
    let rig = Rig::<P>::with(Network::with(can), |builder| builder);
    assert_eq!((rig.config(12), rig.config(16)), (2500u32.to_le_bytes(), [1]));
    // Nobody knows.
    let rig = Rig::<P>::new();
    assert!(!rig.offered().contains(SPEED_DUPLEX));
    assert_eq!((rig.config(12), rig.config(16)), ([0xff; 4], [0xff]));
}

// spec: NET-CFG-14
fn net_cfg_13_nothing_that_is_commanded_without_commands<P: Port>() {
    let rig = Rig::<P>::with(Network::new(4), |builder| builder.rss(true).hash_report(true).without(CTRL_VQ));
    let commanded = [
        CTRL_VQ,
        CTRL_RX,
        CTRL_VLAN,
        CTRL_RX_EXTRA,
        GUEST_ANNOUNCE,
        MQ,
        CTRL_MAC_ADDR,
        DEVICE_STATS,
        HASH_TUNNEL,
        VQ_NOTF_COAL,
        NOTF_COAL,
        HASH_REPORT,
        RSS,
        CTRL_GUEST_OFFLOADS,
    ];
    assert!(!rig.offered().intersects(any(&commanded)));
    assert!(full::<P>().offered().contains(any(&commanded)));
}

fn drv_net_01_writes_are_ignored<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder.mtu(1500));
    let before: [u8; 28] = rig.config(0);
    rig.port.write_config(0, &[0xa5; 28]);
    let mut queues = rig.live(USUAL | CTRL_VQ | CTRL_RX | MTU | STATUS);
    rig.port.write_config(0, &[0xa5; 28]);
    for offset in 0..28 {
        rig.port.write_config(offset, &[0x5a]);
    }
    assert_eq!(rig.config::<28>(0), before);
    assert!(rig.hears(&mut queues, &plain(OWN, 60)) && !rig.is_broken());
}

fn drv_net_02_frames_beyond_the_mtu_come_back<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.mtu(1500));
    let mut queues = rig.live(USUAL | MTU);
    // The network is given what is a frame, and drops it or not.
    for len in [1515, 9000, 65557] {
        let frame = plain(BROADCAST, len);
        assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &frame).unwrap().len, 0);
        assert_eq!(rig.network.sent(0)[0].1, frame);
    }
    assert_eq!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 65558)).unwrap().len, 0);
    assert_eq!((rig.network.sent(0).len(), rig.handle.counts().tx_bad_length), (0, 1));
}
