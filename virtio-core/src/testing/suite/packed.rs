//! The packed ring under a driver that keeps the rules.

use super::{Port, USUAL, World};
use crate::features::Features;
use crate::testing::{Buffer, PackedDriver, RingDriver, Used, Wish};

/// A world whose queues are packed.
type Packed<P> = World<P, PackedDriver>;

const AVAIL: u16 = PackedDriver::AVAIL;
const USED: u16 = PackedDriver::USED;
const WRITE: u16 = PackedDriver::WRITE;

const WITHOUT_EVENT_IDX: Features = Features::from_bits(USUAL.bits() & !Features::EVENT_IDX.bits());

/// Brings the device to life with one queue of `size`.
fn live_of<P: Port>(world: &Packed<P>, size: u16) -> PackedDriver {
    assert!(world.negotiate(USUAL));
    let driver = world.enable(0, size, USUAL);
    assert!(world.port.is_enabled(0), "size {size}");
    world.go();
    driver
}

/// Adds a chain that takes so many slots, and copies one byte.
fn add_slots<P: Port>(world: &Packed<P>, driver: &mut PackedDriver, slots: u32) -> u16 {
    let (from, to) = (world.memory.place(&[7; 16]), world.memory.alloc(1, 1));
    let mut chain: Vec<_> = (0..slots - 1).map(|i| Buffer::readable(from + u64::from(i), 1)).collect();
    chain.push(Buffer::writable(to, 1));
    driver.add(&chain).expect("free slots")
}

pub fn ring_packed_07_nothing_is_taken_before_avail_changes<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 3);
    let taken = || world.port.host().queue_counts(0).map(|counts| counts.chains);
    world.kick();
    assert_eq!((driver.waiting(), taken()), (0, Some(0)), "a ring of zeros");
    for round in 1..10 {
        assert!(world.echoes_indirectly(&mut driver));
        world.kick();
        assert_eq!((driver.waiting(), taken()), (0, Some(round)), "descriptors of the lap before");
    }
}

pub fn ring_packed_08_used_descriptors_stay_as_they_are<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    for _ in 0..3 {
        assert!(world.echoes(&mut driver));
    }
    let (ring, ..) = driver.areas();
    let before = world.memory.bytes(ring, 6 * 16);
    for _ in 0..4 {
        assert!(world.echoes(&mut driver));
    }
    assert_eq!(world.memory.bytes(ring, 6 * 16), before);
}

pub fn ring_packed_11_the_wrap_counter_starts_at_one_and_changes_at_the_end<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 5);
    for round in 0..23u16 {
        let (slot, wrap) = driver.next_used();
        assert_eq!((slot, wrap), (round % 5, (round / 5).is_multiple_of(2)));
        assert!(world.echoes_indirectly(&mut driver));
        let expected = if wrap { AVAIL | USED } else { 0 };
        assert_eq!(driver.flags(slot), expected | WRITE, "round {round}");
    }
}

pub fn ring_packed_12_write_says_whether_anything_was_written<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    let at = world.memory.place(b"data");
    let chains: [(&[Buffer], u16); 3] = [
        (&[Buffer::readable(at, 4)], 0),
        (&[Buffer::writable(at, 4)], 0),
        (&[Buffer::readable(at, 2), Buffer::writable(at + 2, 2)], WRITE),
    ];
    for (chain, expected) in chains {
        let (slot, _) = driver.next_used();
        driver.add(chain).expect("free slots");
        driver.show();
        world.kick();
        assert_eq!(driver.flags(slot) & WRITE, expected);
        assert!(driver.used().is_some());
    }
}

// spec: RING-PACKED-15
pub fn ring_packed_14_a_list_is_used_by_one_descriptor_and_skipped<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 7);
    for round in 0..50u16 {
        let slots = 1 + round % 4;
        let (slot, wrap) = driver.next_used();
        let id = add_slots(world, &mut driver, slots.into());
        driver.show();
        let rest: Vec<_> = (1..slots).map(|i| driver.descriptor((slot + i) % 7)).collect();
        world.kick();
        let flags = driver.flags(slot) & (AVAIL | USED);
        assert_eq!(flags, if wrap { AVAIL | USED } else { 0 }, "round {round}");
        // The id is that of the last descriptor; the others have ids that mean nothing.
        let len = u32::from(slots > 1);
        assert_eq!(driver.used(), Some(Used { id: id.into(), len }), "round {round}");
        let after: Vec<_> = (1..slots).map(|i| driver.descriptor((slot + i) % 7)).collect();
        assert_eq!(rest, after, "only the first slot is written");
    }
}

pub fn ring_packed_17_sizes_need_not_be_powers_of_two<P: Port>(world: &Packed<P>) {
    for size in [1u16, 2, 3, 7, 100, 255, 256] {
        let mut driver = live_of(world, size);
        for round in 0..2 * size + 3 {
            assert!(world.echoes_indirectly(&mut driver), "round {round} with a size of {size}");
        }
        world.port.set_status(0);
    }
    for size in [0u16, 257, 32768, 32769, 65535] {
        world.negotiate(USUAL);
        world.port.set_queue(0, size, (0x10000, 0x20000, 0x30000));
        world.port.enable(0);
        let refused = !world.port.is_enabled(0);
        let kept = world.port.host().queue(0).is_some_and(|queue| queue.config.size == 256);
        assert!(refused || kept, "size {size}");
        world.port.set_status(0);
    }
}

