//! Status, features, reset, configuration.

use std::time::Duration;

use super::{Port, USUAL, World};
use crate::device::StateError;
use crate::features::Features;
use crate::host::HostState;
use crate::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET};
use crate::ring::QueuePosition;
use crate::testing::{RingDriver, TestDevice};

pub fn basic_status_01_no_buffer_is_taken_before_driver_ok<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert!(world.negotiate(USUAL));
    let mut driver = world.enable(0, 16, USUAL);
    let to = world.request(&mut driver, b"early");
    world.kick();
    assert_eq!(driver.waiting(), 0);
    assert_eq!(world.memory.bytes(to, 5), [0; 5]);
    world.go();
    assert_eq!(driver.used().map(|used| used.len), Some(5));
}

pub fn basic_status_02_no_interrupt_before_driver_ok<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert!(world.negotiate(USUAL));
    let mut driver = world.enable(0, 16, USUAL);
    world.request(&mut driver, b"early");
    world.kick();
    assert_eq!(world.port.take_interrupts(), (false, false));
    world.go();
    assert_eq!(world.port.take_interrupts(), (true, false));
}

// spec: BASIC-STATUS-04
pub fn basic_status_03_a_corrupt_ring_sets_needs_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    assert_eq!(world.port.host().last_fault(), None);
    driver.break_ring();
    world.kick();
    assert_eq!(world.port.status() & NEEDS_RESET, NEEDS_RESET);
    assert_eq!(world.port.take_interrupts(), (false, true));
    assert_eq!(world.port.host().counts().needs_reset, 1);
    assert!(world.recovers());
    assert!(matches!(world.port.host().last_fault(), Some((0, _))), "the embedder can still ask why");
}

pub fn basic_status_05_status_reads_zero_at_the_start_and_after_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert_eq!(world.port.status(), 0);
    world.live(USUAL);
    assert_eq!(world.port.status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    world.port.set_status(0);
    assert_eq!(world.port.status(), 0);
}

pub fn basic_feat_01_offered_features_have_what_they_depend_on<P: Port, D: RingDriver>(world: &World<P, D>) {
    let offered = offered(world);
    assert!(!offered.contains(TestDevice::BETA) || offered.contains(TestDevice::ALPHA));
    assert!(world.negotiate(offered), "all that is offered fits together");
    // What the embedder takes away takes with it what depends on it.
    let (host, _) = world.another();
    let port = P::connect(host.without(TestDevice::ALPHA));
    assert_eq!(port.offered(0) & (TestDevice::ALPHA | TestDevice::BETA).word(0), 0);
}

pub fn basic_feat_02_any_consistent_subset_is_accepted<P: Port, D: RingDriver>(world: &World<P, D>) {
    let bits: Vec<u32> = (offered(world) - Features::VERSION_1).iter().collect();
    for subset in 0..1u32 << bits.len() {
        let chosen = bits.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1);
        let features = chosen.fold(Features::VERSION_1, |all, (_, bit)| all | Features::bit(*bit));
        let consistent = !features.contains(TestDevice::BETA) || features.contains(TestDevice::ALPHA);
        assert_eq!(world.negotiate(features), consistent, "{features:?}");
        world.port.set_status(0);
    }
}

pub fn basic_feat_03_an_unacceptable_choice_leaves_features_ok_clear<P: Port, D: RingDriver>(world: &World<P, D>) {
    for features in [Features::NONE, Features::VERSION_1 | TestDevice::BETA, USUAL | Features::ADMIN_VQ] {
        assert!(!world.negotiate(features), "{features:?}");
        assert_eq!(world.port.status(), ACKNOWLEDGE | DRIVER);
        world.port.set_status(0);
    }
    assert_eq!(world.port.host().counts().features_refused, 3);
}

// spec: FEAT-RSVD-10
pub fn basic_feat_04_nothing_unknown_is_offered<P: Port, D: RingDriver>(world: &World<P, D>) {
    let known = USUAL | TestDevice::BETA | Features::RING_RESET | D::LAYOUT;
    assert_eq!(offered(world), known);
    for word in [4, 5, 0x7fff_ffff, u32::MAX] {
        assert_eq!(world.port.offered(word), 0, "word {word}");
    }
}

pub fn basic_feat_05_a_choice_is_accepted_again_after_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    for _ in 0..5 {
        assert!(world.echoes(&mut world.live(USUAL)));
        world.port.set_status(0);
    }
}

