//! A driver that breaks the rules of the packed ring.

use super::hostile::breaks;
use super::{Port, USUAL, World};
use crate::features::Features;
use crate::host::status::NEEDS_RESET;
use crate::testing::{Buffer, PackedDriver, RingDriver, Used};

/// A world whose queues are packed.
type Packed<P> = World<P, PackedDriver>;

const NEXT: u16 = PackedDriver::NEXT;
const WRITE: u16 = PackedDriver::WRITE;
const INDIRECT: u16 = PackedDriver::INDIRECT;
const AVAIL: u16 = PackedDriver::AVAIL;
const USED: u16 = PackedDriver::USED;

// spec: DRV-CLEANUP-01
pub fn drv_packed_02_descriptors_changed_while_in_flight<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    let to = world.request(&mut driver, b"data");
    let elsewhere = world.memory.place(&[0x55; 64]);
    world.kick();
    for slot in 0..16 {
        driver.set_descriptor(slot, elsewhere, 64, 5, WRITE);
    }
    world.device.hold(false);
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(4));
    assert_eq!(world.memory.bytes(to, 4), b"data");
    assert_eq!(world.memory.bytes(elsewhere, 64), [0x55; 64]);
}

pub fn drv_packed_02_slots_in_flight_made_available_again<P: Port>(world: &Packed<P>) {
    let driver = world.live(USUAL);
    world.device.hold(true);
    for slot in 0..16 {
        driver.set_descriptor(slot, 0x2000, 4, slot, WRITE | AVAIL);
    }
    world.kick();
    let counts = || world.port.host().queue_counts(0).map(|counts| (counts.chains, counts.ring_faults));
    assert_eq!(counts(), Some((16, 0)));
    // What the device has not given back is not the driver's to make available, so nobody looks at it.
    for slot in 0..16 {
        driver.set_descriptor(slot, 0x2000, 4, slot, WRITE | USED);
    }
    world.kick();
    assert_eq!(counts(), Some((16, 0)));
    world.device.hold(false);
    world.runtime.poll();
    assert!((0..16).all(|slot| driver.flags(slot) == AVAIL | USED), "each is given back once");
    assert_eq!(counts(), Some((16, 0)));
    assert!(world.recovers());
}

pub fn drv_packed_03_flags_of_another_lap_make_nothing_available<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    for flags in [USED, 0, AVAIL | USED] {
        for slot in 0..16 {
            driver.set_descriptor(slot, 0x2000, 4, slot, flags | WRITE);
        }
        world.kick();
        assert_eq!(world.port.host().queue_counts(0).map(|counts| counts.chains), Some(0), "{flags:#x}");
    }
    assert!(world.echoes(&mut driver));
}

pub fn drv_packed_03_what_was_never_filled_is_answered_once<P: Port>(world: &Packed<P>) {
    let driver = world.live(USUAL);
    for slot in 0..16 {
        driver.set_flags(slot, AVAIL);
    }
    world.kick();
    let counts = world.port.host().queue_counts(0).expect("a queue");
    assert_eq!((counts.chains, counts.chain_faults, counts.ring_faults), (16, 16, 0));
    assert!((0..16).all(|slot| driver.flags(slot) == AVAIL | USED), "empty buffers come back");
    world.kick();
    assert_eq!(world.port.host().queue_counts(0).map(|counts| counts.chains), Some(16));
}

pub fn drv_packed_05_next_on_every_descriptor<P: Port>(world: &Packed<P>) {
    let driver = world.live(USUAL);
    for slot in (0..16).rev() {
        driver.set_descriptor(slot, 0x2000, 4, slot, NEXT | WRITE | AVAIL);
    }
    world.kick();
    breaks(world, &driver);
}

pub fn drv_packed_05_a_list_longer_than_what_is_free<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    world.request(&mut driver, b"takes two slots");
    world.kick();
    // Fourteen slots to the end, and one that is in flight.
    driver.set_descriptor(0, 0x2000, 4, 0, WRITE | USED);
    for slot in (2..16).rev() {
        driver.set_descriptor(slot, 0x2000, 4, slot, NEXT | WRITE | AVAIL);
    }
    world.kick();
    assert!(world.is_broken());
    world.device.hold(false);
    assert!(world.recovers());
}

pub fn drv_packed_07_the_first_descriptor_before_the_rest<P: Port>(world: &Packed<P>) {
    for rest in [0, USED, AVAIL | USED] {
        let driver = world.live(USUAL);
        driver.set_descriptor(0, 0x2000, 4, 0, NEXT | AVAIL);
        driver.set_descriptor(1, 0x2000, 4, 0, WRITE | rest);
        world.kick();
        assert_eq!((driver.waiting(), driver.flags(0)), (0, NEXT | AVAIL));
        assert!(world.is_broken(), "{rest:#x}");
        world.port.set_status(0);
    }
    assert!(world.recovers());
}