// spec: DRV-PACKED-09
pub fn ring_ind_04_in_a_table_only_write_counts<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    for junk in [0x0001, 0x0004, 0x0005, 0x0080, 0x8000, 0xfffd] {
        let (from, to) = (world.memory.place(b"abcd"), world.memory.alloc(4, 1));
        // An address that no power of two divides: tables need no alignment.
        let table = world.memory.alloc(64, 16) + 5;
        driver.write_descriptor(table, from, 3, 0xffff, junk);
        driver.write_descriptor(table + 16, from + 3, 1, 77, 0);
        driver.write_descriptor(table + 32, to, 4, 0x8000, WRITE | junk);
        let id = driver.add_pointer(table, 48).expect("a free slot");
        driver.show();
        world.kick();
        assert_eq!(driver.used(), Some(Used { id: id.into(), len: 4 }), "{junk:#x}");
        assert_eq!(world.memory.bytes(to, 4), b"abcd");
    }
}

pub fn ring_ind_05_write_on_an_indirect_descriptor_is_ignored<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"data"), world.memory.alloc(4, 1));
    let id = driver.add_indirect(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]).expect("a free slot");
    driver.show();
    driver.set_flags(0, PackedDriver::INDIRECT | WRITE | PackedDriver::available(true));
    world.kick();
    assert_eq!(driver.used(), Some(Used { id: id.into(), len: 4 }));
}

pub fn ring_evt_14_the_drivers_flags_enable_and_disable<P: Port>(world: &Packed<P>) {
    for features in [WITHOUT_EVENT_IDX, USUAL] {
        let mut driver = world.live(features);
        // What it asks for by itself is of no interest here.
        driver.want(Wish::Never);
        for (flags, expected) in [(1, false), (0, true), (1, false), (0, true)] {
            driver.set_driver_event(3, true, flags);
            for _ in 0..3 {
                assert!(world.echoes(&mut driver));
                assert_eq!(world.port.take_interrupts(), (expected, false), "{features:?}, flags {flags}");
            }
        }
        world.port.set_status(0);
    }
}

pub fn ring_evt_15_the_descriptor_asked_for_interrupts<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 7);
    for round in 0..700u16 {
        let before = world.interrupts();
        // One chain of several slots, then others, up to a whole lap; asked for is a slot in the middle of it all.
        let (first, others) = (1 + round % 4, round % 3);
        add_slots(world, &mut driver, first.into());
        (0..others).for_each(|_| {
            add_slots(world, &mut driver, 1);
        });
        driver.want(Wish::After(round % (first + others)));
        driver.show();
        world.kick();
        assert_eq!(world.interrupts(), before + 1, "round {round}");
        while driver.used().is_some() {}
    }
}

pub fn ring_evt_15_other_descriptors_stay_silent<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 7);
    assert!(world.echoes(&mut driver));
    let before = world.interrupts();
    for round in 0..700u16 {
        let slots = 1 + round % 4;
        add_slots(world, &mut driver, slots.into());
        // From right behind the chain to the same slot a lap later.
        driver.want(Wish::After(slots + round % (8 - slots)));
        driver.show();
        world.kick();
        assert!(driver.used().is_some());
        assert_eq!(world.interrupts(), before, "round {round}");
    }
    assert!(world.port.host().queue_counts(0).is_some_and(|counts| counts.suppressed >= 700));
}

pub fn ring_evt_16_without_event_idx_the_devices_flags_are_zero_or_one<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(WITHOUT_EVENT_IDX);
    for _ in 0..20 {
        assert_eq!(driver.device_event(), (0, false, 0), "asleep, the device wants doorbells");
        assert!(world.echoes(&mut driver));
    }
    // And descriptor mode is none that the driver can ask for.
    driver.set_driver_event(9, true, 2);
    for _ in 0..3 {
        assert!(world.echoes(&mut driver));
        assert_eq!(world.port.take_interrupts(), (true, false));
    }
}

pub fn ring_evt_16_with_event_idx_the_device_asks_for_the_next_descriptor<P: Port>(world: &Packed<P>) {
    let mut driver = live_of(world, 5);
    for _ in 0..20 {
        let (slot, wrap) = driver.next();
        assert_eq!(driver.device_event(), (slot, wrap, 2));
        assert!(world.echoes(&mut driver));
    }
}

pub fn ring_inorder_02_one_descriptor_for_a_batch<P: Port>(_: &Packed<P>) {
    let world = Packed::<P>::offering(Features::IN_ORDER);
    let features = USUAL | Features::IN_ORDER;
    assert!(world.negotiate(features));
    let mut driver = world.enable(0, 11, features);
    world.go();
    for round in 0..40 {
        let (slot, wrap) = driver.next_used();
        let ids: Vec<u16> = (0..4).map(|_| add_slots(&world, &mut driver, 2)).collect();
        driver.show();
        let rest: Vec<_> = (1..8).map(|i| driver.descriptor((slot + i) % 11)).collect();
        world.kick();
        assert_eq!(driver.used_element(slot), Used { id: ids[3].into(), len: 1 }, "round {round}");
        assert_eq!(driver.flags(slot), WRITE | if wrap { AVAIL | USED } else { 0 });
        let after: Vec<_> = (1..8).map(|i| driver.descriptor((slot + i) % 11)).collect();
        assert_eq!(rest, after, "nothing else is written");
        for id in ids {
            assert_eq!(driver.used(), Some(Used { id: id.into(), len: 1 }));
        }
        assert_eq!((driver.used(), driver.free()), (None, 11));
    }
}
