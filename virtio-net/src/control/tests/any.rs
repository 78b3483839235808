#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

//! Whatever is sent: [`Rig::send_with`] checks that settings change only where the answer says so, and that what is set can
//! be restored.

use proptest::collection::vec;
use proptest::prelude::*;

use super::hash::Config;
use super::*;

/// Small numbers most of the time, those around limits, and any.
fn number() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 0u16..6, 1 => Just(127u16), 1 => Just(0x8000u16), 1 => any::<u16>()]
}

/// A command that is nearly right.
fn near() -> impl Strategy<Value = Vec<u8>> {
    let scaling = (any::<u16>(), 0u32..8, number(), vec(0u16..5, 128), number(), 0u8..42).prop_map(
        |(types, bits, unclassified, mut table, max_tx, key_len)| {
            table.truncate(1 << bits);
            let mask = (table.len() - 1) as u16;
            let key = vec![1; key_len.into()];
            Config { types: (types >> 6).into(), mask, unclassified, table, max_tx, key_len, key }.bytes()
        },
    );
    let macs = (vec(any::<[u8; 6]>(), 0..70), vec(any::<[u8; 6]>(), 0..70)).prop_map(|(unicast, multicast)| {
        let (first, second) = (le32(unicast.len() as u32), le32(multicast.len() as u32));
        message(1, 0, &[&first, unicast.as_flattened(), &second, multicast.as_flattened()])
    });
    let words = (0u8..10, 0u8..6, vec(number(), 0..12)).prop_map(|(class, command, words)| {
        let words: Vec<u8> = words.into_iter().flat_map(u16::to_le_bytes).collect();
        message(class, command, &[&words])
    });
    let bytes =
        (0u8..10, 0u8..6, vec(0u8..3, 0..40)).prop_map(|(class, command, bytes)| message(class, command, &[&bytes]));
    prop_oneof![3 => scaling, 1 => macs, 4 => words, 4 => bytes, 4 => prop::sample::select(good()).prop_map(|(_, good)| good)]
}

/// Sets of features, of which most are in.
fn features() -> impl Strategy<Value = Features> {
    let some = vec(any::<bool>(), 32).prop_map(|drop| {
        let bits = all().iter().zip(drop);
        bits.fold(all(), |features, (bit, drop)| if drop { features - Features::bit(bit) } else { features })
    });
    prop_oneof![Just(all()), some, any::<u128>().prop_map(Features::from_bits)]
}

proptest! {
    #[test]
    fn drv_net_ctrl_16_any_bytes_are_answered(
        features in features(),
        commands in vec((vec(any::<u8>(), 0..100), 0usize..200), 1..20),
    ) {
        let mut rig = Rig::new(features);
        for (command, writable) in commands {
            rig.send_with(&command, writable);
        }
    }

    #[test]
    fn drv_net_ctrl_16_any_commands_leave_settings_that_can_be_restored(
        features in features(),
        enabled in vec(prop::bool::weighted(0.9), 10),
        commands in vec((near(), 0usize..200), 1..30),
    ) {
        let mut rig = Rig::new(features);
        rig.enabled = (0u16..).zip(enabled).filter(|(_, on)| *on).map(|(queue, _)| queue).collect();
        for (command, writable) in commands {
            rig.send_with(&command, writable);
        }
        let saved = serde_json::to_vec(&rig.settings).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Settings>(&saved).unwrap(), rig.settings);
    }
}

/// The generator of the test above does reach what it is about.
#[test]
fn net_ctrl_01_nearly_right_commands_of_each_class_go_well() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut went_well = BTreeSet::new();
    for _ in 0..2000 {
        let command = near().new_tree(&mut runner).unwrap().current();
        if Rig::new(all()).send_with(&command, 100).outcome.is_ok() {
            went_well.insert((command[0], command[1]));
        }
    }
    assert_eq!(went_well.len(), 22);
}
