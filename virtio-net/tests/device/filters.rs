//! Which frames the driver gets.

use virtio_core::Features;
use virtio_net::NetHeader;

use crate::commands::*;
use crate::frames::{BROADCAST, GROUP, OTHER, OWN, plain, tagged};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    net_ctrl_rx_01_promiscuous_and_all_multicast,
    net_ctrl_rx_03_promiscuous_overrides_all,
    net_ctrl_rx_05_unicast_multicast_and_broadcast_are_switched,
    net_ctrl_rx_08_no_multicast_beats_all_multicast,
    net_ctrl_rx_11_no_unicast_beats_all_unicast,
    net_ctrl_rx_13_no_broadcast_beats_all_multicast,
    drv_net_ctrl_02_modes_are_on_or_off,
    without_filters_all_is_received,
    net_ctrl_mac_01_the_table_is_empty_after_a_reset,
    net_ctrl_mac_02_the_table_counts_from_the_answer_on,
    net_ctrl_mac_03_the_address_is_shown_and_filtered_by,
    drv_net_ctrl_04_tables_that_are_wrong_change_nothing,
    a_table_that_is_too_long_lets_all_through,
    net_ctrl_vlan_01_without_the_feature_all_tags_are_received,
    net_ctrl_vlan_02_tags_come_and_go,
    filters_come_before_steering,
}

const FILTERS: Features = Features::from_bits(
    USUAL.bits() | CTRL_VQ.bits() | CTRL_RX.bits() | CTRL_RX_EXTRA.bits() | CTRL_VLAN.bits() | CTRL_MAC_ADDR.bits(),
);

/// What of frames to the device, to another, to a group and to all is received.
fn heard<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> [bool; 4] {
    [OWN, OTHER, GROUP, BROADCAST].map(|to| rig.hears(queues, &plain(to, 60)))
}

const BY_DEFAULT: [bool; 4] = [true, false, false, true];

/// Switches modes on and off.
fn switch<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, modes: &[Command], on: bool) {
    for mode in modes {
        assert_eq!(rig.order(queues, *mode, &[on.into()]), OK);
    }
}

/// What is received with modes on; by default before and after.
fn with_modes<P: Port>(modes: &[Command]) -> [bool; 4] {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
    switch(&rig, &mut queues, modes, true);
    let with = heard(&rig, &mut queues);
    // The order does not matter.
    switch(&rig, &mut queues, modes, false);
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
    for mode in modes.iter().rev() {
        switch(&rig, &mut queues, &[*mode], true);
    }
    assert_eq!(heard(&rig, &mut queues), with);
    let counts = rig.handle.counts();
    let dropped = [BY_DEFAULT, with, BY_DEFAULT, with].iter().flatten().filter(|heard| !**heard).count();
    assert_eq!((counts.rx_filtered_mac, counts.rx_frames), (dropped as u64, 16 - dropped as u64));
    with
}

// spec: NET-CTRL-RX-02 NET-CTRL-RX-04
fn net_ctrl_rx_01_promiscuous_and_all_multicast<P: Port>() {
    assert_eq!(with_modes::<P>(&[PROMISC]), [true; 4]);
    assert_eq!(with_modes::<P>(&[ALLMULTI]), [true, false, true, true]);
}

fn net_ctrl_rx_03_promiscuous_overrides_all<P: Port>() {
    assert_eq!(with_modes::<P>(&[NOUNI, NOMULTI, NOBCAST]), [false; 4]);
    assert_eq!(with_modes::<P>(&[PROMISC, NOUNI, NOMULTI, NOBCAST]), [true; 4]);
}

// spec: NET-CTRL-RX-06 NET-CTRL-RX-07 NET-CTRL-RX-10 NET-CTRL-RX-12
fn net_ctrl_rx_05_unicast_multicast_and_broadcast_are_switched<P: Port>() {
    assert_eq!(with_modes::<P>(&[ALLUNI]), [true, true, false, true]);
    assert_eq!(with_modes::<P>(&[NOMULTI]), [true, false, false, true]);
    assert_eq!(with_modes::<P>(&[NOUNI]), [false, false, false, true]);
    assert_eq!(with_modes::<P>(&[NOBCAST]), [true, false, false, false]);
}

// spec: NET-CTRL-RX-09
fn net_ctrl_rx_08_no_multicast_beats_all_multicast<P: Port>() {
    assert_eq!(with_modes::<P>(&[NOMULTI, ALLMULTI]), [true, false, false, true]);
}

