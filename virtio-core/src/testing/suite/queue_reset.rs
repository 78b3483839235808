//! Queues that are reset by themselves, and enabled again.

use std::time::Duration;

use super::{Port, USUAL, World};
use crate::features::Features;
use crate::host::HostState;
use crate::host::status::{DRIVER_OK, NEEDS_RESET};
use crate::ring::QueuePosition;
use crate::ring::wire::{AVAIL, USED};
use crate::testing::{PackedDriver, RingDriver};

/// What the driver negotiates here.
const RESETTABLE: Features = Features::from_bits(USUAL.bits() | Features::RING_RESET.bits());
const LIMIT: Duration = Duration::from_millis(5);

/// A live device with two queues of 16.
fn two_queues<P: Port, D: RingDriver>(world: &World<P, D>) -> (D, D) {
    assert!(world.negotiate(RESETTABLE));
    let queues = (world.enable(0, 16, RESETTABLE), world.enable(1, 16, RESETTABLE));
    world.go();
    queues
}

/// Whether queue 1 answers.
fn other_echoes<P: Port, D: RingDriver>(world: &World<P, D>, other: &mut D) -> bool {
    let to = world.request(other, b"other");
    world.port.notify(1);
    world.runtime.poll();
    other.used().is_some_and(|used| used.len == 5) && world.memory.bytes(to, 5) == b"other"
}

/// Whether queue 0 is shown as resetting, and as enabled.
fn shown<P: Port, D: RingDriver>(world: &World<P, D>) -> (bool, bool) {
    (world.port.is_resetting(0), world.port.is_enabled(0))
}

// spec: MMIO-REG-11 MMIO-REG-13 PCI-COMMON-12
pub fn basic_vqreset_01_nothing_is_done_or_told_after_a_queue_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, mut other) = two_queues(world);
    assert!(world.echoes(&mut driver));
    world.device.hold(true);
    let in_flight = world.request(&mut driver, b"in flight");
    world.kick();
    world.port.take_interrupts();
    world.port.reset_queue(0);
    assert_eq!(shown(world), (false, false));
    world.device.hold(false);
    let late = world.request(&mut driver, b"late");
    world.kick();
    assert_eq!(driver.used(), None);
    assert_eq!((world.memory.bytes(in_flight, 9), world.memory.bytes(late, 4)), (vec![0; 9], vec![0; 4]));
    assert_eq!(world.port.take_interrupts(), (false, false));
    assert!(other_echoes(world, &mut other));
    assert_eq!(world.port.status() & NEEDS_RESET, 0);
    assert!(world.recovers());
}

// spec: PCI-COMMON-11 PCI-COMMON-14 MMIO-REG-10
pub fn basic_vqreset_02_a_queue_that_is_enabled_again_starts_anew<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, mut other) = two_queues(world);
    // Rings that were left early, after a whole lap, and in the second and the third.
    for requests in [3, 8, 11, 21] {
        for _ in 0..requests {
            assert!(world.echoes(&mut driver));
        }
        world.port.reset_queue(0);
        assert_eq!(shown(world), (false, false));
        driver = world.enable(0, 16, RESETTABLE);
        assert_eq!(shown(world), (false, true));
        world.port.take_interrupts();
        for _ in 0..5 {
            assert!(world.echoes(&mut driver), "from the first entry on");
            assert_eq!(world.port.take_interrupts(), (true, false));
        }
        assert!(other_echoes(world, &mut other));
    }
    assert!(world.recovers());
}

/// Wherever the queue was before, in the first lap or in another, and with a request in flight or without.
pub fn basic_vqreset_02_a_packed_queue_starts_at_slot_0_with_wrap_counter_1<P: Port>(world: &World<P, PackedDriver>) {
    const SIZE: u16 = 5;
    const START: QueuePosition =
        QueuePosition::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true, decided: false };
    let (_, mut other) = two_queues(world);
    for requests in 0..4 * SIZE {
        world.port.reset_queue(0);
        let mut driver = world.enable(0, SIZE, RESETTABLE);
        let mut again = driver.clone();
        for _ in 0..requests {
            assert!(world.echoes_indirectly(&mut driver));
        }
        assert_eq!(driver.next_used(), (requests % SIZE, (requests / SIZE).is_multiple_of(2)));
        world.device.hold(true);
        if requests % 2 == 1 {
            world.request(&mut driver, b"in flight");
            world.kick();
        }
        world.port.reset_queue(0);
        world.device.hold(false);
        // In the same place, which the driver has cleared.
        let areas = driver.areas();
        for (area, len) in [(areas.0, 16 * SIZE), (areas.1, 4), (areas.2, 4)] {
            world.memory.write(area, &vec![0; len.into()]);
        }
        world.port.set_queue(0, SIZE, areas);
        world.port.enable(0);
        world.runtime.poll();
        let positions = world.port.host().pause(LIMIT).expect("nothing is in flight");
        assert_eq!(positions[0], (0, START), "after {requests} requests");
        world.port.host().resume();
        for slot in (0..SIZE).chain(0..2) {
            assert_eq!(again.next_used().0, slot);
            assert!(world.echoes_indirectly(&mut again), "slot {slot} after {requests} requests");
        }
        let used = AVAIL | USED;
        assert_eq!([1, 4].map(|slot| again.flags(slot) & used), [0, used], "in the second lap, and in the first");
        assert!(other_echoes(world, &mut other));
    }
    assert!(world.recovers());
}

