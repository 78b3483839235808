//! A queue that takes nothing more.

#![allow(clippy::unwrap_used)] // tests may panic

use virtio_core::testing::{Buffer, SplitDriver, TestMemory};
use virtio_core::{Features, Virtqueue};

/// The driver may have given the memory to somebody else: MMIO-REG-08, DRV-MMIO-06.
#[test]
fn a_stopped_queue_is_not_written() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = SplitDriver::new(&memory, 16, Features::NONE);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    driver.add(&[Buffer::readable(memory.place(b"late"), 4)]);
    driver.publish();
    queue.stop();
    queue.disarm();
    assert!(queue.pop().is_none());
    queue.publish();
    assert!(!queue.arm());
    assert_eq!((driver.used_flags(), driver.used_index()), (0, 0));
    queue.start();
    queue.disarm();
    assert_eq!(driver.used_flags(), 1);
    queue.pop().unwrap().complete(0);
}
