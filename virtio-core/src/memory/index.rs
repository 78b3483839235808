//! Which region an address is in, found in a few instructions however many regions there are.
//!
//! The address space from the first region to the last is cut into buckets of equal size, and each bucket names the
//! first region that reaches into it. Where no other region does, that one holds the address or none does.

#[cfg(test)]
mod tests;

use super::regions::{Place, Region};

/// At most so many buckets, whatever the regions are.
const MAX_BUCKETS: u64 = 4096;

/// Finds the region that holds an address.
pub(super) struct Index {
    /// A bucket is `1 << shift` bytes large, and begins at a multiple of that.
    shift: u32,
    /// The number of the first bucket, counted from address 0.
    origin: u64,
    /// For each bucket, the first region that ends behind the bucket's start.
    buckets: Box<[u32]>,
    /// One for each region, in their order.
    entries: Box<[Entry]>,
}

/// Where a region is. Never more than one cache line.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Entry {
    pub(super) place: Place,
    /// Which one it is, counted from 0.
    pub(super) region: usize,
}

impl Index {
    /// Of regions that are sorted, without overlaps, and wrap nowhere.
    pub(super) fn new(regions: &[Region]) -> Index {
        let entries = regions.iter().enumerate().map(|(region, it)| Entry { place: it.place, region }).collect();
        let shift = best_shift(regions);
        let origin = regions.first().map_or(0, |region| region.start() >> shift);
        Index { shift, origin, buckets: fill(regions, shift, origin), entries }
    }

    /// The region that holds `address`.
    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<&Entry> {
        // An address below the first bucket wraps around, and is behind the last one.
        let bucket = usize::try_from((address >> self.shift).wrapping_sub(self.origin)).ok()?;
        let first = *self.buckets.get(bucket)? as usize;
        let entry = self.entries.get(first)?;
        if entry.place.holds(address) {
            return Some(entry);
        }
        self.search(bucket, first, address)
    }

    /// As `find`, among the regions behind `first` that reach into `bucket`.
    #[cold]
    fn search(&self, bucket: usize, first: usize, address: u64) -> Option<&Entry> {
        // The first region of the next bucket may begin in this one.
        let last = self.buckets.get(bucket + 1).map_or(self.entries.len(), |next| *next as usize + 1);
        let among = self.entries.get(first..last)?;
        let after = among.partition_point(|entry| entry.place.starts_by(address));
        among.get(after.checked_sub(1)?).filter(|entry| entry.place.holds(address))
    }
}

/// The size of buckets with which the fewest addresses need a search; the largest such size.
fn best_shift(regions: &[Region]) -> u32 {
    let (Some(first), Some(last)) = (regions.first(), regions.last()) else { return 0 };
    let (start, end) = (first.start(), last.last());
    // With the coarsest, all are in one bucket, or in two where they need all bits of an address.
    let coarsest = (u64::BITS - (start ^ end).leading_zeros()).min(u64::BITS - 1);
    let small_enough = |shift: &u32| (end >> shift) - (start >> shift) < MAX_BUCKETS;
    let shifts = (0..=coarsest).rev().take_while(small_enough);
    shifts.min_by_key(|shift| searched(regions, *shift)).unwrap_or(coarsest)
}

/// How many addresses are not in the first region of their bucket.
fn searched(regions: &[Region], shift: u32) -> u64 {
    let pairs = regions.iter().zip(regions.iter().skip(1));
    let shared = pairs.filter(|(before, region)| before.last() >> shift == region.start() >> shift);
    // What a region that is not its bucket's first one has in that bucket.
    let parts = shared.map(|(_, region)| {
        let bucket_last = region.start() | !(u64::MAX << shift);
        region.last().min(bucket_last) - region.start() + 1
    });
    parts.fold(0, u64::saturating_add)
}

/// The first region of each bucket.
fn fill(regions: &[Region], shift: u32, origin: u64) -> Box<[u32]> {
    let mut buckets = Vec::new();
    for (number, region) in (0..).zip(regions) {
        // No more than MAX_BUCKETS: `best_shift` has counted.
        let end = (region.last() >> shift) - origin + 1;
        buckets.resize(buckets.len().max(end as usize), number);
    }
    buckets.into_boxed_slice()
}
