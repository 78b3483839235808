//! Queues that go on from a position that somebody else wrote down.

#![allow(clippy::unwrap_used)] // tests may panic

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use virtio_core::ring::{QueuePosition, QueueSetup};
use virtio_core::testing::{Buffer, SplitDriver, TestMemory};
use virtio_core::{Features, RingFault, Virtqueue};

fn at(driver: &SplitDriver, available: u16, used: u16, decided: Option<u16>) -> QueueSetup {
    let mut setup = driver.setup();
    setup.position = Some(QueuePosition::Split { available, used, decided });
    setup
}

#[test]
fn more_in_flight_than_there_is_room_for_is_refused() {
    let driver = SplitDriver::new(&TestMemory::new(1 << 16), 16, Features::EVENT_IDX);
    for (available, used) in [(17, 0), (0, 1), (0, 0x8000)] {
        let queue = Virtqueue::new(at(&driver, available, used, None));
        assert!(matches!(queue, Err(RingFault::Index { .. })), "{available} {used}");
    }
    assert!(Virtqueue::new(at(&driver, 7, 65535, None)).is_ok(), "a queue that broke with chains taken");
}

#[test]
fn an_interrupt_is_not_lost_to_a_decision_that_cannot_have_been() {
    let memory = TestMemory::new(1 << 16);
    for decided in [None, Some(5), Some(6), Some(4), Some(0x8000)] {
        let mut driver = SplitDriver::new(&memory, 16, Features::EVENT_IDX);
        driver.start_at(5);
        driver.set_used_event(5);
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
        assert_eq!(interrupts.load(SeqCst), 1, "{decided:?}");
    }
}