fn net_ctrl_rx_11_no_unicast_beats_all_unicast<P: Port>() {
    assert_eq!(with_modes::<P>(&[NOUNI, ALLUNI]), [false, false, false, true]);
}

fn net_ctrl_rx_13_no_broadcast_beats_all_multicast<P: Port>() {
    assert_eq!(with_modes::<P>(&[NOBCAST, ALLMULTI]), [true, false, true, false]);
}

fn drv_net_ctrl_02_modes_are_on_or_off<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    for mode in [PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST] {
        for value in [2, 0x80, 0xff] {
            assert_eq!(rig.order(&mut queues, mode, &[value]), ERR);
        }
    }
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
}

fn without_filters_all_is_received<P: Port>() {
    for features in [USUAL, USUAL | CTRL_VQ] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        assert_eq!(heard(&rig, &mut queues), [true; 4]);
    }
}

fn net_ctrl_mac_01_the_table_is_empty_after_a_reset<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[OTHER], &[GROUP])), OK);
    assert_eq!(heard(&rig, &mut queues), [true; 4]);
    rig.port.set_status(0);
    let mut queues = rig.live(FILTERS);
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
}

// spec: NET-CTRL-MAC-04
fn net_ctrl_mac_02_the_table_counts_from_the_answer_on<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    // Another table replaces all of the one before.
    for round in 0..3 {
        let (one, other) = ([2, 0, 0, 0, 1, round], [3, 0, 0, 0, 1, round]);
        assert!(!rig.hears(&mut queues, &plain(one, 60)) && !rig.hears(&mut queues, &plain(other, 60)));
        // A frame that the network has already is filtered by the one or the other.
        assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[one, OTHER], &[other])), OK);
        assert!(rig.hears(&mut queues, &plain(one, 60)) && rig.hears(&mut queues, &plain(other, 60)));
        assert_eq!(heard(&rig, &mut queues), [true, true, false, true]);
        assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[], &[GROUP])), OK);
        assert!(!rig.hears(&mut queues, &plain(one, 60)) && !rig.hears(&mut queues, &plain(other, 60)));
        assert_eq!(heard(&rig, &mut queues), [true, false, true, true]);
    }
}

// spec: DRV-NET-CTRL-03
fn net_ctrl_mac_03_the_address_is_shown_and_filtered_by<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    let new = [2, 1, 2, 3, 4, 5];
    let _ = rig.port.take_interrupts();
    assert_eq!(rig.order(&mut queues, MAC_ADDR_SET, &new), OK);
    assert_eq!((rig.config(0), rig.handle.mac().0), (new, new));
    assert!(!rig.port.take_interrupts().1, "the driver knows");
    assert!(rig.hears(&mut queues, &plain(new, 60)) && !rig.hears(&mut queues, &plain(OWN, 60)));
    // No interface has these.
    for bad in [[0; 6], BROADCAST, GROUP] {
        assert_eq!(rig.order(&mut queues, MAC_ADDR_SET, &bad), ERR);
    }
    assert_eq!(rig.order(&mut queues, MAC_ADDR_SET, &new[..5]), ERR);
    assert_eq!(rig.config(0), new);
    rig.port.set_status(0);
    assert_eq!(rig.config(0), OWN);
    let mut queues = rig.live(FILTERS - CTRL_MAC_ADDR);
    assert_eq!((rig.order(&mut queues, MAC_ADDR_SET, &new), rig.config(0)), (ERR, OWN));
    assert!(rig.hears(&mut queues, &plain(OWN, 60)) && !rig.hears(&mut queues, &plain(new, 60)));
}

fn drv_net_ctrl_04_tables_that_are_wrong_change_nothing<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[OTHER], &[])), OK);
    let good = mac_table(&[[2; 6], [4; 6]], &[GROUP]);
    let count = |at: usize, count: u32| {
        let mut table = good.clone();
        table[at..at + 4].copy_from_slice(&count.to_le_bytes());
        table
    };
    let mut bad: Vec<_> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    // Six times some of these is small in 32 bits.
    for number in [1, 3, 4, 0x2aaa_aaab, 0x5555_5556, 0x8000_0000, u32::MAX] {
        bad.push(count(0, number));
    }
    for number in [0, 2, 0x2aaa_aaab, 0x8000_0000, u32::MAX] {
        bad.push(count(16, number));
    }
    for table in bad {
        assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &table), ERR, "{table:?}");
    }
    assert_eq!(heard(&rig, &mut queues), [true, true, false, true]);
    assert!(!rig.hears(&mut queues, &plain([2; 6], 60)));
}

