//! A queue that takes nothing more.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, Virtqueue};

both_layouts! {
    a_stopped_queue_is_not_written,
    a_broken_ring_is_not_mended_by_what_comes_later,
}

/// The driver may have given the memory to somebody else: MMIO-REG-08, DRV-MMIO-06.
fn a_stopped_queue_is_not_written<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 16, Features::NONE);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    driver.add(&[Buffer::readable(memory.place(b"late"), 4)]);
    driver.show();
    let before = memory.bytes(0x1000, 0xf000);
    queue.stop();
    queue.disarm();
    assert!(queue.pop().is_none());
    queue.publish();
    assert!(!queue.arm());
    assert_eq!(memory.bytes(0x1000, 0xf000), before);
    assert_eq!(driver.waiting(), 0);
    queue.start();
    queue.disarm();
    assert!(!driver.publish(), "no doorbells while the device is at work");
    queue.pop().unwrap().complete(0);
    queue.publish();
    assert_eq!(driver.waiting(), 1);
    assert!(!queue.arm() && driver.publish());
}

fn a_broken_ring_is_not_mended_by_what_comes_later<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 16, Features::NONE);
    driver.break_ring();
    driver.add(&[Buffer::readable(memory.place(b"late"), 4)]);
    driver.show();
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    assert!(queue.pop().is_none());
    assert!(queue.fault().is_some());
}
