//! A short campaign for every compiler: seeds, and inputs derived from them. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::path::Path;

use crate::seeds::Seed;

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

/// The seeds of `target` that were made by hand and those of its corpus, ordered by name.
pub fn all_seeds(target: &str, by_hand: Vec<Seed>) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let corpus = paths.iter().map(|path| fs::read(path).unwrap());
    by_hand.into_iter().map(|(_, seed)| seed).chain(corpus).collect()
}

/// Runs all seeds, and so many inputs derived from them.
pub fn campaign<T>(seeds: &[Vec<u8>], derived: usize, target: fn(&[u8]) -> T) {
    seeds.iter().for_each(|seed| _ = target(seed));
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

/// What comes of the seeds of this name; there has to be one.
pub fn named<T>(seeds: Vec<Seed>, name: &str, target: fn(&[u8]) -> T) -> Vec<T> {
    let outcomes: Vec<_> = seeds.iter().filter(|seed| seed.0 == name).map(|(_, seed)| target(seed)).collect();
    assert!(!outcomes.is_empty());
    outcomes
}
