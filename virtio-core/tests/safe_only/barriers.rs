//! Callbacks of barriers: they run wherever the last user of a mapping lets go of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use virtio_core::testing::{Buffer, RingDriver};
use virtio_core::{Features, GuestBuffers};

use crate::rig::{Memory, PLUGGED};

both_layouts! {
    a_callback_that_panics_leaves_what_is_held_mapped,
}

/// The callback runs in the midst of the queue's change from one version of memory to the next.
fn a_callback_that_panics_leaves_what_is_held_mapped<D: RingDriver>() {
    let memory = Memory::new();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    memory.plug();
    memory.ram().set_log(None).on_complete(|| panic!("on purpose"));
    let _ = catch_unwind(AssertUnwindSafe(|| queue.refresh_memory()));

    driver.add(&[Buffer::writable(PLUGGED, 64)]);
    let _ = driver.publish();
    let chain = queue.pop().unwrap();
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    let ticket = chain.into_ticket();

    let barrier = memory.unplug();
    assert!(queue.refresh_memory());
    assert!(!barrier.is_complete(), "the memory is held");
    held.unmarked_writer().write(&[1; 64]).unwrap();
    held.clear();
    assert!(barrier.is_complete());
    queue.complete(ticket, 64).unwrap();
}
