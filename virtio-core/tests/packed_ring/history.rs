//! Histories of packed rings.

use proptest::prelude::*;
use virtio_core::testing::{PackedDriver, RingDriver, TestMemory};

use crate::common::{self, Step, Trick, good_step, run};
use crate::model::PackedModel;

/// What the flags of a descriptor say of it.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// Available where the wrap counter is 1.
    Odd,
    /// Available where the wrap counter is 0.
    Even,
    /// Used where the wrap counter is 1.
    Both,
    /// Used where the wrap counter is 0.
    Neither,
}

impl Mark {
    fn flags(self) -> u16 {
        match self {
            Mark::Odd => PackedDriver::AVAIL,
            Mark::Even => PackedDriver::USED,
            Mark::Both => PackedDriver::AVAIL | PackedDriver::USED,
            Mark::Neither => 0,
        }
    }
}

/// Slots count from the one that the driver fills next.
#[derive(Clone, Debug)]
enum Bad {
    SetDescriptor { slot: u16, address: u64, len: u32, id: u16, flags: u16, mark: Mark },
    ToggleFlags { slot: u16, flags: u16 },
    SetDriverEvent { offset: u16, wrap: bool, flags: u16 },
}

impl Trick<PackedDriver> for Bad {
    fn play(&self, driver: &PackedDriver, _memory: &TestMemory) {
        let at = |ahead: u16| (driver.next().0 + ahead) % driver.size();
        match *self {
            Bad::SetDescriptor { slot, address, len, id, flags, mark } => {
                driver.set_descriptor(at(slot), address, len, id, flags | mark.flags());
            }
            Bad::ToggleFlags { slot, flags } => driver.set_flags(at(slot), driver.flags(at(slot)) ^ flags),
            Bad::SetDriverEvent { offset, wrap, flags } => driver.set_driver_event(offset, wrap, flags),
        }
    }
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![4 => Just(Mark::Odd), 4 => Just(Mark::Even), 1 => Just(Mark::Both), 1 => Just(Mark::Neither)]
}

fn bad_step() -> impl Strategy<Value = Step<Bad>> {
    let descriptor = (0u16..9, common::address(), common::length(), any::<u16>(), 0u16..8, mark());
    let table = (0u16..4, 0x8000u64..0x9000, 0u32..6, any::<u16>(), 0u16..4, mark());
    let trick = prop_oneof![
        2 => descriptor.prop_map(|(slot, address, len, id, flags, mark)| {
            Bad::SetDescriptor { slot, address, len, id, flags, mark }
        }),
        1 => table.prop_map(|(slot, address, entries, id, flags, mark)| {
            let flags = flags | PackedDriver::INDIRECT;
            Bad::SetDescriptor { slot, address, len: 16 * entries, id, flags, mark }
        }),
        2 => (0u16..9, prop::sample::select(vec![1u16, 2, 4, 0x80, 0x8000, 0x8080, 0x81]))
            .prop_map(|(slot, flags)| Bad::ToggleFlags { slot, flags }),
        1 => (0u16..10, any::<bool>(), prop_oneof![0u16..4, any::<u16>()])
            .prop_map(|(offset, wrap, flags)| Bad::SetDriverEvent { offset, wrap, flags }),
    ];
    prop_oneof![
        4 => (common::bad_parts(), any::<bool>()).prop_map(|(parts, indirect)| Step::Add { parts, indirect }),
        6 => trick.prop_map(Step::Trick),
    ]
}

fn size() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![1u16, 2, 3, 5, 7, 8])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn good_drivers(
        size in size(),
        features in common::features(),
        start in prop_oneof![Just(0u16), 0u16..20],
        script in common::script(good_step::<Bad>(), 300),
    ) {
        run::<PackedModel, _>(size, features, start, &script.0);
    }

    #[test]
    fn bad_drivers(
        size in size(),
        features in common::features(),
        script in common::script(prop_oneof![5 => good_step(), 1 => bad_step()], 120),
    ) {
        run::<PackedModel, _>(size, features, 0, &script.0);
    }
}
