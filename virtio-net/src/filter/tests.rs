#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use proptest::prelude::*;

use super::*;

const OWN: MacAddress = MacAddress([0x52, 0x54, 0, 0, 0, 1]);
const OTHER: MacAddress = MacAddress([0x52, 0x54, 0, 0, 0, 2]);
const LISTED: MacAddress = MacAddress([0x52, 0x54, 0, 0, 0, 3]);
const GROUP: MacAddress = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
const LISTED_GROUP: MacAddress = MacAddress([0x33, 0x33, 0, 0, 0, 2]);

fn table() -> MacTable {
    MacTable { unicast: vec![LISTED], multicast: vec![LISTED_GROUP], ..MacTable::default() }
}

fn filter(modes: RxModes) -> Filter {
    Filter::new(Some(OWN), Some(modes), &table(), None)
}

/// What becomes of frames to the driver, to an address in the table, to another one, to a group in the table, to another one
/// and to all.
fn fates(filter: &Filter) -> [Result<(), Refusal>; 6] {
    [OWN, LISTED, OTHER, LISTED_GROUP, GROUP, MacAddress::BROADCAST].map(|to| filter.admits(to, None))
}

const MODES: RxModes =
    RxModes { promisc: false, allmulti: false, alluni: false, nomulti: false, nouni: false, nobcast: false };

// spec: NET-CTRL-MAC-01 NET-CTRL-MAC-04
#[test]
fn a_driver_gets_what_is_for_it() {
    let (unicast, multicast) = (Err(Refusal::Unicast), Err(Refusal::Multicast));
    assert_eq!(fates(&filter(MODES)), [Ok(()), Ok(()), unicast, Ok(()), multicast, Ok(())]);
    // As it is after a reset.
    let fresh = Filter::new(Some(OWN), Some(RxModes::default()), &MacTable::default(), None);
    assert_eq!(fates(&fresh), [Ok(()), unicast, unicast, multicast, multicast, Ok(())]);
}

// spec: NET-CTRL-RX-02 NET-CTRL-RX-03
#[test]
fn net_ctrl_rx_02_everything_is_received_in_promiscuous_mode() {
    let none = RxModes { nomulti: true, nouni: true, nobcast: true, ..MODES };
    let suppressed = [Refusal::NoUnicast; 3].into_iter().chain([Refusal::NoMulticast; 2]).chain([Refusal::NoBroadcast]);
    assert_eq!(fates(&filter(none)).map(Result::unwrap_err).to_vec(), suppressed.collect::<Vec<_>>());
    let promiscuous = RxModes { promisc: true, ..none };
    let filter = Filter::new(Some(OWN), Some(promiscuous), &table(), Some(&VlanTable::EMPTY));
    assert_eq!(fates(&filter), [Ok(()); 6]);
    assert_eq!(filter.admits(OTHER, Some(7)), Ok(()));
}

// spec: NET-CTRL-RX-04 NET-CTRL-RX-07 NET-CTRL-RX-08
#[test]
fn groups_are_received_as_the_modes_say() {
    let all = RxModes { allmulti: true, ..MODES };
    assert_eq!(fates(&filter(all)), [Ok(()), Ok(()), Err(Refusal::Unicast), Ok(()), Ok(()), Ok(())]);
    for none in [RxModes { nomulti: true, ..MODES }, RxModes { nomulti: true, ..all }] {
        let no = Err(Refusal::NoMulticast);
        // NET-CTRL-RX-09
        assert_eq!(fates(&filter(none)), [Ok(()), Ok(()), Err(Refusal::Unicast), no, no, Ok(())]);
    }
}

#[test]
fn net_ctrl_rx_09_suppressed_groups_leave_broadcasts_alone() {
    let filter = filter(RxModes { nomulti: true, ..MODES });
    assert_eq!(filter.admits(MacAddress::BROADCAST, None), Ok(()));
    assert_eq!(filter.admits(GROUP, None), Err(Refusal::NoMulticast));
}

// spec: NET-CTRL-RX-06 NET-CTRL-RX-10 NET-CTRL-RX-11
#[test]
fn addresses_are_received_as_the_modes_say() {
    let all = RxModes { alluni: true, ..MODES };
    assert_eq!(fates(&filter(all)), [Ok(()), Ok(()), Ok(()), Ok(()), Err(Refusal::Multicast), Ok(())]);
    for none in [RxModes { nouni: true, ..MODES }, RxModes { nouni: true, ..all }] {
        let no = Err(Refusal::NoUnicast);
        assert_eq!(fates(&filter(none)), [no, no, no, Ok(()), Err(Refusal::Multicast), Ok(())]);
    }
}

// spec: NET-CTRL-RX-12 NET-CTRL-RX-13
#[test]
fn broadcasts_are_received_as_the_modes_say() {
    for none in [RxModes { nobcast: true, ..MODES }, RxModes { nobcast: true, allmulti: true, ..MODES }] {
        assert_eq!(filter(none).admits(MacAddress::BROADCAST, None), Err(Refusal::NoBroadcast));
        assert_eq!(filter(none).admits(LISTED_GROUP, None), Ok(()));
        assert_eq!(filter(none).admits(OWN, None), Ok(()));
    }
}

