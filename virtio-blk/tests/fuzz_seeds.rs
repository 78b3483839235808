//! What the fuzz targets of block devices run (see fuzz/), over their seeds and over inputs derived from these: a short
//! campaign for every compiler. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::fs;
use std::path::Path;

use virtio_fuzz::seeds::{self, Seed};

/// Numbers that look random, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes `bytes` somewhere; `other` may lend a part of it.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let len = numbers.below(16).min(bytes.len() - at);
    let kind = numbers.below(7);
    match (kind, bytes.get_mut(at)) {
        (0, Some(byte)) => *byte ^= 1 << (numbers.next() % 8),
        (1, Some(byte)) => *byte = numbers.next() as u8,
        (2, Some(byte)) => *byte = byte.wrapping_add(if numbers.below(2) == 0 { 1 } else { u8::MAX }),
        (3, _) => drop(bytes.splice(at..at, (0..len).map(|_| numbers.next() as u8).collect::<Vec<_>>())),
        (4, _) => drop(bytes.drain(at..at + len)),
        (5, _) => bytes.extend_from_within(at..at + len),
        _ => {
            let from = numbers.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

/// The seeds made by hand and those of the corpus, ordered by name.
fn all_seeds(target: &str, by_hand: Vec<Seed>) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let corpus = paths.iter().map(|path| fs::read(path).unwrap());
    by_hand.into_iter().map(|(_, seed)| seed).chain(corpus).collect()
}

/// Runs all seeds, and so many inputs derived from them.
fn campaign(seeds: &[Vec<u8>], derived: usize, target: impl Fn(&[u8])) {
    seeds.iter().for_each(|seed| target(seed));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..derived {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(6) {
            let other = numbers.below(seeds.len());
            mutate(&mut bytes, &seeds[other], &mut numbers);
        }
        target(&bytes);
    }
}

/// What comes of the seeds of this name.
fn named<T>(seeds: Vec<Seed>, name: &str, target: fn(&[u8]) -> T) -> Vec<T> {
    let outcomes: Vec<_> = seeds.iter().filter(|seed| seed.0 == name).map(|(_, seed)| target(seed)).collect();
    assert!(!outcomes.is_empty());
    outcomes
}

#[test]
fn good_programs_of_a_block_device() {
    let outcomes = |name| named(seeds::block(), name, virtio_fuzz::block);
    for outcome in outcomes("plain") {
        // The plain read at the end is one more.
        assert_eq!((outcome.sent, outcome.answered, outcome.broken), (10, 10, false));
    }
    assert!(outcomes("plain").iter().any(|outcome| outcome.succeeded == 9));
    for outcome in outcomes("cuts") {
        assert_eq!((outcome.answered, outcome.succeeded), (7, 6));
    }
    assert!(outcomes("managed").iter().all(|outcome| outcome.moved == 1 && outcome.paused == 2));
    assert!(outcomes("managed").iter().any(|outcome| outcome.stopped));
    assert!(outcomes("broken").iter().all(|outcome| outcome.broken && outcome.resets >= 2));
    assert!(outcomes("slow").iter().any(|outcome| outcome.queue_resets == 1));
    assert!(outcomes("slow").iter().any(|outcome| outcome.stopped));
    assert!(outcomes("zones").iter().all(|outcome| outcome.succeeded >= 5));
}

#[test]
fn block_devices_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("block", seeds::block()), 2000, |input| _ = virtio_fuzz::block(input));
}

#[test]
fn good_and_bad_state_files() {
    let outcomes = |name| named(seeds::zone_state(), name, virtio_fuzz::zone_state);
    assert!(outcomes("new").iter().chain(&outcomes("raw")).all(|outcome| outcome.zones == 0));
    assert!(outcomes("good").iter().all(|outcome| outcome.zones == 5));
    assert!(outcomes("kept").iter().all(|outcome| outcome.zones == 2));
    for outcome in outcomes("good").iter().chain(&outcomes("kept")).chain(&outcomes("raw")) {
        assert!(outcome.device.is_some_and(|device| device.succeeded > 5), "{outcome:?}");
    }
    assert!(outcomes("damaged").iter().chain(&outcomes("foreign")).all(|outcome| outcome.device.is_none()));
}

#[test]
fn state_files_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("zone-state", seeds::zone_state()), 2000, |input| _ = virtio_fuzz::zone_state(input));
}

#[test]
fn nbd_clients_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("nbd", seeds::nbd()), 20_000, virtio_fuzz::nbd);
}
