//! The table of addresses by itself.

use std::num::NonZeroU16;

use super::super::table::Addresses;
use crate::MacAddress;

fn port(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn address(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress([2, 0, a, b, c, d])
}

#[test]
fn an_address_is_known_until_nothing_has_come_from_it_for_five_minutes() {
    let table = Addresses::new();
    assert_eq!(table.find(address(1), 0), None);
    table.learn(address(1), port(0xffff), 10);
    assert_eq!(table.find(address(1), 10), Some(port(0xffff)));
    assert_eq!(table.find(address(1), 310), Some(port(0xffff)));
    assert_eq!(table.find(address(1), 311), None);
    table.learn(address(1), port(3), 400);
    assert_eq!(table.find(address(1), 400), Some(port(3)));
    assert_eq!(table.find(address(1), 0), Some(port(3)), "a task whose time is that of an earlier batch");
    assert_eq!(table.find(MacAddress::default(), 400), None);
}

#[test]
fn all_of_a_thousand_addresses_fit_and_more_do_no_harm() {
    let table = Addresses::new();
    let known = |count: u32| (0..count).filter(|number| table.find(address(*number), 0).is_some()).count();
    (0..500).for_each(|number| table.learn(address(number), port(1), 0));
    assert_eq!(known(500), 500);
    (0..100_000).for_each(|number| table.learn(address(number), port(2), 0));
    assert!((1000..=1024).contains(&known(100_000)), "{}", known(100_000));
    // What is known is right, and the newest is.
    for number in 0..100_000 {
        assert!(matches!(table.find(address(number), 0), None | Some(NonZeroU16 { .. })));
        assert!(table.find(address(number), 0).is_none_or(|found| found == port(2)));
    }
    assert_eq!(table.find(address(99_999), 0), Some(port(2)));
}

#[test]
fn who_was_silent_for_longest_makes_room() {
    let table = Addresses::new();
    table.learn(address(0), port(1), 5);
    (1..10_000).for_each(|number| table.learn(address(number), port(2), 6));
    assert_eq!(table.find(address(0), 6), None);
    table.learn(address(0), port(1), 7);
    for number in 1..10_000 {
        table.learn(address(number), port(2), 6);
        assert_eq!(table.find(address(0), 6), Some(port(1)), "others have been silent for longer");
    }
}

#[test]
fn a_port_is_forgotten_and_no_other() {
    let table = Addresses::new();
    (0..300).for_each(|number| table.learn(address(number), port(1 + (number % 3) as u16), 0));
    table.forget(port(2));
    for number in 0..300 {
        let expected = (number % 3 != 1).then(|| port(1 + (number % 3) as u16));
        assert_eq!(table.find(address(number), 0), expected);
    }
}