pub fn basic_vqreset_03_a_queue_is_enabled_again_with_other_sizes_and_addresses<P: Port, D: RingDriver>(
    world: &World<P, D>,
) {
    let (_, mut other) = two_queues(world);
    for size in [4, 256, 2, 64] {
        world.port.reset_queue(0);
        let mut driver = D::new(&world.memory, size, RESETTABLE);
        // Made available and announced too early: it is found all the same.
        let to = world.request(&mut driver, b"early");
        world.kick();
        assert_eq!(driver.used(), None);
        world.port.set_queue(0, size, driver.areas());
        world.port.enable(0);
        world.runtime.poll();
        assert_eq!(driver.used().map(|used| used.len), Some(5), "without a doorbell");
        assert_eq!(world.memory.bytes(to, 5), b"early");
        for _ in 0..10 {
            assert!(world.echoes(&mut driver), "size {size}");
        }
        assert_eq!(world.port.host().queue(0).map(|queue| queue.config.size), Some(size));
        assert!(other_echoes(world, &mut other));
    }
    assert!(world.recovers());
}

pub fn basic_vqreset_01_reset_and_enabled_before_the_task_has_seen_it<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (_, mut other) = two_queues(world);
    for round in 0..4 {
        world.port.reset_queue(0);
        let mut given_up = world.enable(0, 8, RESETTABLE);
        world.request(&mut given_up, b"never");
        // The task has not run since the queue was enabled.
        world.port.reset_queue(0);
        assert_eq!(shown(world), (false, false));
        let mut driver = world.enable(0, 16, RESETTABLE);
        assert!(world.echoes(&mut driver), "round {round}");
        assert_eq!(given_up.used(), None);
        assert!(other_echoes(world, &mut other));
    }
    assert!(world.recovers());
}

// spec: MMIO-REG-12 DRV-PCI-11 DRV-MMIO-09
pub fn pci_common_13_a_stubborn_request_holds_the_queue_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, mut other) = two_queues(world);
    world.device.hold(true);
    world.device.stubborn(true);
    let to = world.request(&mut driver, b"cannot be cancelled");
    world.kick();
    world.port.reset_queue(0);
    assert_eq!(shown(world), (true, true));
    // What the driver must not do yet is ignored; once more, too.
    let registers = world.port.host().queue(0);
    let mut early = world.enable(0, 8, RESETTABLE);
    world.port.reset_queue(0);
    assert_eq!((shown(world), world.port.host().queue(0)), ((true, true), registers));
    assert!(world.port.host().save().is_err());
    // Intake has stopped.
    let late = world.request(&mut driver, b"late");
    world.kick();
    world.device.hold(false);
    assert_eq!(shown(world), (false, false), "the request has ended, and with it the reset");
    assert_eq!(world.memory.bytes(to, 19), b"cannot be cancelled");
    assert_eq!(world.memory.bytes(late, 4), [0; 4]);
    assert!(other_echoes(world, &mut other));
    world.request(&mut early, b"early");
    world.kick();
    assert_eq!(early.used(), None);
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver));
    assert!(world.recovers());
}

