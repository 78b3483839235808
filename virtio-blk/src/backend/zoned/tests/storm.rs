//! Many operations under way at once, in two queues, that end in any order, fail or are given up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::held::Held;
use super::rig::{APPEND, SIZE, WRITE, ZONE, at, usual};
use crate::backend::bench::Bench;
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::ZonedBackend;
use crate::backend::{BlockBackend, BlockQueue, Completion, OperationError, OperationKind, OperationResult};

const UNIT: u64 = 4096;
const ZONES: u32 = 8;
/// Tags below this, the last but for one that only looks at the end.
const TAGS: u16 = 24;

#[derive(Clone, Copy, Debug)]
enum What {
    Append(u32, u64),
    /// Where the pointer is, and so many units on.
    Write(u32, u64, u64),
    Read(u32, u64, u64),
    Reset(u32),
    ResetAll,
    Finish(u32),
    Flush,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// In the one queue or the other; whether it is held, and whether it fails.
    Submit(bool, What, bool, bool),
    LetGo(usize),
    Cancel(bool),
}

fn what() -> impl Strategy<Value = What> {
    // Few zones, so that they meet.
    let zone = 1..4_u32;
    prop_oneof![
        5 => (zone.clone(), 1..3_u64).prop_map(|(zone, len)| What::Append(zone, len)),
        5 => (zone.clone(), 0..4_u64, 1..5_u64).prop_map(|(zone, off, len)| What::Write(zone, off, len)),
        4 => (zone.clone(), 0..12_u64, 1..5_u64).prop_map(|(zone, off, len)| What::Read(zone, off, len)),
        3 => zone.clone().prop_map(What::Reset),
        1 => Just(What::ResetAll),
        1 => zone.prop_map(What::Finish),
        1 => Just(What::Flush),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), what(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(queue, what, hold, fail)| Step::Submit(queue, what, hold, fail)),
        5 => any::<usize>().prop_map(Step::LetGo),
        1 => any::<bool>().prop_map(Step::Cancel),
    ]
}

/// What the disk should have, going by what was said.
struct Expected {
    units: Vec<u8>,
    /// Zones in which a write failed.
    failed: [bool; ZONES as usize],
}

impl Expected {
    fn ended(&mut self, what: What, offset: u64, byte: u8, result: &OperationResult) {
        let zone = (offset / ZONE) as usize;
        match (what, result) {
            (What::Append(_, len), Ok(place)) => self.set(*place, len * UNIT, byte),
            (What::Write(_, _, len), Ok(written)) => {
                assert_eq!(*written, len * UNIT);
                self.set(offset, len * UNIT, byte);
            }
            (What::Append(..) | What::Write(..), Err(OperationError::Io(_))) => {
                (zone..(zone + 2).min(ZONES as usize)).for_each(|zone| self.failed[zone] = true);
            }
            (What::Reset(zone), Ok(_)) => self.reset(zone),
            (What::ResetAll, Ok(_)) => (1..ZONES).for_each(|zone| self.reset(zone)),
            _ => {}
        }
    }

    fn set(&mut self, offset: u64, len: u64, byte: u8) {
        self.units[(offset / UNIT) as usize..((offset + len) / UNIT) as usize].fill(byte);
    }

    fn reset(&mut self, zone: u32) {
        let end = at(zone + 1).min(SIZE);
        self.set(at(zone), end - at(zone), 0);
        self.failed[zone as usize] = false;
    }
}

struct Storm {
    bench: Bench,
    held: Held,
    disk: ZonedBackend,
    queues: [Box<dyn BlockQueue>; 2],
    /// By tag: what it is, where, and of which byte.
    under_way: BTreeMap<u16, (What, u64, u8)>,
    holds: Vec<u16>,
    expected: Expected,
}

impl Storm {
    fn new(aware: bool) -> Storm {
        let held = Held::new(vec![0xee; SIZE as usize]);
        let mut builder = usual(held.clone());
        if aware {
            builder = builder.model(ZonedModel::HostAware).zone_capacity(ZONE).max_append_len(0);
        }
        let disk = builder.build().unwrap();
        let queues = [(); 2].map(|()| disk.open_queue(TAGS + 1).unwrap());
        let expected = Expected { units: vec![0; (SIZE / UNIT) as usize], failed: [false; ZONES as usize] };
        let (under_way, holds) = (BTreeMap::new(), Vec::new());
        Storm { bench: Bench::new(), held, disk, queues, under_way, holds, expected }
    }

