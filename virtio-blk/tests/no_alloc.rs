//! Serving requests allocates nothing once the device has warmed up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "device/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "device/rig.rs"]
mod rig;

use allocation_counter::measure;
use ports::{Mmio, Pci};
use rig::*;
use virtio_blk::{Block, BlockBackend, FileBackend, MemoryBackend};
use virtio_core::testing::{RingDriver, SplitDriver};

/// A batch of every kind of request, bad ones included.
fn submit<P: Port>(rig: &Rig<P>, driver: &mut SplitDriver) {
    for sector in 0..8 {
        rig.add(driver, IN, sector, &[], 1024);
        rig.add(driver, OUT, 16 + sector, &[1; 512], 0);
    }
    rig.add(driver, FLUSH, 0, &[], 0);
    rig.add(driver, GET_ID, 0, &[], 20);
    rig.add(driver, IN, 1 << 40, &[], 512);
    rig.add(driver, 99, 0, &[], 0);
}

fn allocations_of<P: Port>(backend: impl BlockBackend + 'static) -> u64 {
    let rig = Rig::<P>::new(Block::builder(backend).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    let mut counted = 0;
    for round in 0..30 {
        submit(&rig, driver);
        let served = measure(|| rig.kick(driver));
        if round >= 20 {
            counted += served.count_total;
        }
        assert_eq!(std::iter::from_fn(|| driver.used()).count(), 20);
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.reads, counts.writes, counts.flushes, counts.refused), (240, 240, 30, 30));
    assert!(rig.port.host().queue_counts(0).expect("a queue").interrupts >= 30);
    counted
}

fn nothing_is_allocated<P: Port>() {
    assert_eq!(allocations_of::<P>(MemoryBackend::zeroed(1 << 20)), 0, "in memory");
    let path = std::env::temp_dir().join(format!("virtio-blk-no-alloc-{}.img", std::process::id()));
    std::fs::write(&path, vec![0; 1 << 20]).expect("a temporary file");
    let backend = FileBackend::open(&path);
    let _ = std::fs::remove_file(&path);
    assert_eq!(allocations_of::<P>(backend.expect("an image")), 0, "in a file");
}

#[test]
fn requests_allocate_nothing_in_the_long_run() {
    nothing_is_allocated::<Mmio>();
    nothing_is_allocated::<Pci>();
    // The count counts.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
