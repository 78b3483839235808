#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::settings::{MacTable, RxModes, VlanTable};

// spec: NET-CTRL-RX-05
#[test]
fn net_ctrl_rx_01_each_mode_is_switched_on_and_off() {
    let modes: [fn(&mut RxModes) -> &mut bool; 6] = [
        |m| &mut m.promisc,
        |m| &mut m.allmulti,
        |m| &mut m.alluni,
        |m| &mut m.nomulti,
        |m| &mut m.nouni,
        |m| &mut m.nobcast,
    ];
    let mut rig = Rig::new(all());
    for (command, mode) in (0u8..).zip(modes) {
        assert_eq!(rig.settings.rx, RxModes::default());
        for value in [1, 1, 0, 0] {
            assert_eq!(rig.send(0, command, &[&[value]]), Ok(Effect::Filter));
            let mut expected = RxModes::default();
            *mode(&mut expected) = value == 1;
            assert_eq!(rig.settings.rx, expected);
        }
    }
}

#[test]
fn drv_net_ctrl_02_modes_are_on_or_off() {
    for command in 0..6 {
        for value in 2..=u8::MAX {
            let outcome = Rig::new(all()).send(0, command, &[&[value]]);
            assert_eq!(outcome, refused("neither on nor off", value.into()));
        }
    }
}

#[test]
fn a_driver_that_cannot_set_modes_receives_all() {
    assert!(Rig::new(all() - CTRL_RX).settings.rx.promisc);
}

/// The command that sets a table: counts as given, and that many addresses, which are `kind` and their number.
fn table(counts: [u32; 2], lens: [u32; 2]) -> Vec<u8> {
    let list = |kind: u8, len: u32| (0..len).flat_map(move |i| [kind, 0, 0, 0, (i >> 8) as u8, i as u8]);
    let [unicast, multicast] = [(2, lens[0]), (3, lens[1])].map(|(kind, len)| list(kind, len).collect::<Vec<u8>>());
    message(1, 0, &[&le32(counts[0]), &unicast, &le32(counts[1]), &multicast])
}

fn set(rig: &mut Rig, unicast: u32, multicast: u32) -> Result<Effect, Refusal> {
    rig.send_with(&table([unicast, multicast], [unicast, multicast]), 1).outcome
}

// spec: NET-CTRL-MAC-02
#[test]
fn net_ctrl_mac_01_the_table_is_empty_at_first_and_replaced_whole() {
    let mut rig = Rig::new(all());
    assert_eq!(rig.settings.macs, MacTable::default());
    assert_eq!(set(&mut rig, 2, 1), Ok(Effect::Filter));
    let unicast = vec![MacAddress([2, 0, 0, 0, 0, 0]), MacAddress([2, 0, 0, 0, 0, 1])];
    let multicast = vec![MacAddress([3, 0, 0, 0, 0, 0])];
    assert_eq!(rig.settings.macs, MacTable { unicast, multicast, ..MacTable::default() });
    assert_eq!(set(&mut rig, 0, 0), Ok(Effect::Filter));
    assert_eq!(rig.settings.macs, MacTable::default());
}

#[test]
fn with_too_many_addresses_the_kind_is_let_through() {
    for (unicast, multicast) in [(64, 64), (65, 64), (64, 65), (5000, 5000), (0, 10_000)] {
        let mut rig = Rig::new(all());
        assert_eq!(set(&mut rig, unicast, multicast), Ok(Effect::Filter));
        let macs = &rig.settings.macs;
        assert_eq!((macs.all_unicast, macs.all_multicast), (unicast > 64, multicast > 64));
        let kept = |len: u32| if len > 64 { 0 } else { len as usize };
        assert_eq!((macs.unicast.len(), macs.multicast.len()), (kept(unicast), kept(multicast)));
        // And not for ever.
        assert_eq!(set(&mut rig, 1, 1), Ok(Effect::Filter));
        assert!(!rig.settings.macs.all_unicast && !rig.settings.macs.all_multicast);
    }
}

#[test]
fn drv_net_ctrl_04_counts_that_are_wrong_are_refused() {
    let refuse = |counts, lens| {
        let mut rig = Rig::new(all());
        assert_eq!(set(&mut rig, 3, 3), Ok(Effect::Filter));
        match rig.send_with(&table(counts, lens), 1).outcome {
            Err(Refusal::Short { missing }) => assert!(missing > 0),
            Err(Refusal::Long { extra }) => assert_eq!(extra % 2, 0),
            other => panic!("{counts:?} {lens:?}: {other:?}"),
        }
        assert_eq!(rig.settings.macs.unicast.len(), 3);
    };
    refuse([0, 2], [0, 1]);
    refuse([0, 1], [0, 2]);
    refuse([3, 0], [2, 0]);
    refuse([2, 0], [3, 0]);
    // Six times each of them has no more than 32 bits.
    for huge in [u32::MAX, 0x8000_0000, 0x2aaa_aaab, 0x5555_5556, 0xaaaa_aaab, 0xffff_ffff / 6 + 1] {
        refuse([huge, 0], [1, 0]);
        refuse([0, huge], [0, 1]);
    }
}

#[test]
fn net_ctrl_mac_03_the_address_is_set() {
    let mut rig = Rig::new(all());
    assert_eq!(rig.settings.mac, MAC);
    assert_eq!(rig.send(1, 1, &[&[2, 0, 0, 0, 0, 9]]), Ok(Effect::Mac));
    assert_eq!(rig.settings.mac, MacAddress([2, 0, 0, 0, 0, 9]));
    // Those that no interface has.
    for (bytes, value) in [([0; 6], 0), ([0xff; 6], 0xffff_ffff_ffff), ([1, 0, 0x5e, 0, 0, 1], 0x0100_5e00_0001)] {
        assert_eq!(rig.send(1, 1, &[&bytes]), refused("no address for an interface", value));
    }
    assert_eq!(rig.settings.mac, MacAddress([2, 0, 0, 0, 0, 9]));
}

#[test]
fn net_ctrl_vlan_04_the_table_is_empty_at_first_and_ids_come_and_go() {
    let mut rig = Rig::new(all());
    assert_eq!(rig.settings.vlans, VlanTable::EMPTY);
    let mut there = BTreeSet::new();
    // As Windows does, all of them; then each second one goes.
    for id in 0..4096 {
        assert_eq!(rig.send(2, 0, &[&le16(id)]), Ok(Effect::Filter));
        there.insert(id);
        assert!(id % 97 != 0 || (0..4096).all(|id| rig.settings.vlans.contains(id) == there.contains(&id)));
    }
    assert_eq!(rig.settings.vlans, VlanTable::FULL);
    for id in (0..4096).step_by(2) {
        assert_eq!(rig.send(2, 1, &[&le16(id)]), Ok(Effect::Filter));
    }
    assert!((0..4096).all(|id| rig.settings.vlans.contains(id) == (id % 2 == 1)));
    for id in [4096, 4097, 0x8001, u16::MAX] {
        for command in [0, 1] {
            assert_eq!(rig.send(2, command, &[&le16(id)]), refused("no VLAN", id.into()));
        }
    }
}

#[test]
fn net_ctrl_vlan_01_without_the_feature_all_are_received() {
    let rig = Rig::new(all() - CTRL_VLAN);
    assert!((0..4096).all(|id| rig.settings.vlans.contains(id)));
}
