//! Serving requests allocates nothing once the device has warmed up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "device/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "device/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use allocation_counter::measure;
use ports::{Mmio, Packed, Pci};
use rig::*;
use virtio_blk::{Block, BlockBackend, FileBackend, MemoryBackend, NullBackend};
use virtio_core::testing::RingDriver;

/// A batch of every kind of request, bad ones included.
fn submit<P: Port>(rig: &Rig<P>, driver: &mut P::Driver) {
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
        let mut served = measure(|| rig.kick(driver)).count_total;
        let mut used = 0;
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            used += std::iter::from_fn(|| driver.used()).count();
            if used >= 20 {
                break;
            }
            assert!(Instant::now() < limit, "{used} of 20 requests have come back");
            let again = || {
                rig.runtime.poll();
            };
            served += measure(again).count_total;
        }
        assert_eq!(used, 20);
        if round >= 20 {
            counted += served;
        }
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.reads, counts.writes, counts.flushes, counts.refused), (240, 240, 30, 30));
    assert!(rig.port.host().queue_counts(0).expect("a queue").interrupts >= 30);
    counted
}

/// Requests come back in any order, and each operation grows when it is the first of merged ones: there is no telling
/// when all have been (see [`merging_comes_to_rest`]).
#[cfg(all(feature = "uring", target_os = "linux"))]
struct Unmerged(std::sync::Arc<virtio_blk::UringBackend>);

#[cfg(all(feature = "uring", target_os = "linux"))]
impl BlockBackend for Unmerged {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn capabilities(&self) -> virtio_blk::Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.merge = false;
        capabilities
    }

    fn open_queue(&self, depth: u16) -> std::io::Result<Box<dyn virtio_blk::BlockQueue>> {
        self.0.open_queue(depth)
    }
}

fn nothing_is_allocated<P: Port>() {
    assert_eq!(allocations_of::<P>(MemoryBackend::zeroed(1 << 20)), 0, "in memory");
    assert_eq!(allocations_of::<P>(NullBackend::new(1 << 20)), 0, "nowhere");
    let path = std::env::temp_dir().join(format!("virtio-blk-no-alloc-{}.img", std::process::id()));
    std::fs::write(&path, vec![0; 1 << 20]).expect("a temporary file");
    let backend = FileBackend::open(&path);
    #[cfg(all(feature = "uring", target_os = "linux"))]
    let rings =
        virtio_blk::UringBackend::new(virtio_blk::FileOptions::new().lock(false).open(&path).expect("an image"));
    let _ = std::fs::remove_file(&path);
    assert_eq!(allocations_of::<P>(backend.expect("an image")), 0, "in a file");
    #[cfg(all(feature = "uring", target_os = "linux"))]
    {
        let rings = std::sync::Arc::new(rings);
        assert_eq!(allocations_of::<P>(Unmerged(rings.clone())), 0, "in a file, by io_uring");
        assert!(rings.is_uring());
    }
}

#[test]
fn requests_allocate_nothing_in_the_long_run() {
    nothing_is_allocated::<Mmio>();
    nothing_is_allocated::<Pci>();
    nothing_is_allocated::<Packed>();
    // The count counts.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

/// Serves a batch that is merged, and counts.
#[cfg(all(feature = "uring", target_os = "linux"))]
fn allocations_of_a_batch<P: Port>(rig: &Rig<P>, driver: &mut P::Driver) -> u64 {
    for sector in 0..8 {
        rig.add(driver, IN, sector, &[], 512);
        rig.add(driver, OUT, 16 + sector, &[1; 512], 0);
    }
    let mut served = measure(|| rig.kick(driver)).count_total;
    let (mut used, limit) = (0, Instant::now() + Duration::from_secs(60));
    while used < 16 {
        assert!(Instant::now() < limit, "{used} of 16 requests have come back");
        let again = || {
            rig.runtime.poll();
        };
        served += measure(again).count_total;
        used += std::iter::from_fn(|| driver.used()).count();
    }
    served
}

/// Each operation grows as far as it has been merged, once. How soon all have is a matter of chance, but not whether.
#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn merging_comes_to_rest() {
    let path = std::env::temp_dir().join(format!("virtio-blk-no-alloc-merged-{}.img", std::process::id()));
    std::fs::write(&path, vec![0; 1 << 20]).expect("a temporary file");
    let disk = virtio_blk::UringBackend::new(FileBackend::open(&path).expect("an image"));
    let _ = std::fs::remove_file(&path);
    let block = Block::builder(disk).queue_size(64).build().expect("a device");
    let rig = Rig::<Mmio>::with(block, virtio_core::testing::TestMemory::new(64 << 20), |host| host);
    let driver = &mut rig.live(USUAL);
    let (mut quiet, mut total, mut rounds) = (0, 0, 0);
    while quiet < 30 {
        let count = allocations_of_a_batch(&rig, driver);
        (quiet, total, rounds) = (if count == 0 { quiet + 1 } else { 0 }, total + count, rounds + 1);
        assert!(rounds < 2000, "{total} allocations in {rounds} rounds, and no end");
    }
    assert!(rig.handle.counts().merged > 0 && total > 0, "{total} allocations");
    println!("{total} allocations in {rounds} rounds");
}
