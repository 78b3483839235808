//! The split ring under a driver that keeps the rules.

use super::{Port, USUAL, World};
use crate::features::Features;
use crate::testing::{Buffer, RingDriver, SplitDriver, Used};

/// What the suite's driver negotiates to test suppression by flags.
const WITHOUT_EVENT_IDX: Features = Features::from_bits(USUAL.bits() & !Features::EVENT_IDX.bits());

// spec: RING-SPLIT-09
pub fn ring_split_01_sizes_are_powers_of_two<P: Port>(world: &World<P>) {
    for size in [1u16, 2, 4, 64, 256] {
        world.negotiate(USUAL);
        let mut driver = world.enable(0, size, USUAL);
        world.go();
        for _ in 0..5 {
            let (from, to) = (world.memory.place(b"echo"), world.memory.alloc(4, 1));
            let chain = [Buffer::readable(from, 4), Buffer::writable(to, 4)];
            // A ring of one has room for one buffer, to which there is nothing to copy.
            let (chain, len) = if size == 1 { (&chain[1..], 0) } else { (&chain[..], 4) };
            let head = driver.add(chain);
            driver.show();
            world.kick();
            assert_eq!(driver.used(), head.map(|id| Used { id: id.into(), len }), "size {size}");
        }
        world.port.set_status(0);
    }
    for size in [0u16, 3, 100, 255, 512] {
        world.negotiate(USUAL);
        world.port.set_queue(0, size, (0x10000, 0x20000, 0x30000));
        // Where the size is not taken over, the register keeps the one before; where it is, enabling refuses it.
        world.port.enable(0);
        let refused = !world.port.is_enabled(0);
        let kept = world.port.host().queue(0).is_some_and(|queue| queue.config.size == 256);
        assert!(refused || kept, "size {size}");
        world.port.set_status(0);
    }
}

pub fn ring_split_05_descriptors_are_not_written<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    world.request(&mut driver, b"one");
    world.request(&mut driver, b"another");
    let (descriptors, available, _) = driver.areas();
    let before = (world.memory.bytes(descriptors, 256), world.memory.bytes(available, 36));
    world.kick();
    assert_eq!(driver.used_index(), 2);
    assert_eq!((world.memory.bytes(descriptors, 256), world.memory.bytes(available, 36)), before);
}

pub fn ring_split_06_elements_come_before_the_index<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    for round in 0..40u32 {
        world.request(&mut driver, b"abc");
        world.kick();
        let used = driver.used_element((round % 65536) as u16);
        assert_eq!(driver.used(), Some(used));
        assert_eq!(used.len, 3);
    }
}

pub fn ring_split_10_the_used_index_counts_on_and_wraps<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"x"), world.memory.alloc(1, 1));
    for round in 0..70_000u32 {
        driver.add(&[Buffer::readable(from, 1), Buffer::writable(to, 1)]);
        if round % 8 == 7 {
            driver.show();
            world.kick();
            for _ in 0..8 {
                assert_eq!(driver.used().map(|used| used.len), Some(1), "round {round}");
            }
            assert_eq!(driver.used_index(), (round + 1) as u16);
        }
    }
}

pub fn ring_ind_01_write_on_an_indirect_descriptor_is_ignored<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"data"), world.memory.alloc(4, 1));
    let head = driver.add_indirect(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]).expect("a descriptor");
    let (descriptors, ..) = driver.areas();
    let at = descriptors + 16 * u64::from(head) + 12;
    world.memory.write(at, &(SplitDriver::INDIRECT | SplitDriver::WRITE).to_le_bytes());
    driver.show();
    world.kick();
    assert_eq!(driver.used().map(|used| used.len), Some(4));
}

pub fn ring_ind_02_direct_descriptors_followed_by_a_table<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"headtail"), world.memory.alloc(8, 1));
    let table = world.memory.alloc(32, 16);
    driver.write_descriptor(table, from + 4, 4, SplitDriver::NEXT, 1);
    driver.write_descriptor(table + 16, to, 8, SplitDriver::WRITE, 0);
    driver.set_descriptor(0, from, 4, SplitDriver::NEXT, 5);
    driver.set_descriptor(5, table, 32, SplitDriver::INDIRECT, 0);
    driver.set_available(0, 0);
    driver.set_index(1);
    world.kick();
    assert_eq!(driver.used(), Some(Used { id: 0, len: 8 }));
    assert_eq!(world.memory.bytes(to, 8), b"headtail");
}

pub fn ring_ind_03_tables_in_any_order<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    let (from, to) = (world.memory.place(b"abcdef"), world.memory.alloc(6, 1));
    // An address that no power of two divides: tables need no alignment.
    let table = world.memory.alloc(128, 16) + 3;
    driver.write_descriptor(table, from, 2, SplitDriver::NEXT, 3);
    driver.write_descriptor(table + 3 * 16, from + 2, 4, SplitDriver::NEXT, 1);
    driver.write_descriptor(table + 16, to, 5, SplitDriver::NEXT | SplitDriver::WRITE, 2);
    driver.write_descriptor(table + 2 * 16, to + 5, 1, SplitDriver::WRITE, 0);
    driver.set_descriptor(0, table, 64, SplitDriver::INDIRECT, 0);
    driver.set_available(0, 0);
    driver.set_index(1);
    world.kick();
    assert_eq!(driver.used(), Some(Used { id: 0, len: 6 }));
    assert_eq!(world.memory.bytes(to, 6), b"abcdef");
}

