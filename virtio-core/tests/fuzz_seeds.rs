//! What the fuzz targets run (see fuzz/), over their seeds and over inputs derived from these: a short campaign for
//! every compiler. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used)] // tests may panic

use std::fs;
use std::path::Path;

use virtio_fuzz::{Outcome, seeds};

/// Inputs derived from the seeds of each target.
const DERIVED: usize = 4000;

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
fn all_seeds(target: &str, by_hand: Vec<seeds::Seed>) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let corpus = paths.iter().map(|path| fs::read(path).unwrap());
    by_hand.into_iter().map(|(_, seed)| seed).chain(corpus).collect()
}

fn campaign(seeds: &[Vec<u8>], target: fn(&[u8]) -> Outcome) {
    seeds.iter().for_each(|seed| _ = target(seed));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..DERIVED {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(6) {
            let other = numbers.below(seeds.len());
            mutate(&mut bytes, &seeds[other], &mut numbers);
        }
        target(&bytes);
    }
}

/// The seeds made by hand reach what they are there for.
fn good_histories(seeds: Vec<seeds::Seed>, target: fn(&[u8]) -> Outcome) {
    let kinds = |name: &str| {
        let outcomes: Vec<_> = seeds.iter().filter(|seed| seed.0 == name).map(|(_, seed)| target(seed)).collect();
        assert!(!outcomes.is_empty());
        outcomes
    };
    for outcome in kinds("plain") {
        assert_eq!((outcome.taken, outcome.completed, outcome.written, outcome.fault), (2, 2, 40, None));
    }
    for outcome in kinds("asynchronous") {
        assert_eq!((outcome.taken, outcome.completed, outcome.fault), (3, 3, None));
        assert!(outcome.written > 0);
    }
    for outcome in kinds("moved") {
        assert_eq!((outcome.replaced, outcome.restored), (2, 1));
        assert!(outcome.fault.is_some(), "the ring's memory went away");
    }
    for outcome in kinds("edges") {
        assert_eq!((outcome.taken, outcome.fault), (3, None));
        assert!(outcome.chain_faults >= 2);
    }
    for outcome in kinds("full") {
        assert_eq!(outcome.taken, 16);
    }
    for outcome in kinds("odd") {
        assert_eq!((outcome.dropped, outcome.request_faults), (1, 1));
    }
}

#[test]
fn good_histories_of_a_split_ring() {
    good_histories(seeds::split(), virtio_fuzz::split);
}

#[test]
fn split_rings_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("split", seeds::split()), virtio_fuzz::split);
}

#[test]
fn good_histories_of_a_packed_ring() {
    good_histories(seeds::packed(), virtio_fuzz::packed);
    for (_, seed) in seeds::packed().iter().filter(|seed| seed.0 == "overrun") {
        let outcome = virtio_fuzz::packed(seed);
        assert_eq!(outcome.taken, 15);
        assert!(outcome.fault.is_some());
    }
}

#[test]
fn packed_rings_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("packed", seeds::packed()), virtio_fuzz::packed);
}