pub fn basic_feat_06_the_choice_is_frozen_by_features_ok<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.port.accept(0, USUAL.word(0));
    assert!(world.port.host().feature_names().is_empty(), "nothing is negotiated");
    assert!(world.negotiate(USUAL));
    let names = world.port.host().feature_names();
    world.port.accept(0, 0);
    world.port.accept(1, 0);
    assert_eq!(world.port.host().accepted(), USUAL | D::LAYOUT);
    assert!(!names.is_empty() && world.port.host().feature_names() == names);
}

// spec: BASIC-RESET-01
pub fn basic_reset_01_reset_from_every_state<P: Port, D: RingDriver>(world: &World<P, D>) {
    let reset = |state: &str| {
        world.port.set_status(0);
        assert_eq!(world.port.status(), 0, "{state}");
        assert!(!world.port.is_enabled(0), "{state}");
        assert_eq!(world.port.host().accepted(), Features::NONE, "{state}");
    };
    reset("initial");
    world.port.set_status(ACKNOWLEDGE);
    reset("acknowledged");
    world.port.set_status(ACKNOWLEDGE | DRIVER | FAILED);
    reset("failed");
    world.negotiate(Features::NONE);
    reset("refused");
    world.negotiate(USUAL);
    reset("negotiated");
    world.negotiate(USUAL);
    world.enable(0, 16, USUAL);
    reset("enabled");
    world.live(USUAL);
    reset("live");
    let mut driver = world.live(USUAL);
    driver.break_ring();
    world.kick();
    reset("broken");
    assert!(world.recovers());
}

pub fn basic_reset_02_nothing_is_touched_after_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    let to = world.request(&mut driver, b"in flight");
    world.kick();
    world.port.take_interrupts();
    world.port.set_status(0);
    assert_eq!(world.port.status(), 0);
    world.device.hold(false);
    world.request(&mut driver, b"late");
    world.kick();
    assert_eq!(driver.waiting(), 0);
    assert_eq!(world.memory.bytes(to, 9), [0; 9]);
    assert_eq!(world.port.take_interrupts(), (false, false));
    assert!(world.recovers());
}

pub fn basic_reset_02_nothing_is_pending_after_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    for reset in [false, true] {
        let mut driver = world.live(USUAL);
        world.port.hold_interrupts();
        assert!(world.echoes(&mut driver));
        world.device.config().update(|bytes| bytes[0] ^= 1);
        if reset {
            world.port.set_status(0);
        }
        assert_eq!(world.port.take_interrupts(), (!reset, !reset));
        assert!(world.recovers());
        world.port.set_status(0);
        world.port.take_interrupts();
    }
}

pub fn basic_reset_02_a_stubborn_request_holds_the_reset_and_status_never_lies<P: Port, D: RingDriver>(
    world: &World<P, D>,
) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    world.device.stubborn(true);
    world.request(&mut driver, b"cannot be cancelled");
    world.kick();
    world.port.set_status(0);
    assert_ne!(world.port.status(), 0, "a request is in flight");
    assert_eq!(world.port.host().counts().slow_resets, 1);
    // A control write waits, and is dropped when that takes too long.
    world.port.set_status(ACKNOWLEDGE);
    assert_eq!(world.port.status() & FAILED, FAILED);
    assert_eq!(world.port.host().counts().failed_resets, 1);
    // The request ends, and with it the reset.
    world.device.hold(false);
    assert_eq!(world.port.status(), 0);
    assert!(world.recovers());
}

pub fn basic_cfg_01_config_is_readable_before_features_ok<P: Port, D: RingDriver>(world: &World<P, D>) {
    let read = || {
        let mut bytes = [0; 16];
        for (i, chunk) in bytes.chunks_mut(4).enumerate() {
            world.port.read_config(4 * i as u64, chunk);
        }
        bytes
    };
    let before = read();
    assert_eq!(before, std::array::from_fn(|i| i as u8));
    world.negotiate(USUAL);
    assert_eq!(read(), before);
}

pub fn basic_cfg_02_config_is_little_endian_bytes_at_any_width<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut word = [0; 4];
    world.port.read_config(4, &mut word);
    assert_eq!(u32::from_le_bytes(word), 0x0706_0504);
    let mut byte = [0; 1];
    world.port.read_config(5, &mut byte);
    assert_eq!(byte, [5]);
    let mut half = [0; 2];
    world.port.read_config(6, &mut half);
    assert_eq!(u16::from_le_bytes(half), 0x0706);
}

