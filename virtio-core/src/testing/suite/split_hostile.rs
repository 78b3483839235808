//! A driver that breaks the rules of the split ring.

use super::hostile::breaks;
use super::{Port, USUAL, World};
use crate::features::Features;
use crate::testing::{Buffer, RingDriver, SplitDriver, Used};

const NEXT: u16 = SplitDriver::NEXT;
const WRITE: u16 = SplitDriver::WRITE;
const INDIRECT: u16 = SplitDriver::INDIRECT;

/// Makes the chain at `head` available, and rings.
fn offer<P: Port>(world: &World<P>, driver: &SplitDriver, head: u16) {
    driver.set_available(0, head);
    driver.set_index(1);
    world.kick();
}

pub fn drv_cleanup_01_a_descriptor_changed_while_in_flight<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    let to = world.request(&mut driver, b"data");
    let elsewhere = world.memory.place(&[0x55; 64]);
    world.kick();
    for index in 0..16 {
        driver.set_descriptor(index, elsewhere, 64, WRITE, 0);
    }
    world.device.hold(false);
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(4));
    assert_eq!(world.memory.bytes(to, 4), b"data");
    assert_eq!(world.memory.bytes(elsewhere, 64), [0x55; 64]);
}

// spec: DRV-RING-04
pub fn drv_ring_05_a_loop<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    driver.set_descriptor(0, 0x2000, 8, NEXT, 1);
    driver.set_descriptor(1, 0x2000, 8, NEXT, 0);
    offer(world, &driver, 0);
    breaks(world, &driver);
}

pub fn drv_ring_06_next_out_of_range<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    driver.set_descriptor(0, 0x2000, 8, NEXT, 16);
    offer(world, &driver, 0);
    breaks(world, &driver);
}

pub fn drv_ring_08_the_index_jumps<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    let faults = || world.port.host().queue_counts(0).map(|counts| counts.ring_faults);
    // Backwards.
    driver.set_index(0);
    world.kick();
    assert!(world.is_broken());
    assert_eq!((driver.used_index(), faults()), (1, Some(1)));
    // Ahead by more than the size.
    world.port.set_status(0);
    let driver = world.live(USUAL);
    driver.set_index(17);
    world.kick();
    assert!(world.is_broken());
    assert_eq!((driver.used_index(), faults()), (0, Some(2)));
    assert!(world.recovers());
}

pub fn drv_ring_09_head_out_of_range<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    offer(world, &driver, 16);
    breaks(world, &driver);
}

pub fn drv_ring_10_the_same_head_twice<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    world.device.hold(true);
    let to = world.memory.alloc(4, 1);
    driver.set_descriptor(0, to, 4, WRITE, 0);
    for position in 0..16 {
        driver.set_available(position, 0);
    }
    // As often as there are descriptors: each is answered once.
    driver.set_index(16);
    world.kick();
    assert_eq!(driver.used_index(), 0);
    // Once more, while all of these are in flight.
    driver.set_index(17);
    world.kick();
    assert!(world.is_broken());
    world.device.hold(false);
    assert!(world.recovers());
}

pub fn drv_ind_02_a_table_in_a_table<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    let table = world.memory.alloc(16, 16);
    driver.write_descriptor(table, table, 16, INDIRECT, 0);
    driver.set_descriptor(0, table, 16, INDIRECT, 0);
    offer(world, &driver, 0);
    breaks(world, &driver);
}

pub fn drv_ind_03_a_chain_longer_than_the_queue<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let buffers = vec![Buffer::writable(0x2000, 1); 17];
    driver.add_indirect(&buffers);
    driver.show();
    world.kick();
    breaks(world, &driver);
}

pub fn drv_ind_04_indirect_with_next<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    let table = world.memory.alloc(16, 16);
    driver.write_descriptor(table, 0x2000, 4, WRITE, 0);
    driver.set_descriptor(0, table, 16, INDIRECT | NEXT, 1);
    driver.set_descriptor(1, 0x2000, 4, WRITE, 0);
    offer(world, &driver, 0);
    breaks(world, &driver);
}

