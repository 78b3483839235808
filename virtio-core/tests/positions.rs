//! Queues that go on from a position that somebody else wrote down.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use virtio_core::ring::{QueuePosition, QueueSetup};
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory, Wish};
use virtio_core::{Features, RingFault, Virtqueue};

both_layouts! {
    without_a_decision_before_the_first_batch_interrupts,
    a_queue_goes_on_anywhere,
}

fn at(driver: &impl RingDriver, position: QueuePosition) -> QueueSetup {
    let mut setup = driver.setup();
    setup.position = Some(position);
    setup
}

fn split_at(available: u16, used: u16) -> QueuePosition {
    QueuePosition::Split { available, used, decided: false }
}

fn packed_at((available, available_wrap): (u16, bool), (used, used_wrap): (u16, bool)) -> QueuePosition {
    QueuePosition::Packed { available, available_wrap, used, used_wrap, decided: false }
}

#[test]
fn more_in_flight_than_a_split_ring_has_room_for_is_refused() {
    let driver = SplitDriver::new(&TestMemory::new(1 << 16), 16, Features::EVENT_IDX);
    for (available, used) in [(17, 0), (0, 1), (0, 0x8000)] {
        let queue = Virtqueue::new(at(&driver, split_at(available, used)));
        assert!(matches!(queue, Err(RingFault::Position { .. })), "{available} {used}");
    }
    assert!(Virtqueue::new(at(&driver, split_at(7, 65535))).is_ok(), "a queue that broke with chains taken");
}

#[test]
fn more_in_flight_than_a_packed_ring_has_room_for_is_refused() {
    let driver = PackedDriver::new(&TestMemory::new(1 << 16), 5, Features::EVENT_IDX);
    for (available, used) in [
        ((1, false), (0, true)),
        ((0, true), (1, true)),
        ((3, true), (2, false)),
        ((5, true), (5, true)),
        ((0, true), (5, false)),
        ((0x7fff, true), (0, true)),
        ((0xffff, true), (0xffff, true)),
    ] {
        let queue = Virtqueue::new(at(&driver, packed_at(available, used)));
        assert!(matches!(queue, Err(RingFault::Position { .. })), "{available:?} {used:?}");
    }
    for (available, used) in [((0, false), (0, true)), ((2, true), (3, false)), ((4, false), (4, false))] {
        assert!(Virtqueue::new(at(&driver, packed_at(available, used))).is_ok(), "{available:?} {used:?}");
    }
}

#[test]
fn the_position_of_another_layout_is_refused() {
    let memory = TestMemory::new(1 << 16);
    let (split, packed) =
        (SplitDriver::new(&memory, 16, Features::NONE), PackedDriver::new(&memory, 16, Features::NONE));
    for queue in [at(&split, packed.position(false)), at(&packed, split.position(false))] {
        assert!(matches!(Virtqueue::new(queue), Err(RingFault::Position { .. })));
    }
}

fn without_a_decision_before_the_first_batch_interrupts<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    for (decided, ahead, expected) in [(false, 0, 1), (false, 4, 1), (true, 0, 1), (true, 4, 0)] {
        let mut driver = D::new(&memory, 16, Features::EVENT_IDX);
        driver.start_after(5);
        driver.want(Wish::After(ahead));
        let mut setup = at(&driver, driver.position(decided));
        let interrupts = Arc::new(AtomicU32::new(0));
        let count = interrupts.clone();
        setup.interrupt = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut queue = Virtqueue::new(setup).unwrap();
        driver.add(&[Buffer::readable(memory.place(b"x"), 1)]);
        driver.show();
        queue.pop().unwrap().complete(0);
        queue.publish();
        assert_eq!(interrupts.load(SeqCst), expected, "{decided} {ahead}");
    }
}

fn a_queue_goes_on_anywhere<D: RingDriver>() {
    let memory = TestMemory::new(1 << 20);
    for start in [1, 7, 8, 9, 15, 16, 0x7fff, 0x8000, 0xffff] {
        let mut driver = D::new(&memory, 8, Features::NONE);
        driver.start_after(start);
        let mut queue = Virtqueue::new(at(&driver, driver.position(true))).unwrap();
        assert!(queue.pop().is_none());
        for _ in 0..20 {
            let id = driver.add(&[Buffer::readable(0x2000, 1); 3]).unwrap();
            driver.show();
            queue.pop().unwrap().complete(0);
            assert!(queue.pop().is_none());
            queue.publish();
            assert_eq!(driver.used().map(|used| used.id), Some(id.into()), "from {start}");
            assert_eq!(queue.position(), driver.position(true));
        }
    }
}