pub fn drv_packed_10_tables_up_to_1024_entries<P: Port>(world: &Packed<P>) {
    let (from, to) = (world.memory.place(&[3; 1024]), world.memory.alloc(16, 1));
    for (entries, works) in [(17, true), (1024, true), (1025, false)] {
        let mut driver = world.live(USUAL);
        let mut buffers: Vec<_> = (1..entries).map(|i| Buffer::readable(from + (i % 1024), 1)).collect();
        buffers.push(Buffer::writable(to, 16));
        driver.add_indirect(&buffers).expect("a free slot");
        driver.show();
        world.kick();
        assert_eq!(driver.used().map(|used| used.len), works.then_some(16), "{entries}");
        assert_eq!(world.port.status() & NEEDS_RESET == 0, works);
        world.port.set_status(0);
    }
    // Huge: no table is so long, so nothing of it is read.
    let mut driver = world.live(USUAL);
    driver.add_pointer(0x2000, 0xffff_fff0).expect("a free slot");
    driver.show();
    world.kick();
    assert!(world.is_broken());
    assert!(world.recovers());
}

pub fn drv_packed_11_indirect_in_a_list<P: Port>(world: &Packed<P>) {
    let table = world.memory.alloc(16, 16);
    for position in [0, 1, 2] {
        let driver = world.live(USUAL);
        driver.write_descriptor(table, 0x2000, 4, 0, WRITE);
        for slot in (0..3).rev() {
            let next = if slot < 2 { NEXT } else { 0 };
            if slot == position {
                driver.set_descriptor(slot, table, 16, 0, INDIRECT | next | AVAIL);
            } else {
                driver.set_descriptor(slot, 0x2000, 4, 0, WRITE | next | AVAIL);
            }
        }
        world.kick();
        assert_eq!(driver.waiting(), 0);
        assert!(world.is_broken(), "at {position}");
        world.port.set_status(0);
    }
    assert!(world.recovers());
}

pub fn drv_packed_12_ids_are_echoed_whatever_they_are<P: Port>(world: &Packed<P>) {
    let driver = world.live(USUAL);
    let ids = [0, 0, 0xffff, 16, 0x8000, 0xffff, 3, 3];
    for (slot, id) in (0..).zip(ids) {
        driver.set_descriptor(slot, 0x2000, 4, id, WRITE | AVAIL);
    }
    world.kick();
    for (slot, id) in (0..).zip(ids) {
        assert_eq!(driver.used_element(slot), Used { id: id.into(), len: 0 });
        assert_eq!(driver.flags(slot), AVAIL | USED);
    }
    assert_eq!(world.port.status() & NEEDS_RESET, 0);
}

/// Without a barrier, anything may stand in a descriptor whose flags say that it is available.
pub fn drv_packed_13_whatever_a_descriptor_says_is_checked<P: Port>(world: &Packed<P>) {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..200 {
        let driver = world.live(USUAL);
        let slots = 1 + random() % 16;
        for slot in (0..slots as u16).rev() {
            let address = if random() % 2 == 0 { random() } else { random() % (1 << 20) };
            let flags = random() as u16 & (NEXT | WRITE | INDIRECT);
            driver.set_descriptor(slot, address, (random() % 9000) as u32, random() as u16, flags | AVAIL);
        }
        world.kick();
        let counts = world.port.host().queue_counts(0).expect("a queue");
        assert!(counts.chains <= 200 * 16);
        let answered = driver.flags(0) & USED != 0;
        assert!(answered || world.port.status() & NEEDS_RESET != 0, "silence is no answer");
        world.port.set_status(0);
    }
    assert!(world.recovers());
}

pub fn drv_evt_01_reserved_event_flags_suppress_nothing<P: Port>(world: &Packed<P>) {
    for features in [USUAL, USUAL - Features::EVENT_IDX] {
        let mut driver = world.live(features);
        driver.want(crate::testing::Wish::Never);
        for flags in [3, 0xfffc, 0xffff] {
            driver.set_driver_event(5, false, flags);
            assert!(world.echoes(&mut driver));
            assert_eq!(world.port.take_interrupts(), (true, false), "{flags:#x}");
        }
        driver.set_driver_event(5, false, 0xfffd);
        assert!(world.echoes(&mut driver));
        assert_eq!(world.port.take_interrupts(), (false, false), "the two bits that count say no");
        world.port.set_status(0);
    }
}

// spec: DRV-EVT-04
pub fn drv_evt_02_an_event_beyond_the_ring<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    driver.want(crate::testing::Wish::Never);
    for offset in [16, 17, 0x7fff] {
        driver.set_driver_event(offset, offset % 2 == 0, 2);
        world.port.take_interrupts();
        assert!(world.echoes(&mut driver));
        assert_eq!(world.port.take_interrupts(), (true, false), "one too many does no harm");
    }
}

pub fn drv_evt_03_the_driver_overwrites_the_devices_area<P: Port>(world: &Packed<P>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    let (_, _, event) = driver.areas();
    world.memory.write(event, &[0xff; 4]);
    assert!(world.echoes(&mut driver));
    let (slot, wrap) = driver.next();
    assert_eq!(driver.device_event(), (slot, wrap, 2), "the device keeps its own");
}
