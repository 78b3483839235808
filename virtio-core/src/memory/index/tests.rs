#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn regions(ranges: &[(u64, u64)]) -> Vec<Region> {
    let place = |&(start, len)| Place::new(start, len, std::ptr::null_mut());
    let region = |range| Region { place: place(range), dirty: None, _owner: Arc::new(()) };
    ranges.iter().map(region).collect()
}

fn found(index: &Index, address: u64) -> Option<usize> {
    index.find(address).map(|entry| entry.region)
}

/// What every look-up has to give.
fn plain(regions: &[Region], address: u64) -> Option<usize> {
    regions.iter().position(|region| region.start() <= address && address <= region.last())
}

/// Looks for the addresses around all edges, and for `more`.
fn check(ranges: &[(u64, u64)], more: &[u64]) -> Index {
    let regions = regions(ranges);
    let index = Index::new(&regions);
    assert!(index.buckets.len() as u64 <= MAX_BUCKETS);
    let edges = regions.iter().flat_map(|region| [region.start(), region.last()]);
    let around = edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]);
    for address in around.chain(more.iter().copied()).chain([0, u64::MAX]) {
        assert_eq!(found(&index, address), plain(&regions, address), "{address:#x} in {ranges:x?}");
    }
    index
}

/// Regions by the holes before them and their lengths, the first one at `start`; as far as there is room.
fn laid_out(start: u64, parts: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut next = Some(start);
    for (hole, len) in parts {
        let Some(start) = next.and_then(|next| next.checked_add(*hole)) else { break };
        if start.checked_add(len - 1).is_none() {
            break;
        }
        ranges.push((start, *len));
        next = start.checked_add(*len);
    }
    ranges
}

/// The same holes and lengths, the other way around and up to the last address.
fn mirrored(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    ranges.iter().rev().map(|(start, len)| (u64::MAX - (start + (len - 1)), *len)).collect()
}

/// Numbers of all magnitudes, often powers of two.
fn size() -> impl Strategy<Value = u64> {
    (0..63u32, any::<u64>(), any::<bool>()).prop_map(|(bits, number, round)| {
        let top = 1 << bits;
        if round { top } else { top | (number & (top - 1)) }
    })
}

fn parts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let hole = prop_oneof![Just(0), size()];
    let uneven = prop::collection::vec((hole, size()), 0..40);
    let even = (prop_oneof![Just(0), size()], size(), 0..200usize);
    prop_oneof![uneven, even.prop_map(|(hole, len, count)| vec![(hole, len); count])]
}

proptest! {
    #[test]
    fn finds_what_a_plain_search_finds(
        start in prop_oneof![Just(0), size()],
        parts in parts(),
        more in prop::collection::vec(size(), 0..50),
        inside in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..50),
    ) {
        let ranges = laid_out(start, &parts);
        let mut more = more;
        if !ranges.is_empty() {
            more.extend(inside.iter().map(|(which, offset)| {
                let (start, len) = ranges[which.index(ranges.len())];
                start + offset % len
            }));
        }
        check(&ranges, &more);
        let more: Vec<_> = more.iter().map(|address| !address).collect();
        check(&mirrored(&ranges), &more);
    }
}

#[test]
fn even_regions_have_a_bucket_each() {
    let ranges: Vec<_> = (0..64).map(|i| (0x4000_0000 + i * 0x10000, 0x1000)).collect();
    let index = check(&ranges, &[]);
    assert_eq!((index.shift, index.buckets.len()), (16, 64));
    let touching: Vec<_> = (0..64).map(|i| (i << 24, 1 << 24)).collect();
    let index = check(&touching, &[]);
    assert_eq!((index.shift, index.buckets.len()), (24, 64));
}

#[test]
fn one_region_needs_one_bucket() {
    assert_eq!(check(&[(0, 3 << 30)], &[]).buckets.len(), 1);
    assert_eq!(check(&[(0xfee0_0000, 0x1000)], &[]).buckets.len(), 1);
    assert!(check(&[(0, u64::MAX)], &[u64::MAX - 1]).buckets.len() <= 2);
    assert!(check(&[(1, u64::MAX)], &[1 << 63]).buckets.len() <= 2);
}

#[test]
fn no_region_is_never_found() {
    assert_eq!(check(&[], &[1, 1 << 63]).buckets.len(), 0);
}

#[test]
fn sparse_regions_are_found() {
    check(&[(0, 0x1000), (1 << 40, 0x1000)], &[0x800, 0x8000]);
    check(&[(0, 0x1000), (0x1000, 0x1000), (0x3000, 0x1000), (1 << 40, 0x1000)], &[0x800, 0x1800, 0x2800, 0x3800]);
    check(&[(0, 1), (1, 1), (u64::MAX - 1, 1), (u64::MAX, 1)], &[2, 3]);
}

#[test]
fn thousands_of_regions_are_found() {
    check(&(0..5000).map(|i| (i * 0x3000, 0x1800)).collect::<Vec<_>>(), &[]);
    let end = u64::MAX - 5000 * 48;
    check(&(0..5000).map(|i| (end + i * 48 + 1, 48)).collect::<Vec<_>>(), &[]);
}