pub fn ring_evt_01_without_event_idx_used_event_has_no_say<P: Port>(world: &World<P>) {
    let mut driver = world.live(WITHOUT_EVENT_IDX);
    for event in [0, 5, 0x7fff, 0xffff] {
        driver.set_used_event(event);
        let before = world.interrupts();
        assert!(world.echoes(&mut driver));
        assert_eq!(world.interrupts(), before + 1, "used_event {event}");
    }
}

// spec: RING-EVT-03
pub fn ring_evt_02_without_event_idx_the_flag_suppresses<P: Port>(world: &World<P>) {
    let mut driver = world.live(WITHOUT_EVENT_IDX);
    driver.set_flags(1);
    assert!(world.echoes(&mut driver));
    assert_eq!(world.port.take_interrupts(), (false, false));
    driver.set_flags(0);
    assert!(world.echoes(&mut driver));
    assert_eq!(world.port.take_interrupts(), (true, false));
    assert!(world.echoes(&mut driver));
    assert_eq!(world.port.take_interrupts(), (true, false), "for every batch");
    assert_eq!(world.interrupts(), 2);
}

pub fn ring_evt_04_with_event_idx_the_flag_has_no_say<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    driver.set_flags(1);
    for _ in 0..3 {
        assert!(world.echoes(&mut driver));
        assert_eq!(world.port.take_interrupts(), (true, false));
    }
}

pub fn ring_evt_05_crossing_used_event_interrupts<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    // Up to just before the index wraps, and over it.
    for batch in [1u16, 3, 16, 5].into_iter().cycle().take(11_000) {
        let start = driver.used_index();
        for _ in 0..batch {
            let at = world.memory.ram().regions()[0].0 + 2048;
            driver.add(&[Buffer::writable(at, 1)]).expect("free descriptors");
        }
        driver.show();
        let event = start.wrapping_add(batch / 2);
        driver.set_used_event(event);
        let before = world.interrupts();
        world.kick();
        assert_eq!(driver.used_index(), start.wrapping_add(batch));
        assert_eq!(world.interrupts(), before + 1, "from {start} by {batch}, used_event {event}");
        while driver.used().is_some() {}
    }
}

pub fn ring_evt_06_other_positions_stay_silent<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    let before = world.interrupts();
    for ahead in [1, 2, 100, 0x7fff, 0xfffe] {
        let start = driver.used_index();
        world.request(&mut driver, b"quiet");
        driver.set_used_event(start.wrapping_add(ahead));
        world.kick();
        assert_eq!(driver.used().map(|used| used.len), Some(5));
        assert_eq!(world.interrupts(), before, "used_event is {ahead} ahead");
    }
    assert!(world.port.host().queue_counts(0).is_some_and(|counts| counts.suppressed >= 5));
}

// spec: RING-EVT-08 RING-EVT-12
pub fn ring_evt_07_without_event_idx_used_flags_is_zero_or_one<P: Port>(world: &World<P>) {
    let mut driver = world.live(WITHOUT_EVENT_IDX);
    for _ in 0..20 {
        assert!(driver.used_flags() <= 1);
        assert!(world.echoes(&mut driver));
    }
    assert_eq!(driver.used_flags(), 0, "asleep, the device wants doorbells");
}

pub fn ring_evt_09_with_event_idx_used_flags_stays_zero<P: Port>(world: &World<P>) {
    let mut driver = world.live(USUAL);
    for _ in 0..20 {
        assert_eq!(driver.used_flags(), 0);
        assert!(world.echoes(&mut driver));
    }
}

pub fn ring_inorder_01_one_element_for_a_batch<P: Port>(_: &World<P>) {
    let world = World::<P>::offering(Features::IN_ORDER);
    let mut driver = world.live(USUAL | Features::IN_ORDER);
    for round in 0..40u16 {
        let start = driver.used_index();
        assert_eq!(start, 5 * round);
        let before: Vec<Used> = (1..5).map(|i| driver.used_element(start + i)).collect();
        let (from, to) = (world.memory.place(b"in order"), world.memory.alloc(8, 1));
        let chain = [Buffer::readable(from, 8), Buffer::writable(to, 8)];
        let heads: Vec<u16> = (0..5).map(|_| driver.add(&chain).expect("free descriptors")).collect();
        driver.show();
        world.kick();
        assert_eq!(driver.used_index(), start + 5);
        assert_eq!(driver.used_element(start), Used { id: heads[4].into(), len: 8 });
        let after: Vec<Used> = (1..5).map(|i| driver.used_element(start + i)).collect();
        assert_eq!(before, after, "nothing else is written");
        for head in heads {
            assert_eq!(driver.used(), Some(Used { id: head.into(), len: 8 }));
        }
        assert_eq!((driver.used(), driver.free()), (None, 16));
    }
}