// spec: PCI-COMMON-10 MMIO-REG-09
pub fn basic_reset_01_a_device_reset_ends_a_queue_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, _) = two_queues(world);
    world.device.hold(true);
    world.device.stubborn(true);
    world.request(&mut driver, b"cannot be cancelled");
    world.kick();
    world.port.reset_queue(0);
    assert_eq!(shown(world), (true, true));
    world.port.set_status(0);
    assert_ne!(world.port.status(), 0);
    world.device.hold(false);
    assert_eq!(world.port.status(), 0);
    world.device.stubborn(false);
    assert_eq!(shown(world), (false, false));
    // And a queue that was enabled again, which its task has not seen yet.
    let (mut driver, _) = two_queues(world);
    world.port.reset_queue(0);
    let mut again = world.enable(0, 16, RESETTABLE);
    world.request(&mut again, b"never");
    world.port.set_status(0);
    assert_eq!((world.port.status(), shown(world)), (0, (false, false)));
    world.runtime.poll();
    assert_eq!((driver.used(), again.used()), (None, None));
    let barrier = world.memory.ram().set_log(None);
    assert!(barrier.is_complete(), "nobody holds on to guest memory");
    assert!(world.recovers());
}

pub fn drv_vqreset_01_the_memory_of_a_queue_that_was_reset_is_the_drivers<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, _) = two_queues(world);
    world.device.hold(true);
    world.request(&mut driver, b"in flight");
    world.kick();
    world.port.reset_queue(0);
    world.port.reset_queue(1);
    assert_eq!(shown(world), (false, false));
    let (descriptors, available, used) = driver.areas();
    // To a device that still looked, a jump of the index in a split ring, and available descriptors in a packed one.
    let drivers = [0x5aa5u16.to_le_bytes(); 32].concat();
    for area in [descriptors, available, used] {
        world.memory.write(area, &drivers);
    }
    world.device.hold(false);
    world.kick();
    for area in [descriptors, available, used] {
        assert_eq!(world.memory.bytes(area, 64), drivers);
    }
    let barrier = world.memory.ram().unmap(0, 1 << 20).expect("the region is there");
    world.runtime.poll();
    assert!(barrier.is_complete());
    assert!(!world.is_broken());
}

pub fn drv_vqreset_02_a_queue_cannot_be_enabled_again_where_there_is_no_memory<P: Port, D: RingDriver>(
    world: &World<P, D>,
) {
    let (driver, mut other) = two_queues(world);
    world.port.reset_queue(0);
    let registers = world.port.host().queue(0).expect("a queue");
    assert_eq!(
        (registers.config.size, registers.config.descriptor_area),
        (world.port.queue_max(0), 0),
        "nothing is left"
    );
    let (descriptors, available, _) = driver.areas();
    world.port.set_queue(0, 16, (descriptors, available, 1 << 40));
    world.port.take_interrupts();
    world.port.enable(0);
    assert_eq!(shown(world), (false, false));
    assert!(world.is_broken());
    world.kick();
    assert!(other_echoes(world, &mut other), "the others go on");
    // It may try again.
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver));
    assert!(world.recovers());
}

// spec: DRV-MMIO-09
pub fn drv_pci_10_without_the_feature_a_queue_reset_is_ignored<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.port.reset_queue(0);
    assert_eq!(shown(world), (false, true));
    assert!(world.echoes(&mut driver));
}

// spec: DRV-PCI-08
pub fn drv_vqreset_02_queues_that_were_never_enabled_stay_so<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.port.reset_queue(0);
    let mut driver = world.live(RESETTABLE);
    for queue in [1, 2, 77, 0xffff] {
        world.port.reset_queue(queue);
        assert!(!world.port.is_resetting(queue));
        let mut never = world.enable(queue, 16, RESETTABLE);
        assert!(!world.port.is_enabled(queue), "queue {queue}");
        world.request(&mut never, b"never");
        world.runtime.poll();
        assert_eq!(never.used(), None);
    }
    assert!(world.echoes(&mut driver));
    // Twice is once.
    world.port.reset_queue(0);
    world.port.set_queue(0, 4, driver.areas());
    world.port.reset_queue(0);
    assert_eq!(shown(world), (false, false));
    assert_eq!(world.port.host().queue(0).map(|queue| queue.config.descriptor_area), Some(0));
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver));
    assert!(world.recovers());
}

pub fn basic_vqreset_02_a_queue_is_reset_before_driver_ok<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert!(world.negotiate(RESETTABLE));
    let mut first = world.enable(0, 16, RESETTABLE);
    world.enable(1, 16, RESETTABLE);
    world.port.reset_queue(0);
    world.port.reset_queue(1);
    assert_eq!(shown(world), (false, false));
    let mut driver = world.enable(0, 8, RESETTABLE);
    assert!(world.port.is_enabled(0));
    world.request(&mut first, b"never");
    world.go();
    assert!(world.echoes(&mut driver));
    assert_eq!(first.used(), None);
    assert_eq!(world.port.status() & (DRIVER_OK | NEEDS_RESET), DRIVER_OK);
    assert!(world.recovers());
}

