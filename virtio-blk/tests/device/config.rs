//! Features and the configuration space.

use virtio_blk::{Block, BuildError, Geometry, MemoryBackend, ResizeError, Topology};
use virtio_core::Features;
use virtio_core::testing::{RingDriver, TestMemory};

use crate::held::Held;
use crate::rig::*;

each_transport! {
    blk_init_01_flush_is_always_offered,
    blk_init_02_flush_is_offered_with_config_wce,
    blk_init_03_config_wce_without_flush_starts_at_zero,
    blk_init_04_unused_fields_are_zero,
    geometry_is_told_where_there_is_one,
    features_that_do_nothing_are_not_offered,
    blk_op_01_capacity_changes_at_run_time,
    sizes_that_cannot_be_are_refused,
    blk_cfg_02_each_of_num_queues_works,
    requests_of_seg_max_segments_fit_the_queue,
    drv_blk_01_writeback_before_features_ok,
    drv_blk_03_writes_of_writeback,
}

fn disk(sectors: usize) -> MemoryBackend {
    MemoryBackend::new(pattern(512 * sectors, 7))
}

fn blk_init_01_flush_is_always_offered<P: Port>() {
    for read_only in [false, true] {
        let rig = Rig::<P>::new(Block::builder(disk(8)).read_only(read_only).build().expect("a device"));
        assert!(rig.offered().contains(FLUSH_FEATURE));
    }
}

fn blk_init_02_flush_is_offered_with_config_wce<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    assert!(rig.offered().contains(FLUSH_FEATURE | CONFIG_WCE));
    // An embedder that takes the one away takes the other too.
    let block = Block::builder(disk(8)).build().expect("a device");
    let rig = Rig::<P>::with(block, TestMemory::new(1 << 20), |host| host.without(FLUSH_FEATURE));
    assert!(!rig.offered().intersects(FLUSH_FEATURE | CONFIG_WCE));
}

fn blk_init_03_config_wce_without_flush_starts_at_zero<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    assert!(rig.negotiate((USUAL - FLUSH_FEATURE) | CONFIG_WCE));
    assert_eq!(rig.config_writeback(), 0);
    // With it, it does not; nor does the one outlive a reset.
    rig.port.set_status(0);
    assert!(rig.negotiate(USUAL | CONFIG_WCE));
    assert_eq!(rig.config_writeback(), 1);
}

// spec: BLK-INIT-05 BLK-INIT-07
fn blk_init_04_unused_fields_are_zero<P: Port>() {
    let topology = Topology { physical_block_exp: 3, alignment_offset: 1, min_io_size: 8, opt_io_size: 256 };
    let block =
        Block::builder(Held::new(512 * 8)).queues(3).size_max(65536).topology(topology).build().expect("a device");
    let rig = Rig::<P>::new(block);
    assert!(!rig.offered().contains(ZONED));
    assert!(!rig.offered().contains(GEOMETRY));
    assert!(rig.negotiate(rig.offered()));
    assert_eq!(rig.config::<4>(16), [0; 4], "geometry");
    assert_eq!(rig.config::<1>(33), [0], "unused0");
    assert_eq!(rig.config::<3>(57), [0; 3], "unused1");
    assert_eq!(rig.config::<60>(36), [0; 60], "features that are not offered, and zoned fields");
    assert_eq!(rig.config::<8>(96), [0; 8], "behind the end");
    assert_eq!(u32::from_le_bytes(rig.config(8)), 65536);
    assert_eq!(rig.config::<8>(24), [3, 1, 8, 0, 0, 1, 0, 0]);
}

fn geometry_is_told_where_there_is_one<P: Port>() {
    let geometry = Geometry { cylinders: 1024, heads: 16, sectors: 63 };
    let rig = Rig::<P>::new(Block::builder(disk(8)).geometry(geometry).build().expect("a device"));
    assert!(rig.offered().contains(GEOMETRY));
    assert_eq!(rig.config::<4>(16), [0, 4, 16, 63]);
}

fn features_that_do_nothing_are_not_offered<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(Held::new(512 * 8)).build().expect("a device"));
    let own = Features::from_bits(rig.offered().bits() & 0x00ff_ffff);
    let wanted = [2, 6, 9, 11].map(Features::bit).into_iter().fold(Features::NONE, |all, bit| all | bit);
    assert_eq!(own, wanted);
    assert!(rig.negotiate(rig.offered()));
    assert!(rig.port.host().feature_names().contains(&"CONFIG_WCE".to_owned()));
}