    fn submit(&mut self, queue: usize, what: What, hold: bool, fail: bool, byte: u8) {
        let Some(tag) = (0..TAGS).find(|tag| !self.under_way.contains_key(tag)) else {
            return;
        };
        if hold {
            self.held.hold(tag);
            self.holds.push(tag);
        }
        if fail {
            self.held.fail(tag);
        }
        let pointer = |zone| self.disk.zone(zone).unwrap().write_pointer;
        let (kind, offset, len) = match what {
            What::Append(zone, len) => (APPEND, at(zone), len),
            What::Write(zone, off, len) => (WRITE, pointer(zone) + off * UNIT, len),
            What::Read(zone, off, len) => (OperationKind::Read, at(zone) + off * UNIT, len),
            What::Reset(zone) => (OperationKind::ZoneReset, at(zone), 0),
            What::ResetAll => (OperationKind::ZoneResetAll, 0, 0),
            What::Finish(zone) => (OperationKind::ZoneFinish, at(zone), 0),
            What::Flush => (OperationKind::Flush, 0, 0),
        };
        let operation = match (kind, len) {
            (_, 0) => self.bench.operation(tag, kind, offset, &[]),
            (OperationKind::Read, len) => self.bench.read(tag, offset, (len * UNIT) as u32).0,
            (kind, len) => {
                let place = self.bench.memory.place(&vec![byte; (len * UNIT) as usize]);
                self.bench.operation(tag, kind, offset, &[(place, (len * UNIT) as u32)])
            }
        };
        self.under_way.insert(tag, (what, offset, byte));
        self.queues[queue].submit(operation);
        self.queues[queue].kick();
        self.poll(queue);
    }

    fn poll(&mut self, queue: usize) {
        let Storm { queues, under_way, expected, .. } = self;
        queues[queue].completions(usize::from(TAGS), &mut |Completion { operation, result }| {
            let tag = operation.tag();
            let (what, offset, byte) = under_way.remove(&tag).expect("it comes back once");
            assert_eq!(operation.offset(), offset, "as it was submitted");
            expected.ended(what, offset, byte, &result);
        });
    }

    fn let_go(&mut self, which: usize) {
        if !self.holds.is_empty() {
            let tag = self.holds.remove(which % self.holds.len());
            self.held.let_go(tag);
        }
        [0, 1].into_iter().for_each(|queue| self.poll(queue));
    }

    /// All comes back, and the disk has what it said that it has.
    fn settle(mut self) -> Result<(), TestCaseError> {
        let limit = Instant::now() + Duration::from_secs(60);
        while !self.under_way.is_empty() {
            prop_assert!(Instant::now() < limit, "these did not come back: {:?}", self.under_way);
            self.let_go(0);
        }
        let place = self.bench.memory.alloc(UNIT, UNIT);
        for (unit, expected) in self.expected.units.iter().enumerate().skip((ZONE / UNIT) as usize) {
            let offset = unit as u64 * UNIT;
            let read = self.bench.operation(TAGS, OperationKind::Read, offset, &[(place, UNIT as u32)]);
            let result = crate::backend::bench::perform(&mut *self.queues[0], read);
            let failed = self.expected.failed[(offset / ZONE) as usize];
            match result {
                Ok(_) => prop_assert_eq!(self.bench.memory.bytes(place, UNIT as usize), vec![*expected; UNIT as usize]),
                Err(OperationError::Io(_)) if failed => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
        // Nobody keeps others away any more.
        for zone in 1..ZONES {
            let reset = self.bench.operation(TAGS, OperationKind::ZoneReset, at(zone), &[]);
            prop_assert!(crate::backend::bench::perform(&mut *self.queues[0], reset).is_ok());
            let write = self.bench.operation(TAGS, WRITE, at(zone), &[(place, UNIT as u32)]);
            prop_assert!(crate::backend::bench::perform(&mut *self.queues[1], write).is_ok());
        }
        Ok(())
    }
}

fn check(aware: bool, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut storm = Storm::new(aware);
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Submit(queue, what, hold, fail) => {
                storm.submit(queue.into(), what, hold, fail, (number % 200) as u8 + 1);
            }
            Step::LetGo(which) => storm.let_go(which),
            Step::Cancel(queue) => {
                storm.queues[usize::from(queue)].cancel();
                storm.poll(queue.into());
            }
        }
    }
    storm.settle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_or_mixed_up_on_a_host_managed_disk(steps in prop::collection::vec(step(), 1..80)) {
        check(false, steps)?;
    }

    #[test]
    fn nothing_is_lost_or_mixed_up_on_a_host_aware_disk(steps in prop::collection::vec(step(), 1..80)) {
        check(true, steps)?;
    }
}
