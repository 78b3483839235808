//! The split layout. Indexes begin just before they wrap.

use super::super::{arm_split, publish_split};
use super::{Acquire, Area, Case, Flaw, MESSAGES, Relaxed, Release, Talk, prove};
use crate::ring::split::crosses;

const FLAGS: usize = 0;
const INDEX: usize = 2;
/// Where the event indexes stand, in a ring without entries.
const EVENT: usize = 4;

/// No notifications, in the flags of either ring.
const NONE: u16 = 1;

/// The index at which message 0 is published.
const START: u16 = u16::MAX;

fn index(messages: usize) -> u16 {
    START.wrapping_add(messages as u16)
}

fn messages(index: u16) -> usize {
    let messages = index.wrapping_sub(START).into();
    assert!(messages <= MESSAGES);
    messages
}

/// Either ring: the flags speak against notifications, and the event index for one in the past.
fn area(case: Case) -> Area {
    let past = START.wrapping_sub(1);
    Area::new(case).with_u16(FLAGS, NONE).with_u16(INDEX, START).with_u16(EVENT, past)
}

/// Where and how a notification is asked for after so many messages.
fn wish(case: Case, seen: usize) -> (usize, u16) {
    if case.event_idx { (EVENT, index(seen)) } else { (FLAGS, 0) }
}

struct Rings {
    case: Case,
    available: Area,
    used: Area,
}

impl Rings {
    fn new(case: Case) -> Rings {
        Rings { case, available: area(case), used: area(case) }
    }
}

/// The device publishes, and the driver goes to sleep.
struct DriverSleeps(Rings);

impl Talk for DriverSleeps {
    fn new(case: Case) -> DriverSleeps {
        DriverSleeps(Rings::new(case))
    }

    fn publish(&self, number: usize) -> bool {
        let Rings { case, available, used } = &self.0;
        let now = index(number + 1);
        let at = if case.event_idx { EVENT } else { FLAGS };
        let wish = publish_split(used, (INDEX, now), available, at);
        if case.event_idx { crosses(wish, now, index(number)) } else { wish & NONE == 0 }
    }

    fn look(&self, _seen: usize) -> usize {
        messages(self.0.used.u16(INDEX).load(Acquire))
    }

    fn arm(&self, seen: usize) -> usize {
        let Rings { case, available, .. } = &self.0;
        let (at, wish) = wish(*case, seen);
        available.u16(at).store(wish, Relaxed);
        case.driver_fence();
        self.look(seen)
    }
}

/// The driver publishes, and the device goes to sleep.
struct DeviceSleeps(Rings);

impl Talk for DeviceSleeps {
    fn new(case: Case) -> DeviceSleeps {
        DeviceSleeps(Rings::new(case))
    }

    fn publish(&self, number: usize) -> bool {
        let Rings { case, available, used } = &self.0;
        let now = index(number + 1);
        available.u16(INDEX).store(now, Release);
        case.driver_fence();
        if case.event_idx {
            // One message at a time: the device waits for this one or for another.
            used.u16(EVENT).load(Relaxed) == index(number)
        } else {
            used.u16(FLAGS).load(Relaxed) & NONE == 0
        }
    }

    fn look(&self, _seen: usize) -> usize {
        messages(super::Words::load_u16(&self.0.available, INDEX, Acquire))
    }

    fn arm(&self, seen: usize) -> usize {
        let Rings { case, available, used } = &self.0;
        messages(arm_split(used, wish(*case, seen), available, INDEX))
    }
}

#[test]
fn split_driver_sleeps_with_flags() {
    prove::<DriverSleeps>(false, Flaw::Release);
}

#[test]
fn split_driver_sleeps_with_event_indexes() {
    prove::<DriverSleeps>(true, Flaw::Release);
}

#[test]
fn split_device_sleeps_with_flags() {
    prove::<DeviceSleeps>(false, Flaw::Acquire);
}

#[test]
fn split_device_sleeps_with_event_indexes() {
    prove::<DeviceSleeps>(true, Flaw::Acquire);
}
