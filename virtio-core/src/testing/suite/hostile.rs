//! A driver that breaks the rules.

use super::{Port, USUAL, World};
use crate::features::Features;
use crate::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET};
use crate::testing::{Buffer, RingDriver, TestDevice, TestMemory, Used};

/// What the ring does is a ring fault: nothing used, needs reset, config interrupt; a reset recovers.
pub(super) fn breaks<P: Port, D: RingDriver>(world: &World<P, D>, driver: &D) {
    assert_eq!(driver.waiting(), 0);
    assert!(world.is_broken());
    assert_eq!(world.port.host().queue_counts(0).map(|counts| counts.ring_faults), Some(1));
    world.kick();
    assert_eq!(driver.waiting(), 0, "the queue has stopped");
    assert!(world.recovers());
}

/// The chain comes back with nothing written, and the queue goes on.
pub(super) fn is_returned<P: Port, D: RingDriver>(world: &World<P, D>, driver: &mut D, head: u16) {
    assert_eq!(driver.used(), Some(Used { id: head.into(), len: 0 }));
    assert_eq!(world.port.status() & NEEDS_RESET, 0);
    assert_eq!(world.port.host().queue_counts(0).map(|counts| counts.chain_faults), Some(1));
}

// spec: DRV-INIT-03
pub fn drv_status_01_driver_ok_without_features_ok_does_not_go_live<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.port.set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    assert_eq!(world.port.status() & DRIVER_OK, 0);
    world.port.set_status(0);
    // DRV-INIT-03: a refusal that the driver ignores.
    assert!(!world.negotiate(Features::NONE));
    let mut driver = world.enable(0, 16, USUAL);
    world.request(&mut driver, b"never");
    world.go();
    world.kick();
    assert_eq!(world.port.status() & DRIVER_OK, 0);
    assert_eq!(driver.waiting(), 0);
    assert!(world.recovers());
}

pub fn drv_status_02_bits_left_out_are_kept<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let before = world.port.status();
    for status in [ACKNOWLEDGE, DRIVER, DRIVER_OK, ACKNOWLEDGE | DRIVER] {
        world.port.set_status(status);
        assert_eq!(world.port.status(), before);
    }
    assert!(world.echoes(&mut driver));
}

pub fn drv_status_03_use_after_failed_does_no_harm<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.port.set_status(world.port.status() | FAILED);
    world.request(&mut driver, b"after failed");
    world.kick();
    assert_eq!(world.port.status() & FAILED, FAILED);
    assert!(world.recovers());
}

pub fn drv_status_04_the_driver_cannot_set_needs_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.port.set_status(NEEDS_RESET);
    assert_eq!(world.port.status(), 0);
    let mut driver = world.live(USUAL);
    world.port.set_status(world.port.status() | NEEDS_RESET | 0x20);
    assert_eq!(world.port.status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(world.echoes(&mut driver));
}

pub fn drv_feat_01_features_that_were_not_offered_are_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    for bit in [2, 23, 24, 34, 41, 50, 63, 64, 70, 127] {
        if D::LAYOUT.contains(Features::bit(bit)) {
            continue;
        }
        assert!(!world.negotiate(USUAL | Features::bit(bit)), "bit {bit}");
        world.port.set_status(0);
    }
}

pub fn drv_feat_02_features_without_their_prerequisite_are_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert!(!world.negotiate(Features::VERSION_1 | TestDevice::BETA));
    world.port.set_status(0);
    assert!(world.negotiate(Features::VERSION_1 | TestDevice::BETA | TestDevice::ALPHA));
}

pub fn drv_feat_03_reserved_features_are_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    // Words that do not exist have no say.
    for word in [4, 5, 0x1000, u32::MAX] {
        world.port.accept(word, u32::MAX);
        assert_eq!(world.port.offered(word), 0);
    }
    assert!(world.negotiate(USUAL));
    world.port.set_status(0);
    world.port.accept(3, 1 << 31);
    assert!(!world.negotiate(USUAL | Features::bit(127)));
}

// spec: DRV-CFG-02
pub fn drv_cfg_01_reads_past_the_end_give_zero<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut bytes = [0xaa; 4];
    world.port.read_config(16, &mut bytes);
    assert_eq!(bytes, [0; 4]);
    world.port.read_config(14, &mut bytes);
    assert_eq!(bytes, [14, 15, 0, 0]);
    world.port.write_config(16, &[1, 2, 3, 4]);
    world.port.write_config(14, &[1, 2, 3, 4]);
    world.port.read_config(12, &mut bytes);
    assert_eq!(bytes, [12, 13, 1, 2]);
}

pub fn drv_init_01_a_driver_that_does_not_reset_first<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.port.write_config(8, &[1]);
    world.port.set_status(ACKNOWLEDGE | DRIVER);
    for word in 0..4 {
        world.port.accept(word, (USUAL | D::LAYOUT).word(word));
    }
    // Everything that is left, in one write.
    world.port.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_eq!(world.port.status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(world.recovers());
}

pub fn drv_init_02_features_written_after_features_ok_are_ignored<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for word in 0..4 {
        world.port.accept(word, 0);
    }
    assert_eq!(world.port.host().accepted(), USUAL | D::LAYOUT);
    assert!(world.echoes(&mut driver));
}

pub fn drv_init_04_a_doorbell_before_driver_ok_is_picked_up<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.negotiate(USUAL);
    let mut driver = world.enable(0, 16, USUAL);
    world.request(&mut driver, b"early");
    world.kick();
    assert_eq!(driver.waiting(), 0);
    world.go();
    assert_eq!(driver.used().map(|used| used.len), Some(5));
}