pub fn basic_vqreset_03_a_broken_queue_is_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, mut other) = two_queues(world);
    driver.break_ring();
    world.kick();
    assert!(world.is_broken());
    world.port.reset_queue(0);
    assert_eq!(shown(world), (false, false));
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver) && other_echoes(world, &mut other));
    assert_eq!(world.port.status() & NEEDS_RESET, NEEDS_RESET, "that takes a reset of the device");
    assert!(world.recovers());
}

pub fn a_queue_is_reset_and_enabled_while_paused<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (mut driver, mut other) = two_queues(world);
    assert!(world.echoes(&mut driver));
    world.port.host().pause(LIMIT).expect("nothing is in flight");
    world.port.reset_queue(0);
    assert_eq!(shown(world), (false, false));
    let state = world.port.host().save().expect("it is paused");
    assert_eq!((state.queues[0].awaits_enable, state.queues[0].position), (true, None));
    let mut driver = world.enable(0, 16, RESETTABLE);
    let to = world.request(&mut driver, b"paused");
    world.kick();
    assert_eq!((driver.used(), shown(world)), (None, (false, true)));
    world.port.host().resume();
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(6));
    assert_eq!(world.memory.bytes(to, 6), b"paused");
    assert!(other_echoes(world, &mut other));
    // Paused while it is reset, and enabled after that.
    world.port.reset_queue(0);
    let positions = world.port.host().pause(LIMIT).expect("nothing is in flight");
    assert_eq!(positions.iter().map(|(queue, _)| *queue).collect::<Vec<_>>(), [1]);
    world.port.host().resume();
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver) && other_echoes(world, &mut other));
    assert!(world.recovers());
}

/// Another device of the kind, with the state of `world`'s.
fn elsewhere<P: Port, D: RingDriver>(world: &World<P, D>, state: &HostState) -> P {
    let (host, _) = world.another();
    let other = P::connect(host);
    other.host().restore(state).expect("a good state");
    assert_eq!(&other.host().save().expect("it is paused"), state, "a round trip keeps everything");
    other
}

pub fn a_queue_that_is_reset_is_saved_and_enabled_elsewhere<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (driver, mut other) = two_queues(world);
    world.port.reset_queue(0);
    world.port.set_queue(0, 4, driver.areas());
    world.port.host().pause(LIMIT).expect("nothing is in flight");
    let state = world.port.host().save().expect("it is paused");
    assert_eq!((state.queues[0].awaits_enable, state.queues[0].config.size), (true, 4));
    // Enabled again before the device goes on, or after that; where it was, too.
    for before in [true, false] {
        let port = elsewhere(world, &state);
        let mut driver = D::new(&world.memory, 8, RESETTABLE);
        world.request(&mut driver, b"elsewhere");
        let enable = || {
            port.set_queue(0, 8, driver.areas());
            port.enable(0);
            assert!(port.is_enabled(0));
        };
        if before {
            enable();
            assert!(port.host().save().is_ok_and(|state| state.queues[0].position.is_some()));
            port.host().resume();
        } else {
            port.host().resume();
            world.runtime.poll();
            enable();
        }
        world.runtime.poll();
        assert_eq!(driver.used().map(|used| used.len), Some(9));
        // Not reset by the device's end, which others would notice.
        port.set_status(0);
        world.runtime.poll();
    }
    world.port.host().resume();
    let mut driver = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut driver) && other_echoes(world, &mut other));
    assert!(world.recovers());
}

pub fn a_state_with_a_queue_that_cannot_have_been_reset_is_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    let (_, _) = two_queues(world);
    world.port.reset_queue(0);
    world.port.host().pause(LIMIT).expect("nothing is in flight");
    let good = world.port.host().save().expect("it is paused");
    world.port.set_status(0);
    let spoil: [fn(&mut HostState, QueuePosition); 5] = [
        |state, _| state.queues[1].awaits_enable = true,
        |state, position| state.queues[0].position = Some(position),
        |state, _| state.accepted &= !Features::RING_RESET.bits(),
        |state, _| state.status &= !DRIVER_OK,
        |state, _| state.queues[0].enabled = true,
    ];
    let position = good.queues[1].position.expect("a live queue");
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad, position);
        assert!(world.port.host().restore(&bad).is_err(), "number {number}");
        assert_eq!(world.port.status(), 0, "number {number}");
    }
    world.port.host().restore(&good).expect("a good state");
    assert!(world.recovers());
}
