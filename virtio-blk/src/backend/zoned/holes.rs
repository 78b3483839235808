//! Where below its pointer a zone has nothing to be read.

use std::ops::Range;

/// The most holes that are told apart in one zone.
pub(super) const MOST: usize = 4;

/// Ranges below the pointer of a zone that hold no data, because the write that was to bring it failed when others had
/// been taken behind it. In bytes from the zone's start, in order, with something between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holes(Vec<Range<u64>>);

impl Holes {
    pub(super) fn add(&mut self, hole: Range<u64>) {
        let at = self.0.partition_point(|other| other.start < hole.start);
        self.0.insert(at, hole);
        self.0.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            if joined {
                last.end = last.end.max(next.end);
            }
            joined
        });
        if self.0.len() > MOST {
            self.join_nearest();
        }
    }

    /// Takes the data between the two that are nearest for lost.
    fn join_nearest(&mut self) {
        let distances = self.0.iter().zip(self.0.iter().skip(1)).map(|(a, b)| b.start.saturating_sub(a.end));
        let Some((at, _)) = distances.enumerate().min_by_key(|(_, distance)| *distance) else {
            return;
        };
        let behind = self.0.remove(at.saturating_add(1));
        if let Some(hole) = self.0.get_mut(at) {
            hole.end = behind.end;
        }
    }

    /// There is data again in this range.
    pub(super) fn fill(&mut self, data: &Range<u64>) {
        let cut = |hole: &Range<u64>| {
            let before = hole.start..hole.end.min(data.start);
            let behind = hole.start.max(data.end)..hole.end;
            [before, behind].into_iter().filter(|rest| !rest.is_empty())
        };
        self.0 = self.0.iter().flat_map(cut).collect();
        while self.0.len() > MOST {
            self.join_nearest();
        }
    }

    /// If the last hole ends at `pointer`, there never was anything behind its start: takes it away and says where that
    /// is.
    pub(super) fn take_last(&mut self, pointer: u64) -> Option<u64> {
        self.0.pop_if(|hole| hole.end == pointer).map(|hole| hole.start)
    }

    pub(super) fn overlap(&self, range: &Range<u64>) -> bool {
        self.0.iter().any(|hole| hole.start < range.end && range.start < hole.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }
}
