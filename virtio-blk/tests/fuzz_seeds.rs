//! What the fuzz targets of block devices run (see fuzz/), over their seeds and over inputs derived from these: a short
//! campaign for every compiler. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use virtio_fuzz::campaign::{all_seeds, campaign, named};
use virtio_fuzz::seeds;

#[test]
fn good_programs_of_a_block_device() {
    let outcomes = |name| named(seeds::block(), name, virtio_fuzz::block);
    for outcome in outcomes("plain") {
        // The plain read at the end is one more.
        assert_eq!((outcome.sent, outcome.answered, outcome.lifecycle.broken), (10, 10, false));
    }
    assert!(outcomes("plain").iter().any(|outcome| outcome.succeeded == 9));
    for outcome in outcomes("cuts") {
        assert_eq!((outcome.answered, outcome.succeeded), (7, 6));
    }
    assert!(outcomes("managed").iter().all(|outcome| outcome.lifecycle.moved == 1 && outcome.lifecycle.paused == 2));
    assert!(outcomes("managed").iter().any(|outcome| outcome.stopped));
    assert!(outcomes("broken").iter().all(|outcome| outcome.lifecycle.broken && outcome.lifecycle.resets >= 2));
    assert!(outcomes("slow").iter().any(|outcome| outcome.lifecycle.queue_resets == 1));
    assert!(outcomes("slow").iter().any(|outcome| outcome.stopped));
    assert!(outcomes("zones").iter().all(|outcome| outcome.succeeded >= 5));
}

#[test]
fn block_devices_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("block", seeds::block()), 2000, virtio_fuzz::block);
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
    campaign(&all_seeds("zone-state", seeds::zone_state()), 2000, virtio_fuzz::zone_state);
}

#[test]
fn nbd_clients_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("nbd", seeds::nbd()), 20_000, virtio_fuzz::nbd);
}
