//! Interrupts that are held back: how many there are, and that none is lost.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use virtio_core::ring::Moderation;
use virtio_core::testing::{Buffer, RingDriver, TestMemory, Wish};
use virtio_core::{Features, QueuePosition, Virtqueue};

both_layouts! {
    none_before_as_many_as_allowed,
    one_when_the_time_has_come,
    none_that_the_driver_does_not_want,
    none_where_the_driver_has_seen_all,
    turning_it_off_gives_what_is_due,
    a_queue_that_stops_holds_nothing_back,
    a_broken_ring_holds_nothing_back,
    a_position_tells_of_what_is_not_decided,
    however_much_is_shown,
}

const FOREVER: Duration = Duration::from_secs(3600);

struct Rig<D> {
    driver: D,
    queue: Virtqueue,
    interrupts: Arc<AtomicU64>,
    buffer: Buffer,
}

impl<D: RingDriver> Rig<D> {
    fn new(features: Features, most: u32, delay: Duration) -> Rig<D> {
        let memory = TestMemory::new(1 << 18);
        let driver = D::new(&memory, 8, features);
        let interrupts = Arc::new(AtomicU64::new(0));
        let (count, mut setup) = (interrupts.clone(), driver.setup());
        setup.interrupt = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut queue = Virtqueue::new(setup).unwrap();
        queue.moderate(Some(Moderation { most, delay }));
        let mut rig = Rig { driver, queue, interrupts, buffer: Buffer::writable(memory.alloc(8, 8), 8) };
        // The first batch of a queue interrupts whatever is asked for.
        rig.serve(1);
        rig.queue.moderate(None);
        rig.queue.moderate(Some(Moderation { most, delay }));
        rig.taken();
        rig
    }

    /// The device answers so many chains and shows them; the driver takes them all and asks for the next interrupt.
    fn serve(&mut self, chains: usize) {
        self.answer(chains);
        assert_eq!(std::iter::from_fn(|| self.driver.used()).count(), chains, "the driver sees them at once");
    }

    fn answer(&mut self, chains: usize) {
        for _ in 0..chains {
            self.driver.add(&[self.buffer]).unwrap();
        }
        self.driver.show();
        for _ in 0..chains {
            self.queue.pop().unwrap().complete(8);
        }
        self.queue.publish();
    }

    /// Interrupts since this was asked last.
    fn taken(&self) -> u64 {
        self.interrupts.swap(0, SeqCst)
    }
}

fn each(test: impl Fn(Features)) {
    [Features::NONE, Features::EVENT_IDX].into_iter().for_each(test);
}

fn none_before_as_many_as_allowed<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 5, FOREVER);
        rig.answer(2);
        rig.answer(2);
        assert_eq!((rig.taken(), rig.queue.interrupt_due().is_some()), (0, true));
        rig.answer(1);
        assert_eq!((rig.taken(), rig.queue.interrupt_due()), (1, None));
    });
}

fn one_when_the_time_has_come<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 100, Duration::from_millis(1));
        rig.answer(1);
        while rig.taken() == 0 {
            assert!(rig.queue.interrupt_due().is_some(), "there is a time to wait for");
            rig.queue.publish();
        }
        assert_eq!(rig.queue.interrupt_due(), None);
    });
}

fn none_that_the_driver_does_not_want<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 3, FOREVER);
        rig.answer(2);
        rig.driver.want(Wish::Never);
        rig.answer(1);
        assert_eq!((rig.taken(), rig.queue.interrupt_due()), (0, None), "it changed its mind before they were due");
    });
}

fn none_where_the_driver_has_seen_all<D: RingDriver>() {
    let mut rig = Rig::<D>::new(Features::EVENT_IDX, 4, FOREVER);
    rig.serve(3);
    // The driver asks for the one after the third.
    rig.queue.moderate(None);
    assert_eq!(rig.taken(), 0);
    rig.answer(1);
    assert_eq!(rig.taken(), 1);
}

fn turning_it_off_gives_what_is_due<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 100, FOREVER);
        rig.answer(1);
        assert_eq!(rig.taken(), 0);
        rig.queue.moderate(Some(Moderation { most: 50, delay: FOREVER }));
        assert_eq!(rig.taken(), 1, "another limit counts from anew");
        rig.answer(1);
        rig.queue.moderate(None);
        assert!(rig.taken() <= 1);
    });
}

fn a_queue_that_stops_holds_nothing_back<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 100, FOREVER);
        rig.answer(1);
        rig.queue.stop();
        rig.queue.publish();
        assert_eq!(rig.taken(), 1);
    });
}

fn a_broken_ring_holds_nothing_back<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, 100, FOREVER);
        rig.answer(1);
        rig.driver.break_ring();
        assert!(rig.queue.pop().is_none());
        assert!(rig.queue.fault().is_some());
        assert_eq!(rig.taken(), 1);
    });
}

fn a_position_tells_of_what_is_not_decided<D: RingDriver>() {
    let decided = |rig: &Rig<D>| match rig.queue.position() {
        QueuePosition::Split { decided, .. } | QueuePosition::Packed { decided, .. } => decided,
        _ => unreachable!(),
    };
    let mut rig = Rig::<D>::new(Features::EVENT_IDX, 100, FOREVER);
    assert!(decided(&rig));
    rig.answer(1);
    assert!(!decided(&rig));
    rig.queue.stop();
    rig.queue.publish();
    assert!(decided(&rig));
}

/// More than the ring has, twice over, to a driver that looks by itself: what is not decided stays countable.
fn however_much_is_shown<D: RingDriver>() {
    each(|features| {
        let mut rig = Rig::<D>::new(features, u32::MAX, FOREVER);
        let mut given = 0;
        for _ in 0..100 {
            rig.serve(7);
            given += rig.taken();
        }
        assert!(given < 100, "{given} of 100 batches interrupted");
        rig.answer(1);
        rig.queue.moderate(None);
        assert_eq!(rig.taken(), 1, "the driver that waits for one gets it");
    });
}