pub fn drv_cleanup_02_buffers_that_go_away_while_live<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let (start, len) = (1 << 32, 1 << 16);
    world.memory.adopt(&TestMemory::with_regions(&[(0, 1 << 20), (start, len)]));
    assert!(world.echoes(&mut driver), "memory that was replaced is used");
    let head = driver.add(&[Buffer::readable(start, 4), Buffer::writable(start + 64, 4)]).expect("descriptors");
    world.memory.ram().unmap(start, len as u64).expect("the region is there").on_complete(|| {});
    driver.show();
    world.kick();
    is_returned(world, &mut driver, head);
    assert!(world.echoes(&mut driver));
}

// spec: DRV-PACKED-01
pub fn drv_ring_01_misaligned_areas_are_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    for areas in [(0x10008, 0x20000, 0x30000), (0x10000, 0x20001, 0x30000), (0x10000, 0x20000, 0x30002)] {
        world.negotiate(USUAL);
        world.port.set_queue(0, 16, areas);
        world.port.enable(0);
        assert!(!world.port.is_enabled(0), "{areas:x?}");
        assert_eq!(world.port.status() & NEEDS_RESET, NEEDS_RESET);
        assert_eq!(world.port.take_interrupts(), (false, false), "before DRIVER_OK there is none");
        world.port.set_status(0);
    }
    assert!(world.recovers());
}

pub fn drv_ring_02_areas_outside_memory_are_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    let end = 1 << 20;
    // An area may end where memory does; none of them is so short, or so little aligned.
    for bad in [end, end - 2, 1 << 40, u64::MAX - 15, u64::MAX - 255] {
        for area in 0..3 {
            let mut areas = [0x10000, 0x20000, 0x30000];
            areas[area] = bad;
            world.negotiate(USUAL);
            world.port.set_queue(0, 256, areas.into());
            world.port.enable(0);
            assert!(!world.port.is_enabled(0), "{areas:x?}");
            world.port.set_status(0);
        }
    }
    assert!(world.recovers());
}

// spec: DRV-PACKED-06
pub fn drv_ring_03_readable_after_writable<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let (first, second) = (world.memory.place(&[1; 4]), world.memory.place(&[2; 4]));
    let head = driver.add(&[Buffer::writable(first, 4), Buffer::readable(second, 4)]).expect("descriptors");
    driver.show();
    world.kick();
    is_returned(world, &mut driver, head);
    assert_eq!((world.memory.bytes(first, 4), world.memory.bytes(second, 4)), (vec![1; 4], vec![2; 4]));
    assert!(world.echoes(&mut driver));
}

pub fn drv_ring_05_more_than_four_gib<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let chain = [Buffer::readable(0, u32::MAX), Buffer::writable(0, u32::MAX), Buffer::writable(u64::MAX, u32::MAX)];
    let head = driver.add(&chain).expect("descriptors");
    driver.show();
    world.kick();
    is_returned(world, &mut driver, head);
}

pub fn drv_ring_11_zero_length_buffers<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let to = world.memory.alloc(4, 1);
    let head = driver.add(&[Buffer::readable(to, 0), Buffer::writable(to, 4)]).expect("descriptors");
    driver.show();
    world.kick();
    is_returned(world, &mut driver, head);
    assert!(world.echoes(&mut driver));
}

// spec: DRV-PACKED-08
pub fn drv_ind_01_indirect_without_the_feature<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL - Features::INDIRECT_DESC);
    driver.add_indirect(&[Buffer::writable(0x2000, 4)]);
    driver.show();
    world.kick();
    breaks(world, &driver);
}

// spec: DRV-PACKED-10
pub fn drv_ind_05_table_lengths<P: Port, D: RingDriver>(world: &World<P, D>) {
    for (address, len) in [(0x2000, 0), (0x2000, 15), (0x2000, 17), (1 << 30, 16), (u64::MAX - 7, 16)] {
        let mut driver = world.live(USUAL);
        driver.add_pointer(address, len);
        driver.show();
        world.kick();
        assert_eq!(driver.waiting(), 0);
        assert!(world.is_broken(), "{len} bytes at {address:#x}");
        world.port.set_status(0);
    }
    assert!(world.recovers());
}

pub fn drv_pci_18_floods_of_doorbells_are_bounded<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    let before = world.device.runs();
    for _ in 0..10_000 {
        world.port.notify(0);
    }
    world.runtime.poll();
    assert!(world.device.runs() - before < 10, "doorbells that coincide are one");
    assert!(world.echoes(&mut driver));
}

pub fn areas_that_go_away_break_the_ring<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    let barrier = world.memory.ram().unmap(0, 1 << 20).expect("the region is there");
    assert!(!barrier.is_complete(), "the ring is in use");
    world.runtime.poll();
    assert!(world.is_broken());
    world.port.set_status(0);
    assert_eq!(world.port.status(), 0);
    drop(driver);
}

pub fn a_broken_queue_leaves_the_others_running<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.negotiate(USUAL);
    let mut broken = world.enable(0, 16, USUAL);
    let mut other = world.enable(1, 16, USUAL);
    world.go();
    broken.break_ring();
    world.kick();
    assert!(world.is_broken());
    world.request(&mut other, b"still here");
    world.port.notify(1);
    world.runtime.poll();
    assert_eq!(other.used().map(|used| used.len), Some(10));
    assert!(world.recovers());
}
