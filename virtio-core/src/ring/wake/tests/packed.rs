//! The packed layout: a ring of two slots, in which the second message begins a new lap.

use super::super::{arm_packed, publish_packed};
use super::{Acquire, Area, Case, Flaw, MESSAGES, Relaxed, Release, Talk, Words, prove, run};
use crate::ring::cursor::{Cursor, crosses};

const SIZE: u32 = 2;
const AVAIL: u64 = 1 << (48 + 7);
const USED: u64 = 1 << (48 + 15);

/// No notifications, in an event structure's flags.
const DISABLE: u32 = 1 << 16;
/// A notification for one descriptor.
const DESC: u32 = 2 << 16;

/// The place of a message: its slot and its lap's wrap counter.
fn place(number: usize) -> (u16, bool) {
    [(1, true), (0, false), (1, false)][number]
}

fn cursor(number: usize) -> Cursor {
    let (slot, wrap) = place(number);
    Cursor::new(slot, wrap)
}

/// The second half of the descriptor of a message.
fn offset(number: usize) -> usize {
    16 * usize::from(place(number).0) + 8
}

/// What makes a descriptor available, and what makes it used.
fn available(number: usize) -> u64 {
    if place(number).1 { AVAIL } else { USED }
}

fn used(number: usize) -> u64 {
    if place(number).1 { AVAIL | USED } else { 0 }
}

/// An event structure that asks for a notification after so many messages.
fn wish(case: Case, seen: usize) -> u32 {
    if case.event_idx { cursor(seen).event() | DESC } else { 0 }
}

/// An event structure that asks for no notification, or for one in the past.
fn past(case: Case) -> Area {
    let wish = if case.event_idx { Cursor::new(0, true).event() | DESC } else { DISABLE };
    Area::new(case).with_u32(0, wish)
}

struct Ring {
    case: Case,
    descriptors: Area,
    /// The sleeper's event structure.
    event: Area,
}

impl Ring {
    /// With descriptors as they are before the messages, by what makes them a message.
    fn new(case: Case, before: [u64; MESSAGES]) -> Ring {
        let descriptors = Area::new(case).with_u64(offset(0), before[0]).with_u64(offset(1), before[1]);
        Ring { case, descriptors, event: past(case) }
    }

    /// How many messages there are, by what makes a descriptor one.
    fn count(seen: usize, load: impl Fn(usize) -> u64, message: fn(usize) -> u64) -> usize {
        let is_there = |number: &usize| load(offset(*number)) & (AVAIL | USED) == message(*number);
        seen + (seen..MESSAGES).take_while(is_there).count()
    }
}

/// The device publishes, and the driver goes to sleep.
struct DriverSleeps(Ring);

impl Talk for DriverSleeps {
    fn new(case: Case) -> DriverSleeps {
        DriverSleeps(Ring::new(case, [available(0), available(1)]))
    }

    fn publish(&self, number: usize) -> bool {
        let Ring { case, descriptors, event } = &self.0;
        let event = publish_packed(descriptors, (offset(number), used(number)), event);
        if case.event_idx { crosses(event, cursor(number + 1), cursor(number), SIZE) } else { event != DISABLE }
    }

    fn look(&self, seen: usize) -> usize {
        Ring::count(seen, |offset| self.0.descriptors.u64(offset).load(Acquire), used)
    }

    fn arm(&self, seen: usize) -> usize {
        let Ring { case, event, .. } = &self.0;
        event.u32(0).store(wish(*case, seen), Relaxed);
        case.driver_fence();
        self.look(seen)
    }
}

/// The driver publishes, and the device goes to sleep.
struct DeviceSleeps(Ring);

impl Talk for DeviceSleeps {
    fn new(case: Case) -> DeviceSleeps {
        // Both were used, in the lap before.
        DeviceSleeps(Ring::new(case, [0, AVAIL | USED]))
    }

    fn publish(&self, number: usize) -> bool {
        let Ring { case, descriptors, event } = &self.0;
        descriptors.u64(offset(number)).store(available(number), Release);
        case.driver_fence();
        let event = event.u32(0).load(Relaxed);
        // One message at a time: the device waits for this one or for another.
        if case.event_idx { event == wish(*case, number) } else { event != DISABLE }
    }

    fn look(&self, seen: usize) -> usize {
        Ring::count(seen, |offset| Words::load_u64(&self.0.descriptors, offset, Acquire), available)
    }

    fn arm(&self, seen: usize) -> usize {
        let Ring { case, descriptors, event } = &self.0;
        // With all messages seen, the next descriptor is one that the device has.
        let next = arm_packed(event, wish(*case, seen), descriptors, offset(seen));
        seen + usize::from(seen < MESSAGES && next & (AVAIL | USED) == available(seen))
    }
}

#[test]
fn packed_driver_sleeps_with_flags() {
    prove::<DriverSleeps>(false, Flaw::Release);
}

#[test]
fn packed_driver_sleeps_with_event_indexes() {
    prove::<DriverSleeps>(true, Flaw::Release);
}

#[test]
fn packed_device_sleeps_with_flags() {
    prove::<DeviceSleeps>(false, Flaw::Acquire);
}

#[test]
fn packed_device_sleeps_with_event_indexes() {
    prove::<DeviceSleeps>(true, Flaw::Acquire);
}

/// A batch of two used descriptors, the first written last.
fn batch(flaw: Flaw) -> Result<(), String> {
    run(move || {
        let case = Case { event_idx: false, flaw };
        let talk = std::sync::Arc::new(<DriverSleeps as Talk>::new(case));
        let device = talk.clone();
        let device = loom::thread::spawn(move || {
            device.0.descriptors.store_u64(offset(1), used(1), Relaxed);
            device.publish(0);
        });
        assert_ne!(talk.look(0), 1, "half of the batch is seen");
        device.join().expect("the device");
    })
}

// spec: RING-PACKED-16
#[test]
fn a_batch_of_used_descriptors_is_seen_whole() {
    assert_eq!(batch(Flaw::None), Ok(()));
    let failure = batch(Flaw::Release).expect_err("a half");
    assert!(failure.contains("half of the batch"), "{failure}");
}
