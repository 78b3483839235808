//! What the fuzz target of network devices runs (see fuzz/), over its seeds and over inputs derived from these: a short
//! campaign for every compiler. The long ones are `scripts/fuzz`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use virtio_fuzz::campaign::{all_seeds, campaign, named};
use virtio_fuzz::seeds;

#[test]
fn good_programs_of_a_network_device() {
    let outcomes = |name| named(seeds::net(), name, virtio_fuzz::net);
    // A frame in each direction is added at the end.
    assert!(
        outcomes("plain").iter().all(|outcome| outcome.sent == 4 && outcome.received >= 4 && !outcome.lifecycle.broken)
    );
    assert!(outcomes("plain").iter().any(|outcome| outcome.received == 6));
    assert!(outcomes("offloads").iter().any(|outcome| outcome.sent >= 7));
    assert!(outcomes("offloads").iter().any(|outcome| outcome.received > 20), "frames are cut");
    assert!(outcomes("commands").iter().any(|outcome| outcome.commands >= 15 && outcome.refused >= 2));
    assert!(outcomes("pairs").iter().any(|outcome| outcome.lifecycle.queue_resets >= 3 && outcome.received >= 8));
    assert!(outcomes("managed").iter().all(|outcome| outcome.lifecycle.moved == 1 && outcome.lifecycle.paused >= 1));
    assert!(outcomes("bad").iter().all(|outcome| outcome.lifecycle.broken && outcome.empty > 0));
}

#[test]
fn network_devices_stand_what_is_derived_from_seeds() {
    campaign(&all_seeds("net", seeds::net()), 2000, virtio_fuzz::net);
}
