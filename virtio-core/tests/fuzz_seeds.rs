//! What the fuzz targets run (see fuzz/), over their seeds and over inputs derived from these: a short campaign for
//! every compiler. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used)] // tests may panic

use virtio_fuzz::campaign::{all_seeds, campaign, named};
use virtio_fuzz::{Outcome, seeds};

/// Inputs derived from the seeds of each target.
const DERIVED: usize = 4000;

/// The seeds made by hand reach what they are there for.
fn good_histories(seeds: Vec<seeds::Seed>, target: fn(&[u8]) -> Outcome) {
    let kinds = |name: &str| named(seeds.clone(), name, target);
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
    campaign(&all_seeds("split", seeds::split()), DERIVED, virtio_fuzz::split);
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
    campaign(&all_seeds("packed", seeds::packed()), DERIVED, virtio_fuzz::packed);
}