pub fn drv_ind_05_of_a_huge_table_only_what_is_used_counts<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let table = world.memory.alloc(16, 16);
    driver.write_descriptor(table, 0x2000, 4, WRITE, 0);
    driver.set_descriptor(0, table, 0xffff_fff0, INDIRECT, 0);
    offer(world, &driver, 0);
    assert_eq!(driver.used(), Some(Used { id: 0, len: 0 }));
}

pub fn drv_ind_06_next_beyond_the_table<P: Port>(world: &World<P>) {
    let driver = world.live(USUAL);
    let table = world.memory.alloc(64, 16);
    driver.write_descriptor(table, 0x2000, 4, WRITE | NEXT, 2);
    driver.write_descriptor(table + 32, 0x2000, 4, WRITE, 0);
    driver.set_descriptor(0, table, 32, INDIRECT, 0);
    offer(world, &driver, 0);
    breaks(world, &driver);
}

pub fn drv_ring_07_in_order_next_need_not_be_sequential<P: Port>(_: &World<P>) {
    let world = World::<P>::offering(Features::IN_ORDER);
    let mut driver = world.live(USUAL | Features::IN_ORDER);
    let (from, to) = (world.memory.place(b"jumps"), world.memory.alloc(5, 1));
    driver.set_descriptor(3, from, 2, NEXT, 11);
    driver.set_descriptor(11, from + 2, 3, NEXT, 0);
    driver.set_descriptor(0, to, 5, WRITE, 0);
    offer(&world, &driver, 3);
    assert_eq!(driver.used(), Some(Used { id: 3, len: 5 }));
    assert_eq!(world.memory.bytes(to, 5), b"jumps");
    // And out of the table it leads nowhere.
    driver.set_descriptor(3, from, 2, NEXT, 16);
    driver.set_available(1, 3);
    driver.set_index(2);
    world.kick();
    assert!(world.is_broken());
    assert!(world.recovers());
}

pub fn drv_ind_07_in_order_tables_need_not_be_sequential<P: Port>(_: &World<P>) {
    let world = World::<P>::offering(Features::IN_ORDER);
    let mut driver = world.live(USUAL | Features::IN_ORDER);
    let (from, to) = (world.memory.place(b"jumps"), world.memory.alloc(5, 1));
    let table = world.memory.alloc(64, 16);
    driver.write_descriptor(table, from, 2, NEXT, 3);
    driver.write_descriptor(table + 48, from + 2, 3, NEXT, 1);
    driver.write_descriptor(table + 16, to, 5, WRITE, 0);
    driver.set_descriptor(0, table, 64, INDIRECT, 0);
    offer(&world, &driver, 0);
    assert_eq!(driver.used(), Some(Used { id: 0, len: 5 }));
    assert_eq!(world.memory.bytes(to, 5), b"jumps");
    driver.write_descriptor(table + 48, from + 2, 3, NEXT, 4);
    driver.set_available(1, 0);
    driver.set_index(2);
    world.kick();
    assert!(world.is_broken());
    assert!(world.recovers());
}

pub fn drv_evt_01_odd_flags<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL - Features::EVENT_IDX);
    driver.set_flags(0xfffe);
    assert!(world.echoes(&mut driver));
    assert_eq!(world.port.take_interrupts(), (true, false), "only the defined bit suppresses");
    driver.set_flags(0xffff);
    assert!(world.echoes(&mut driver));
    assert_eq!(world.port.take_interrupts(), (false, false));
}

// spec: DRV-EVT-04
pub fn drv_evt_02_used_event_out_of_reach<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    for event in [0x8000, 0xffff, 0x1234, 0] {
        driver.set_used_event(event);
        let to = world.request(&mut driver, b"x");
        world.kick();
        assert_eq!(world.memory.bytes(to, 1), b"x");
        assert!(driver.used().is_some());
    }
}

pub fn drv_evt_03_the_driver_overwrites_the_used_ring<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    let (_, _, used) = driver.areas();
    world.memory.write(used, &[0xff; 4]);
    world.request(&mut driver, b"x");
    world.kick();
    assert_eq!(driver.used_index(), 2, "the device keeps its own");
}