#[test]
fn a_driver_that_cannot_say_what_it_wants_gets_it_all() {
    let without = Filter::new(Some(OWN), None, &MacTable::default(), None);
    assert_eq!(fates(&without), [Ok(()); 6]);
    // One that has an address which the device does not know.
    let unknown = Filter::new(None, Some(MODES), &table(), None);
    assert_eq!(fates(&unknown), [Ok(()), Ok(()), Ok(()), Ok(()), Err(Refusal::Multicast), Ok(())]);
}

#[test]
fn net_ctrl_mac_04_a_class_with_too_many_addresses_passes() {
    let (all, group) = (Ok(()), Err(Refusal::Multicast));
    let flagged = MacTable { all_unicast: true, ..table() };
    assert_eq!(fates(&Filter::new(Some(OWN), Some(MODES), &flagged, None)), [all, all, all, all, group, all]);
    let flagged = MacTable { all_multicast: true, ..table() };
    let one = Err(Refusal::Unicast);
    assert_eq!(fates(&Filter::new(Some(OWN), Some(MODES), &flagged, None)), [all, all, one, all, all, all]);
    // Suppressing a class does so all the same.
    let modes = RxModes { nomulti: true, ..MODES };
    assert_eq!(Filter::new(Some(OWN), Some(modes), &flagged, None).admits(GROUP, None), Err(Refusal::NoMulticast));
    // A list that is longer than any should be, as a state that is restored may have it.
    let long = MacTable { multicast: vec![LISTED_GROUP; MAX_ADDRESSES + 1], ..table() };
    assert_eq!(Filter::new(Some(OWN), Some(MODES), &long, None).admits(GROUP, None), Ok(()));
    let full = MacTable { multicast: vec![LISTED_GROUP; MAX_ADDRESSES], ..table() };
    assert_eq!(Filter::new(Some(OWN), Some(MODES), &full, None).admits(GROUP, None), group);
}

// spec: NET-CTRL-VLAN-02 NET-CTRL-VLAN-03 NET-CTRL-VLAN-04
#[test]
fn tagged_frames_are_received_as_the_table_says() {
    let mut vlans = VlanTable::EMPTY;
    let with = |vlans: &VlanTable| Filter::new(Some(OWN), Some(MODES), &table(), Some(vlans));
    for vlan in [0, 1, 4095] {
        assert_eq!(with(&vlans).admits(OWN, Some(vlan)), Err(Refusal::Vlan));
    }
    vlans.set(4095, true);
    vlans.set(0, true);
    assert_eq!(with(&vlans).admits(OWN, Some(4095)), Ok(()));
    assert_eq!(with(&vlans).admits(OWN, Some(0)), Ok(()));
    assert_eq!(with(&vlans).admits(OWN, Some(1)), Err(Refusal::Vlan));
    assert_eq!(with(&vlans).admits(OWN, None), Ok(()), "it has no tag");
    assert_eq!(with(&vlans).admits(OTHER, Some(0)), Err(Refusal::Unicast), "it is for another one");
    vlans.set(0, false);
    assert_eq!(with(&vlans).admits(OWN, Some(0)), Err(Refusal::Vlan));
}

#[test]
fn net_ctrl_vlan_01_without_a_table_all_tags_pass() {
    let filter = filter(MODES);
    for vlan in 0..4096 {
        assert_eq!(filter.admits(OWN, Some(vlan)), Ok(()));
    }
}

proptest! {
    /// Whatever the order of the tables.
    #[test]
    fn net_ctrl_mac_04_what_is_listed_is_received(lists in any::<[Vec<[u8; 6]>; 2]>(), others in any::<Vec<[u8; 6]>>()) {
        let [unicast, multicast] = lists;
        let unicast: Vec<_> = unicast.into_iter().take(MAX_ADDRESSES).map(|[a, rest @ ..]| mac(a & !1, rest)).collect();
        let multicast: Vec<_> = multicast.into_iter().take(MAX_ADDRESSES).map(|[a, rest @ ..]| mac(a | 1, rest)).collect();
        let table = MacTable { unicast: unicast.clone(), multicast: multicast.clone(), ..MacTable::default() };
        let filter = Filter::new(Some(OWN), Some(MODES), &table, None);
        for address in unicast.iter().chain(&multicast) {
            prop_assert_eq!(filter.admits(*address, None), Ok(()));
        }
        for address in others.into_iter().map(MacAddress) {
            let listed = unicast.contains(&address) || multicast.contains(&address);
            let expected = listed || address == OWN || address.is_broadcast();
            prop_assert_eq!(filter.admits(address, None).is_ok(), expected);
        }
    }
}

fn mac(first: u8, rest: [u8; 5]) -> MacAddress {
    let [b, c, d, e, f] = rest;
    MacAddress([first, b, c, d, e, f])
}