// spec: BLK-OP-02
fn blk_op_01_capacity_changes_at_run_time<P: Port>() {
    let disk = disk(8);
    let rig = Rig::<P>::new(Block::builder(disk.clone()).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    assert_eq!((rig.config_capacity(), rig.handle.capacity()), (8, 8));
    let generation = rig.port.generation();
    disk.set_len(512 * 32);
    rig.handle.refresh().expect("a size");
    assert!(rig.config_interrupted());
    assert_eq!((rig.config_capacity(), rig.handle.capacity()), (32, 32));
    assert_ne!(rig.port.generation(), generation);
    assert_eq!(rig.read(driver, 31, 512).status, OK);
    // The same again is no change.
    rig.handle.refresh().expect("a size");
    assert!(!rig.config_interrupted());
    // Smaller than the storage.
    rig.handle.resize(512 * 16).expect("it fits");
    assert!(rig.config_interrupted());
    assert_eq!(rig.read(driver, 16, 512).status, IOERR);
    assert_eq!(rig.read(driver, 15, 512).status, OK);
}

fn sizes_that_cannot_be_are_refused<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    assert!(matches!(rig.handle.resize(1000), Err(ResizeError::NotSectors { len: 1000 })));
    assert!(matches!(rig.handle.resize(8192), Err(ResizeError::TooLarge { len: 8192, size: 4096 })));
    assert_eq!(rig.handle.capacity(), 8);
}

fn blk_cfg_02_each_of_num_queues_works<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).queues(4).build().expect("a device"));
    assert!(rig.negotiate(USUAL | MQ));
    assert_eq!(u16::from_le_bytes(rig.config(34)), 4);
    let mut drivers: Vec<_> = (0..4).map(|index| rig.enable(index, 16, USUAL)).collect();
    rig.go();
    for (index, driver) in (0u16..).zip(&mut drivers) {
        let pending = rig.add(driver, IN, u64::from(index), &[], 512);
        driver.kick(|| rig.port.notify(index));
        rig.runtime.poll();
        assert_eq!(rig.answer(&pending, driver.used().expect("an answer")).status, OK, "queue {index}");
    }
    assert_eq!(rig.handle.counts().reads, 4);

    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    assert!(!rig.offered().contains(MQ), "MQ with one queue");
}

fn requests_of_seg_max_segments_fit_the_queue<P: Port>() {
    for size in [4, 16, 256, 32768] {
        let rig = Rig::<P>::new(Block::builder(disk(8)).queue_size(size).build().expect("a device"));
        let seg_max = u32::from_le_bytes(rig.config(12));
        assert!((1..=u32::from(size) - 2).contains(&seg_max), "{seg_max} of {size}");
    }
}

fn drv_blk_01_writeback_before_features_ok<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    assert_eq!(rig.config_writeback(), 1);
    rig.port.write_config(32, &[0]);
    assert_eq!(rig.config_writeback(), 1, "nothing was negotiated yet");
}

fn drv_blk_03_writes_of_writeback<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(disk(8)).build().expect("a device"));
    let _driver = rig.live(USUAL);
    rig.port.write_config(32, &[0]);
    assert_eq!(rig.config_writeback(), 1, "without CONFIG_WCE");
    rig.port.set_status(0);

    let _driver = rig.live(USUAL | CONFIG_WCE);
    for (value, wanted) in [(0, 0), (1, 1), (0, 0), (2, 1), (0, 0), (0xff, 1)] {
        rig.port.write_config(32, &[value]);
        assert_eq!(rig.config_writeback(), wanted, "{value} was written");
        assert_eq!(rig.handle.writeback(), wanted == 1);
    }
    assert!(!rig.config_interrupted(), "the driver knows what it wrote");
    // In a wider write, and in one that does not reach it; other fields are not the driver's.
    let before = rig.config::<96>(0);
    rig.port.write_config(0, &[0; 32]);
    rig.port.write_config(33, &[0xff; 63]);
    rig.port.write_config(96, &[0; 4]);
    // No transport can ask for this.
    rig.port.host().write_config(u64::MAX, &[0; 4]);
    assert_eq!(rig.config::<96>(0), before);
    rig.port.write_config(0, &[0; 96]);
    assert_eq!(rig.config_writeback(), 0);
    assert_eq!(rig.config_capacity(), 8);
    // Reset takes the choice back.
    rig.port.set_status(0);
    assert_eq!(rig.config_writeback(), 1);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let builder = || Block::builder(disk(8));
    assert!(matches!(builder().serial("x".repeat(21)).build(), Err(BuildError::Serial { .. })));
    assert!(matches!(builder().serial("a\0b").build(), Err(BuildError::Serial { .. })));
    assert!(matches!(builder().queues(0).build(), Err(BuildError::NoQueues)));
    for size in [0, 2, 3, 100, 65535] {
        assert!(matches!(builder().queue_size(size).build(), Err(BuildError::QueueSize { .. })));
    }
    for size in [0, 256, 1000, 1 << 17] {
        assert!(matches!(builder().block_size(size).build(), Err(BuildError::BlockSize { .. })));
    }
    for seg_max in [0, 255] {
        assert!(matches!(builder().seg_max(seg_max).build(), Err(BuildError::SegMax { most: 254, .. })));
    }
    assert!(matches!(builder().size_max(4095).build(), Err(BuildError::SizeMax { .. })));
    assert!(matches!(builder().max_segments(0).build(), Err(BuildError::NoSegments)));
    let few = Held::able(4096, |can| can.max_queues = 2);
    assert!(matches!(Block::builder(few).queues(3).build(), Err(BuildError::TooManyQueues { queues: 3, most: 2 })));
}