pub fn basic_cfg_03_generation_moves_when_a_read_may_tear<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut half = [0; 4];
    let before = world.port.generation();
    world.port.read_config(0, &mut half);
    world.device.config().update(|bytes| bytes[..8].fill(0xff));
    world.port.read_config(4, &mut half);
    assert_ne!(world.port.generation(), before);
    // 256 changes in between do not bring the same 8 bits back.
    let before = world.port.generation();
    world.port.read_config(0, &mut half);
    for value in 0..=255 {
        world.device.config().update(|bytes| bytes[0] = value);
    }
    assert_ne!(world.port.generation() & 0xff, before & 0xff);
}

// spec: BASIC-CFG-03
pub fn basic_notf_01_a_config_change_interrupts<P: Port, D: RingDriver>(world: &World<P, D>) {
    let change = |value| world.device.config().update(|bytes| bytes[0] = value);
    let mut byte = [0; 1];
    change(1);
    world.negotiate(USUAL);
    world.go();
    assert_eq!(world.port.take_interrupts(), (false, false), "the driver has not read what changed");
    change(2);
    assert_eq!(world.port.take_interrupts(), (false, true));
    change(2);
    assert_eq!(world.port.take_interrupts(), (false, false), "nothing changed");
    world.port.set_status(0);
    world.negotiate(USUAL);
    world.port.read_config(0, &mut byte);
    change(3);
    assert_eq!(world.port.take_interrupts(), (false, false), "not before DRIVER_OK");
    world.go();
    assert_eq!(world.port.take_interrupts(), (false, true), "the driver has read what changed");
}

pub fn basic_notf_03_doorbells_without_buffers_do_nothing<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    for _ in 0..100 {
        world.kick();
    }
    assert_eq!(driver.waiting(), 0);
    assert_eq!(world.port.take_interrupts(), (false, false));
    assert!(world.echoes(&mut driver));
}

pub fn feat_rsvd_01_version_1_is_offered<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert_eq!(world.port.offered(1) & 1, 1);
}

pub fn feat_rsvd_02_version_1_is_needed<P: Port, D: RingDriver>(world: &World<P, D>) {
    assert!(!world.negotiate(USUAL - Features::VERSION_1));
}

pub fn pause_and_resume_lose_nothing<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    world.request(&mut driver, b"in flight");
    world.kick();
    let limit = Duration::from_millis(5);
    assert!(world.port.host().pause(limit).is_err(), "a request is in flight");
    world.device.hold(false);
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(9), "the device went on after the failed pause");
    let positions = world.port.host().pause(limit).expect("nothing is in flight");
    assert_eq!(positions.len(), 1);
    world.request(&mut driver, b"paused");
    world.kick();
    assert_eq!(driver.used(), None);
    world.port.host().resume();
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(6), "without another doorbell");
}

pub fn any_subset_of_queues_may_be_enabled<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.negotiate(USUAL);
    let mut driver = world.enable(1, 4, USUAL);
    world.go();
    assert!(!world.port.is_enabled(0));
    let to = world.request(&mut driver, b"one");
    world.port.notify(0);
    world.port.notify(1);
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(3));
    assert_eq!(world.memory.bytes(to, 3), b"one");
    // None at all.
    world.port.set_status(0);
    world.negotiate(USUAL);
    world.go();
    assert_eq!(world.port.status() & (DRIVER_OK | NEEDS_RESET), DRIVER_OK);
    assert!(world.recovers());
}

pub fn removal_while_requests_are_in_flight<P: Port, D: RingDriver>(_: &World<P, D>) {
    let world = World::<P, D>::new();
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    let to = world.request(&mut driver, b"in flight");
    world.kick();
    let World { port, memory, runtime, device, .. } = world;
    drop(port);
    device.hold(false);
    runtime.poll();
    assert_eq!(memory.bytes(to, 9), [0; 9]);
    assert_eq!(driver.used(), None);
    assert_eq!(device.resets(), 1);
}

pub fn a_device_that_cannot_start_asks_for_a_reset<P: Port, D: RingDriver>(world: &World<P, D>) {
    world.device.refuse_to_start(true);
    world.negotiate(USUAL);
    world.enable(0, 16, USUAL);
    world.go();
    assert!(world.is_broken());
    world.device.refuse_to_start(false);
    assert!(world.recovers());
}

