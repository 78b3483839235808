//! What is being written at the moment.

use std::collections::BTreeMap;
use std::ops::Range;

/// A pointer that was moved for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) zone: u32,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A write in sequential zones, or something else that excludes writes.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Where on the disk it ends.
    pub(super) end: u64,
    pub(super) first: Option<Moved>,
    /// Of a write that goes over several zones.
    pub(super) more: Vec<Moved>,
}

impl Flight {
    pub(super) fn moved(&self) -> impl Iterator<Item = Moved> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    pub(super) fn push(&mut self, moved: Moved) {
        match self.first {
            None => self.first = Some(moved),
            Some(_) => self.more.push(moved),
        }
    }
}

/// All of them, by where they start. No two overlap.
#[derive(Debug, Default)]
pub(super) struct Flights(BTreeMap<u64, Flight>);

impl Flights {
    pub(super) fn overlap(&self, range: &Range<u64>) -> bool {
        // They do not overlap, so that the last one to start has the highest end.
        self.0.range(..range.end).next_back().is_some_and(|(_, flight)| flight.end > range.start)
    }

    pub(super) fn add(&mut self, start: u64, flight: Flight) {
        self.0.insert(start, flight);
    }

    pub(super) fn remove(&mut self, start: u64) -> Option<Flight> {
        self.0.remove(&start)
    }

    /// The range of the one that starts there.
    pub(super) fn range(&self, start: u64) -> Option<Range<u64>> {
        self.0.get(&start).map(|flight| start..flight.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pointer of a zone that starts at `start` without the writes that are under way right below it.
    pub(super) fn settled(&self, zone: u32, start: u64, pointer: u64) -> u64 {
        let mut pointer = pointer;
        let end = start.saturating_add(pointer);
        for (_, flight) in self.0.range(..end).rev() {
            let Some(moved) = flight.moved().find(|moved| moved.zone == zone && moved.to == pointer) else {
                break;
            };
            pointer = moved.from;
        }
        pointer
    }
}
