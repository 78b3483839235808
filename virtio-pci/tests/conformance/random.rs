//! Drivers that do anything.

use proptest::prelude::*;

use crate::harness::*;

#[derive(Clone, Debug)]
enum Access {
    ReadConfig(u16, usize),
    WriteConfig(u16, Vec<u8>),
    ReadBar(u8, u64, usize),
    WriteBar(u8, u64, Vec<u8>),
    Run,
}

fn access() -> impl Strategy<Value = Access> {
    // Mostly where something is.
    let config = prop_oneof![8 => 0u16..0x100, 1 => any::<u16>()];
    let place = prop_oneof![
        16 => (0u64..5, 0u64..0x48).prop_map(|(page, within)| page * 4096 + within),
        1 => any::<u64>(),
    ];
    let bar = prop_oneof![8 => Just(0u8), 4 => Just(2u8), 1 => any::<u8>()];
    let byte = prop_oneof![2 => any::<u8>(), 1 => Just(0u8), 1 => Just(1u8), 1 => Just(0xffu8)];
    let data = proptest::collection::vec(byte, 0..9);
    prop_oneof![
        (config.clone(), 0usize..9).prop_map(|(at, len)| Access::ReadConfig(at, len)),
        (config, data.clone()).prop_map(|(at, data)| Access::WriteConfig(at, data)),
        (bar.clone(), place.clone(), 0usize..9).prop_map(|(bar, at, len)| Access::ReadBar(bar, at, len)),
        (bar, place, data).prop_map(|(bar, at, data)| Access::WriteBar(bar, at, data)),
        Just(Access::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn drv_pci_01_no_sequence_of_accesses_does_harm(accesses in proptest::collection::vec(access(), 0..200)) {
        let (harness, _) = Harness::new(2);
        let read_only = harness.config(0, 4);
        let mut seen = harness.function.bars();
        for access in accesses {
            let mut bytes = [0xee; 8];
            match access {
                Access::ReadConfig(at, len) => harness.function.read_config(at, &mut bytes[..len]),
                Access::WriteConfig(at, data) => {
                    let changes = harness.function.write_config(at, &data);
                    let now = harness.function.bars();
                    for (before, after) in seen.iter().zip(&now) {
                        let answers = |bar: &virtio_pci::BarPlacement| bar.enabled.then_some(bar.address);
                        let change = changes.iter().find(|change| change.bar == after.bar);
                        prop_assert_eq!(change.is_some(), answers(before) != answers(after));
                        if let Some(change) = change {
                            prop_assert_eq!((change.from, change.to), (answers(before), answers(after)));
                        }
                    }
                    seen = now;
                }
                Access::ReadBar(bar, at, len) => harness.function.read_bar(bar, at, &mut bytes[..len]),
                Access::WriteBar(bar, at, data) => harness.function.write_bar(bar, at, &data),
                Access::Run => prop_assert!(!harness.runtime.poll(), "work has an end"),
            }
            prop_assert_eq!(harness.config(0, 4), read_only);
        }

        // What was left can be moved to another machine, unless it is live; and a reset recovers in any case.
        if let Ok(state) = harness.function.save() {
            let (target, _) = Harness::new(2);
            target.function.reset();
            prop_assert!(target.function.restore(&state).is_ok());
            prop_assert_eq!(target.function.save().unwrap(), state);
        }
        harness.function.reset();
        harness.place();
        harness.enable_msix();
        let mut driver = harness.go_live(0, 1);
        harness.sent.take();
        harness.complete_one(&mut driver);
        prop_assert_eq!(harness.sent.take(), [message(1)]);
    }
}
