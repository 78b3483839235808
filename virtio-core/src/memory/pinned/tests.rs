#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use crate::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use crate::{Features, GuestBuffers, Virtqueue};

/// Buffers in `memory`.
fn buffers(memory: &TestMemory) -> GuestBuffers {
    let mut driver = SplitDriver::new(memory, 8, Features::VERSION_1);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    driver.add(&[Buffer::writable(memory.alloc(64, 8), 64)]);
    driver.show();
    let chain = queue.pop().unwrap();
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    chain.complete(0);
    held
}

#[test]
fn all_memory_is_shown_region_by_region() {
    let memory = TestMemory::with_regions(&[(0, 0x1000), (0x10_0000, 0x3000)]);
    let mut seen = Vec::new();
    let pages = memory.ram().pin_pages(|slices| {
        seen.extend(slices.iter().map(|slice| (slice.base.is_null(), slice.len)));
        Ok::<_, ()>(())
    });
    assert_eq!(seen, [(false, 0x1000), (false, 0x3000)]);
    assert!(!pages.unwrap().is_stale());
}

#[test]
fn pages_are_not_discarded_while_they_are_pinned() {
    let memory = TestMemory::new(0x1_0000);
    let ram = memory.ram();
    let refused = ram.pin_pages(|_| {
        assert!(ram.discards_inhibited());
        Err(12)
    });
    assert_eq!(refused.err(), Some(12));
    assert!(!ram.discards_inhibited());
    let pages = ram.pin_pages(|_| Ok::<_, ()>(())).unwrap();
    assert!(ram.discards_inhibited());
    drop(pages);
    assert!(!ram.discards_inhibited());
}

#[test]
fn buffers_of_other_memory_are_told_from_those_that_are_pinned() {
    let (memory, other) = (TestMemory::new(0x1_0000), TestMemory::new(0x1_0000));
    let pages = memory.ram().pin_pages(|_| Ok::<_, ()>(())).unwrap();
    let before = buffers(&memory);
    assert!(pages.hold(&before));
    assert!(!pages.hold(&buffers(&other)));
    assert!(!pages.hold(&GuestBuffers::new()));

    // The same regions, but another version, and what is pinned keeps no version alive.
    let barrier = memory.ram().replace_with(memory.ram());
    assert!(pages.is_stale());
    assert!(pages.hold(&before), "these are still in the pages");
    assert!(!pages.hold(&buffers(&memory)));
    assert!(!barrier.is_complete());
    drop(before);
    assert!(barrier.is_complete());
    assert!(memory.ram().discards_inhibited());
}