fn a_table_that_is_too_long_lets_all_through<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    let many =
        |first: u8, count: usize| (0..count).map(|at| [first, 9, 0, 0, (at >> 8) as u8, at as u8]).collect::<Vec<_>>();
    let (own, others) = ([2, 9, 0, 0, 0, 63], [2, 9, 0, 0, 0, 64]);
    assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&many(2, 64), &[])), OK);
    assert!(rig.hears(&mut queues, &plain(own, 60)) && !rig.hears(&mut queues, &plain(others, 60)));
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
    // All of the kind there are too many of.
    for count in [65, 10000] {
        assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&many(2, count), &[GROUP])), OK);
        assert_eq!(heard(&rig, &mut queues), [true; 4]);
        assert!(!rig.hears(&mut queues, &plain([3; 6], 60)));
    }
    assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[], &many(3, 65))), OK);
    assert_eq!(heard(&rig, &mut queues), [true, false, true, true]);
    assert_eq!(rig.order(&mut queues, MAC_TABLE_SET, &mac_table(&[], &[])), OK);
    assert_eq!(heard(&rig, &mut queues), BY_DEFAULT);
}

fn net_ctrl_vlan_01_without_the_feature_all_tags_are_received<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS - CTRL_VLAN);
    for vlan in [0, 1, 7, 4095, 0xe007] {
        assert!(rig.hears(&mut queues, &tagged(OWN, vlan, 64)));
    }
    // The address counts all the same.
    assert!(!rig.hears(&mut queues, &tagged(OTHER, 7, 64)));
    assert_eq!(rig.handle.counts().rx_filtered_vlan, 0);
}

// spec: NET-CTRL-VLAN-03 NET-CTRL-VLAN-04
fn net_ctrl_vlan_02_tags_come_and_go<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(FILTERS);
    let all = [0, 1, 7, 63, 64, 2048, 4095];
    for vlan in all {
        assert!(!rig.hears(&mut queues, &tagged(OWN, vlan, 64)), "the table is empty at first");
        assert_eq!(rig.order(&mut queues, VLAN_ADD, &u16::to_le_bytes(vlan)), OK);
        assert!(rig.hears(&mut queues, &tagged(OWN, vlan, 64)));
        // The priority in a tag does not count.
        assert!(rig.hears(&mut queues, &tagged(OWN, vlan | 0xf000, 64)));
    }
    assert_eq!(rig.handle.counts().rx_filtered_vlan, all.len() as u64);
    assert!(!rig.hears(&mut queues, &tagged(OWN, 8, 64)) && !rig.hears(&mut queues, &tagged(OTHER, 7, 64)));
    for bad in [4096, 0x8007, 0xffff] {
        assert_eq!(rig.order(&mut queues, VLAN_ADD, &u16::to_le_bytes(bad)), ERR);
        assert_eq!(rig.order(&mut queues, VLAN_DEL, &u16::to_le_bytes(bad)), ERR);
    }
    assert_eq!(rig.order(&mut queues, VLAN_DEL, &[7, 0]), OK);
    assert_eq!([1, 7, 63].map(|vlan| rig.hears(&mut queues, &tagged(OWN, vlan, 64))), [true, false, true]);
    assert!(rig.hears(&mut queues, &plain(OWN, 60)), "a frame without a tag is none of a VLAN");
    rig.port.set_status(0);
    let mut queues = rig.live(FILTERS);
    assert!(!rig.hears(&mut queues, &tagged(OWN, 1, 64)), "the table is empty after a reset");
}

fn filters_come_before_steering<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
    let mut queues = rig.live(FILTERS | MQ);
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[2, 0]), OK);
    for pair in 0..2 {
        rig.post(&mut queues, pair, 2048);
    }
    for pair in 0..2 {
        rig.arrive(pair, NetHeader::default(), &plain(OTHER, 60));
        assert_eq!(rig.handle.pair_counts(pair as u16).unwrap().rx_filtered_mac, 1);
    }
    assert!(queues.rx.iter().all(|ring| virtio_core::testing::RingDriver::waiting(ring) == 0));
}
