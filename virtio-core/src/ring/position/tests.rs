use proptest::prelude::*;

use super::{BadVringBase, QueuePosition};
use crate::testing::TestMemory;
use crate::{Event, Features, QueueSetup, RingFault, Virtqueue};

fn split(available: u16, used: u16) -> QueuePosition {
    QueuePosition::Split { available, used, decided: false }
}

fn packed(available: (u16, bool), used: (u16, bool)) -> QueuePosition {
    let ((available, available_wrap), (used, used_wrap)) = (available, used);
    QueuePosition::Packed { available, available_wrap, used, used_wrap, decided: false }
}

/// What becomes of a queue of 256 that is to go on from there.
fn queue(features: Features, position: QueuePosition) -> Result<QueuePosition, RingFault> {
    let memory = TestMemory::new(1 << 16);
    let mut setup = QueueSetup::new(memory.ram().clone(), Event::new().unwrap());
    setup.size = 256;
    setup.features = features;
    setup.position = Some(position);
    setup.descriptor_area = memory.alloc(16 * 256, 16);
    setup.driver_area = memory.alloc(6 + 2 * 256, 4);
    setup.device_area = memory.alloc(6 + 8 * 256, 4);
    Virtqueue::new(setup).map(|queue| queue.position())
}

#[test]
fn the_bits_of_a_base() {
    assert_eq!(split(0x8001, 7).vring_base(), 0x8001);
    assert_eq!(packed((0, true), (0, true)).vring_base(), 0x8000_8000, "the start of a packed ring");
    assert_eq!(packed((5, false), (3, true)).vring_base(), 0x8003_0005);
    assert_eq!(packed((0x7fff, true), (0x7fff, false)).vring_base(), 0x7fff_ffff);
    assert_eq!(packed((1, false), (255, true)).vring_base(), 0x80ff_0001, "the driver is a lap ahead");
}

#[test]
fn a_base_is_decided_on_by_nobody() {
    let position = QueuePosition::Split { available: 3, used: 3, decided: true };
    assert_eq!(QueuePosition::split_from_base(position.vring_base(), 3), Ok(split(3, 3)));
}

#[test]
fn a_split_base_has_16_bits() {
    assert_eq!(QueuePosition::split_from_base(0xffff, 0xfffe), Ok(split(0xffff, 0xfffe)));
    for base in [0x1_0000, u32::MAX] {
        assert_eq!(QueuePosition::split_from_base(base, 0), Err(BadVringBase { base }));
    }
}

#[test]
fn a_split_base_that_does_not_fit_makes_no_queue() {
    for (base, used) in [(257, 0), (0, 1), (0x8000, 0), (0, 0xfeff)] {
        let position = QueuePosition::split_from_base(base, used).unwrap();
        assert_eq!(queue(Features::NONE, position), Err(RingFault::Position { position }), "{base:#x} {used:#x}");
        assert!(queue(Features::RING_PACKED, position).is_err(), "the other layout");
    }
    assert_eq!(queue(Features::NONE, split(0, 0xff00)), Ok(split(0, 0xff00)));
}

#[test]
fn a_packed_base_that_does_not_fit_makes_no_queue() {
    // Slots that the ring does not have, used ahead of available, and more than a lap in flight.
    for base in [0x8000_8100, 0x8100_8000, 0x7fff_ffff, u32::MAX, 0x8001_8000, 0x8000_0001, 0x0000_8001] {
        let position = QueuePosition::packed_from_base(base);
        assert_eq!(queue(Features::RING_PACKED, position), Err(RingFault::Position { position }), "{base:#x}");
        assert!(queue(Features::NONE, position).is_err(), "the other layout");
    }
    // Nothing in flight, in both laps; all of the ring, in both laps; and some over the end.
    for base in [0x8000_8000, 0, 0x8005_8005, 0x8000_0000, 0x0000_8000, 0x8005_0005, 0x80ff_0000] {
        let position = QueuePosition::packed_from_base(base);
        assert_eq!(queue(Features::RING_PACKED, position), Ok(position), "{base:#x}");
    }
}

proptest! {
    #[test]
    fn every_number_comes_back(base: u32, used: u16) {
        prop_assert_eq!(QueuePosition::packed_from_base(base).vring_base(), base);
        let position = QueuePosition::split_from_base(base & 0xffff, used).unwrap();
        prop_assert_eq!(position, split(base as u16, used));
        prop_assert_eq!(position.vring_base(), base & 0xffff);
    }

    #[test]
    fn what_a_queue_takes_is_what_it_says(base: u32, used: u16) {
        let positions = [QueuePosition::packed_from_base(base), split(base as u16, used)];
        for (features, position) in [Features::RING_PACKED, Features::NONE].into_iter().zip(positions) {
            if let Ok(taken) = queue(features, position) {
                prop_assert_eq!(taken, position);
            }
        }
    }
}
