//! Tests that cannot be done everywhere; shared by those of units and of the whole.

mod sys;

use std::io::Write;
use std::thread;

pub(crate) use sys::is_root;

/// Says that a test cannot be done here; fails where all have to be.
pub(crate) fn left_out(why: &str) {
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!all || !is_root(), "VIRTIO_TEST_TOOLS=all, but {why}");
    // Past the test's capture, so that it is seen.
    let _ = writeln!(std::io::stderr(), "left out, because {why}: {:?}", thread::current().name());
}
