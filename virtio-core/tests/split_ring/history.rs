//! Histories of split rings.

use proptest::prelude::*;
use virtio_core::testing::{RingDriver, SplitDriver, TestMemory};

use crate::common::{self, Step, Trick, good_step, run};
use crate::model::SplitModel;

#[derive(Clone, Debug)]
enum Odd {
    SetDescriptor { index: u16, address: u64, len: u32, flags: u16, next: u16 },
    SetAvailable { position: u16, head: u16 },
    MoveIndex { by: u16 },
    SetFlags { flags: u16 },
    MoveUsedEvent { by: u16 },
}

impl Trick<SplitDriver> for Odd {
    fn play(&self, driver: &SplitDriver, memory: &TestMemory) {
        match *self {
            Odd::SetDescriptor { index, address, len, flags, next } => {
                driver.set_descriptor(index % driver.size(), address, len, flags, next);
            }
            Odd::SetAvailable { position, head } => driver.set_available(position, head),
            Odd::MoveIndex { by } => {
                let (_, available, _) = driver.areas();
                let index = u16::from_le_bytes(memory.bytes(available + 2, 2).try_into().unwrap());
                driver.set_index(index.wrapping_add(by));
            }
            Odd::SetFlags { flags } => driver.set_flags(flags),
            Odd::MoveUsedEvent { by } => driver.set_used_event(driver.used_index().wrapping_add(by)),
        }
    }
}

/// What a good driver may do, too: flags and events that are read whether they count or not.
fn step() -> impl Strategy<Value = Step<Odd>> {
    prop_oneof![
        15 => good_step(),
        1 => (0u16..2).prop_map(|flags| Step::Trick(Odd::SetFlags { flags })),
        1 => (0u16..8).prop_map(|by| Step::Trick(Odd::MoveUsedEvent { by })),
    ]
}

fn bad_step() -> impl Strategy<Value = Step<Odd>> {
    let descriptor = (0u16..10, common::address(), common::length(), 0u16..8, 0u16..10);
    let trick = prop_oneof![
        1 => descriptor.prop_map(|(index, address, len, flags, next)| {
            Odd::SetDescriptor { index, address, len, flags, next }
        }),
        1 => (0u16..8, 0x8000u64..0x9000, 0u32..6, 0u16..4).prop_map(|(index, address, entries, flags)| {
            Odd::SetDescriptor { index, address, len: 16 * entries, flags: flags | 4, next: 0 }
        }),
        1 => (0u16..8, 0u16..9).prop_map(|(position, head)| Odd::SetAvailable { position, head }),
        1 => prop_oneof![0u16..10, any::<u16>()].prop_map(|by| Odd::MoveIndex { by }),
        1 => any::<u16>().prop_map(|flags| Odd::SetFlags { flags }),
        1 => any::<u16>().prop_map(|by| Odd::MoveUsedEvent { by }),
    ];
    prop_oneof![
        4 => (common::bad_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        6 => trick.prop_map(Step::Trick),
    ]
}

fn size() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![1u16, 2, 4, 8])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn good_drivers(
        size in size(),
        features in common::features(),
        start in prop_oneof![Just(0u16), any::<u16>()],
        script in common::script(step(), 300),
    ) {
        run::<SplitModel, _>(size, features, start, &script.0);
    }

    #[test]
    fn bad_drivers(
        size in size(),
        features in common::features(),
        script in common::script(prop_oneof![5 => step(), 1 => bad_step()], 120),
    ) {
        run::<SplitModel, _>(size, features, 0, &script.0);
    }
}