pub fn a_saved_device_goes_on_elsewhere<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    assert!(world.port.save().is_err(), "it is live");
    world.port.host().pause(Duration::from_millis(5)).expect("nothing is in flight");
    let state = world.port.save().expect("it is paused");
    let to = world.request(&mut driver, b"meanwhile");

    let (host, _) = world.another();
    let other = P::connect(host);
    other.restore(&state).expect("a good state");
    let state = world.port.host().save().expect("it is paused");
    assert_eq!(other.host().save().expect("it is paused"), state, "a round trip keeps everything");
    other.host().resume();
    assert!(!other.take_interrupts().1, "the configuration is as it was");
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(9));
    assert_eq!(world.memory.bytes(to, 9), b"meanwhile");
    let counts = other.host().queue_counts(0);
    assert_eq!(counts.map(|counts| counts.interrupts), Some(1), "where to is the transport's to restore");
}

pub fn a_corrupt_snapshot_is_refused<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    world.port.host().pause(Duration::from_millis(5)).expect("nothing is in flight");
    let good = world.port.host().save().expect("it is paused");
    world.port.set_status(0);
    type Spoil = (fn(&mut HostState, QueuePosition), fn(&StateError) -> bool);
    let spoil: [Spoil; 12] = [
        (|state, _| state.version += 1, |error| matches!(error, StateError::Version { version: 4 })),
        (|state, _| state.device_type = 2, |error| matches!(error, StateError::DeviceType { .. })),
        (|state, _| state.queues.truncate(1), |error| matches!(error, StateError::QueueCount { saved: 1, here: 2 })),
        (|state, _| state.queues[0].position = None, |error| matches!(error, StateError::QueueState { queue: 0, .. })),
        (|state, far| state.queues[0].position = Some(far), |error| matches!(error, StateError::Activate(_))),
        (|state, _| state.queues[0].config.size = 257, bad_ring),
        (|state, _| state.queues[0].config.size = 0, bad_ring),
        (|state, _| state.queues[0].config.descriptor_area = u64::MAX, bad_ring),
        (|state, _| state.queues[0].config.device_area += 1, bad_ring),
        (|state, _| state.accepted |= 1 << 100, |error| matches!(error, StateError::Features { .. })),
        (|state, _| state.status &= !FEATURES_OK, |error| matches!(error, StateError::Status { .. })),
        (|state, _| state.device.data.truncate(3), |error| matches!(error, StateError::Corrupt { .. })),
    ];
    for (number, (spoil, expected)) in spoil.into_iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad, far_from(&good));
        let refused = world.port.host().restore(&bad).expect_err("a bad state");
        assert!(expected(&refused), "number {number}: {refused:?}");
        assert_eq!(world.port.status(), 0, "number {number}");
    }
    world.port.host().restore(&good).expect("a good state");
    world.port.host().resume();
    assert!(world.echoes(&mut driver));
    assert!(world.recovers());
}

pub fn a_device_in_use_is_not_restored_onto<P: Port, D: RingDriver>(world: &World<P, D>) {
    let mut driver = world.live(USUAL);
    world.port.host().pause(Duration::from_millis(5)).expect("nothing is in flight");
    let (state, mut bad) = (world.port.save().expect("it is paused"), world.port.host().save().expect("it is paused"));
    world.port.host().resume();
    assert!(world.echoes(&mut driver));
    bad.version += 1;
    assert!(matches!(world.port.restore(&state), Err(StateError::Busy)));
    assert!(matches!(world.port.host().restore(&bad), Err(StateError::Busy)));
    assert!(world.port.take_interrupts().0, "what was pending is pending");
    assert!(world.echoes(&mut driver), "it goes on where it was");
    assert_eq!(world.device.resets(), 0);
    assert!(world.recovers());
}

fn bad_ring(error: &StateError) -> bool {
    matches!(error, StateError::Queue { queue: 0, .. })
}

/// A position with more in flight than there is room for.
fn far_from(good: &HostState) -> QueuePosition {
    let position = good.queues.first().and_then(|queue| queue.position);
    match position.expect("a live queue") {
        QueuePosition::Split { used, decided, .. } => QueuePosition::Split { available: 30_000, used, decided },
        QueuePosition::Packed { used, used_wrap, decided, .. } => {
            QueuePosition::Packed { available: used + 1, available_wrap: !used_wrap, used, used_wrap, decided }
        }
    }
}

fn offered<P: Port, D: RingDriver>(world: &World<P, D>) -> Features {
    (0..4).fold(Features::NONE, |all, word| all.with_word(word, world.port.offered(word)))
}
