//! Queues that go on from a position that somebody else wrote down.

#![allow(clippy::unwrap_used)] // tests may panic

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use virtio_core::ring::{QueuePosition, QueueSetup};
use virtio_core::testing::{Buffer, SplitDriver, TestMemory};
use virtio_core::{Features, RingFault, Virtqueue};

fn at(driver: &SplitDriver, available: u16, used: u16, decided: bool) -> QueueSetup {
    let mut setup = driver.setup();
    setup.position = Some(QueuePosition::Split { available, used, decided });
    setup
}

#[test]
fn more_in_flight_than_there_is_room_for_is_refused() {
    let driver = SplitDriver::new(&TestMemory::new(1 << 16), 16, Features::EVENT_IDX);
    for (available, used) in [(17, 0), (0, 1), (0, 0x8000)] {
        let queue = Virtqueue::new(at(&driver, available, used, false));
        assert!(matches!(queue, Err(RingFault::Index { .. })), "{available} {used}");
    }
    assert!(Virtqueue::new(at(&driver, 7, 65535, false)).is_ok(), "a queue that broke with chains taken");
}

#[test]
fn without_a_decision_before_the_first_batch_interrupts() {
    let memory = TestMemory::new(1 << 16);
    for (decided, used_event, expected) in [(false, 5, 1), (false, 9, 1), (true, 5, 1), (true, 9, 0)] {
        let mut driver = SplitDriver::new(&memory, 16, Features::EVENT_IDX);
        driver.start_at(5);
        driver.set_used_event(used_event);
        let mut setup = at(&driver, 5, 5, decided);
        let interrupts = Arc::new(AtomicU32::new(0));
        let count = interrupts.clone();
        setup.interrupt = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut queue = Virtqueue::new(setup).unwrap();
        driver.add(&[Buffer::readable(memory.place(b"x"), 1)]);
        driver.publish();
        queue.pop().unwrap().complete(0);
        queue.publish();
        assert_eq!(interrupts.load(SeqCst), expected, "{decided} {used_event}");
    }
}
