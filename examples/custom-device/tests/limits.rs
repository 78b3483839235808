//! What a driver cannot make the device do: allocate, or fill the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[allow(dead_code)]
#[path = "entropy/front.rs"]
mod front;
#[allow(dead_code)]
#[path = "entropy/rig.rs"]
mod rig;
#[allow(dead_code)]
#[path = "entropy/source.rs"]
mod source;

use std::cell::Cell;

use allocation_counter::measure;
use front::{Bare, Front, Mmio, Pci};
use rig::Rig;
use source::Script;
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver};

thread_local! {
    static LINES: Cell<u64> = const { Cell::new(0) };
}

/// Counts the lines of each thread.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        LINES.set(LINES.get() + 1);
    }

    fn flush(&self) {}
}

fn allocations<F: Front, D: RingDriver>() -> u64 {
    let source = Script::endless();
    let mut rig = Rig::<F, D>::new(&source);
    let (small, large, text) = (rig.room(10), rig.room(1 << 20), rig.memory.alloc(8, 8));
    let mut counted = 0;
    for _ in 0..10 {
        for chain in [&[small, large][..], &[small; 8], &[Buffer::readable(text, 8)], &[Buffer::writable(0, 0)]] {
            rig.driver.add(chain).expect("room in the ring");
        }
        rig.driver.show();
        let served = measure(|| {
            rig.front.notify();
            rig.runtime.poll();
        });
        counted = served.count_total;
        assert_eq!(std::iter::from_fn(|| rig.used()).count(), 4);
    }
    counted
}

#[test]
fn a_device_that_has_warmed_up_allocates_nothing() {
    let counted = [
        allocations::<Bare, SplitDriver>(),
        allocations::<Bare, PackedDriver>(),
        allocations::<Mmio, SplitDriver>(),
        allocations::<Pci, PackedDriver>(),
    ];
    assert_eq!(counted, [0; 4]);
    // The count counts.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn a_source_that_fails_does_not_fill_the_log() {
    log::set_logger(&Lines).expect("the only logger");
    log::set_max_level(log::LevelFilter::Trace);
    let mut rig = Rig::<Bare, SplitDriver>::new(&Script::of(0, None));
    let room = rig.room(1);
    rig.ask(&[room]);
    assert_eq!(LINES.get(), 1);
    for _ in 0..1000 {
        rig.ring();
        // A reset does not start the count anew.
        rig.front.set_status(0);
        rig.driver = rig::start(&rig.front, &rig.memory);
        rig.driver.add(&[room]).expect("room in the ring");
        rig.kick();
    }
    assert!(LINES.get() < 100, "{} lines", LINES.get());
}
