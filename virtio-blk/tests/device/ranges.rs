//! Discarding, writing zeros and erasing, by requests of several segments.

use virtio_blk::backend::RangeLimits;
use virtio_blk::{Block, MemoryBackend, OperationKind};
use virtio_core::Features;
use virtio_core::testing::RingDriver;

use crate::held::Held;
use crate::rig::*;

each_transport! {
    blk_op_05_unknown_flags_give_unsupp,
    blk_op_06_discard_with_unmap_gives_unsupp,
    blk_op_07_discard_reaches_the_backend,
    blk_op_08_write_zeroes_may_unmap_where_the_driver_and_the_embedder_allow_it,
    blk_op_09_zeroed_ranges_read_as_zeros,
    blk_op_10_may_unmap_is_told,
    blk_op_12_a_change_of_may_unmap_interrupts,
    drv_blk_07_payloads_that_are_no_segments,
    drv_blk_09_more_segments_than_there_may_be,
    drv_blk_10_segments_that_are_too_long_or_not_on_the_disk,
    drv_blk_16_what_was_not_negotiated_is_unsupported,
    limits_are_in_the_configuration_space,
    segments_are_done_one_after_the_other,
    a_failing_segment_ends_the_request,
    reset_in_the_middle_of_a_request,
    zeroes_are_durable_as_writes_are,
    read_only_disks_offer_nothing_of_it,
    segments_of_no_sectors_are_nothing,
    data_to_be_written_by_the_device_is_refused,
}

const ALL: Features = Features::from_bits(1 << 13 | 1 << 14 | 1 << 16);
const KINDS: [u32; 3] = [DISCARD, WRITE_ZEROES, SECURE_ERASE];
const SECTORS: u64 = 64;

fn segment(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

fn rig<P: Port>() -> (Rig<P>, MemoryBackend, P::Driver) {
    let disk = MemoryBackend::new(pattern(512 * SECTORS as usize, 3));
    let rig = Rig::<P>::new(Block::builder(disk.clone()).build().expect("a device"));
    let driver = rig.live(USUAL | ALL);
    (rig, disk, driver)
}

fn held<P: Port>() -> (Rig<P>, Held, P::Driver) {
    let held = Held::able(512 * SECTORS as usize, |can| {
        (can.discard, can.write_zeroes) = (Some(RangeLimits::NONE), Some(RangeLimits::NONE));
        (can.secure_erase, can.zeroes_may_unmap) = (Some(RangeLimits::NONE), true);
    });
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = rig.live(USUAL | ALL);
    (rig, held, driver)
}

/// The status, where it is all that was written.
fn status<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, kind: u32, payload: &[u8]) -> u8 {
    let answer = rig.request(driver, kind, 0, payload, 0);
    assert_eq!(answer.len, 1, "the status alone");
    answer.status
}

// spec: DRV-BLK-11
fn blk_op_05_unknown_flags_give_unsupp<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    let before = disk.content();
    for kind in KINDS {
        for flags in [2, 3, 1 << 31, u32::MAX] {
            assert_eq!(status(&rig, &mut driver, kind, &segment(0, 8, flags)), UNSUPP, "{kind}: {flags:#x}");
            // Also behind a range that is bad, and behind one that is good.
            let two = [segment(SECTORS, 8, 0), segment(0, 8, flags)].concat();
            assert_eq!(status(&rig, &mut driver, kind, &two), UNSUPP);
            let two = [segment(0, 8, 0), segment(0, 8, flags)].concat();
            assert_eq!(status(&rig, &mut driver, kind, &two), UNSUPP);
        }
    }
    assert_eq!(disk.content(), before);
}

// spec: DRV-BLK-11
fn blk_op_06_discard_with_unmap_gives_unsupp<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    let before = disk.content();
    assert_eq!(status(&rig, &mut driver, DISCARD, &segment(0, 8, 1)), UNSUPP);
    assert_eq!(status(&rig, &mut driver, SECURE_ERASE, &segment(0, 8, 1)), UNSUPP);
    assert_eq!(disk.content(), before);
    assert_eq!(rig.handle.counts().unsupported, 2);
}

fn blk_op_07_discard_reaches_the_backend<P: Port>() {
    let (rig, held, mut driver) = held::<P>();
    let pending = rig.add(&mut driver, DISCARD, 0, &segment(8, 16, 0), 0);
    rig.kick(&mut driver);
    assert_eq!(held.take_log(), [(OperationKind::Discard, 8 * 512, 16 * 512)]);
    assert!(driver.used().is_none(), "not before it is done");
    held.finish_all();
    rig.runtime.poll();
    let answer = rig.answer(&pending, driver.used().expect("an answer"));
    assert_eq!((answer.status, answer.len), (OK, 1));
    let counts = rig.handle.counts();
    assert_eq!((counts.discards, counts.discarded_bytes), (1, 16 * 512));
}

fn blk_op_08_write_zeroes_may_unmap_where_the_driver_and_the_embedder_allow_it<P: Port>() {
    let (rig, held, mut driver) = held::<P>();
    let submit = |driver: &mut P::Driver, payload: &[u8]| {
        rig.add(driver, WRITE_ZEROES, 0, payload, 0);
        rig.kick(driver);
        held.finish_all();
        rig.runtime.poll();
        held.take_log()[0].0
    };
    let zeroes = |unmap| OperationKind::WriteZeroes { unmap, durable: false };
    assert_eq!(submit(&mut driver, &segment(0, 8, 0)), zeroes(false));
    assert_eq!(submit(&mut driver, &segment(0, 8, 1)), zeroes(true));
    let mixed = [segment(0, 8, 1), segment(8, 8, 0)].concat();
    assert_eq!(submit(&mut driver, &mixed), zeroes(false), "what need not be unmapped is not");

    let kept = Held::able(4096, |can| (can.write_zeroes, can.zeroes_may_unmap) = (Some(RangeLimits::NONE), true));
    let rig = Rig::<P>::new(Block::builder(kept.clone()).discard(false).build().expect("a device"));
    let mut driver = rig.live(USUAL | WRITE_ZEROES_FEATURE);
    assert_eq!(rig.config::<1>(56), [0], "the embedder does not want it");
    rig.add(&mut driver, WRITE_ZEROES, 0, &segment(0, 8, 1), 0);
    rig.kick(&mut driver);
    assert_eq!(kept.take_log()[0].0, zeroes(false));
}

fn blk_op_09_zeroed_ranges_read_as_zeros<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    for flags in [0, 1] {
        let before = pattern(512 * SECTORS as usize, 3);
        assert_eq!(rig.write(&mut driver, 0, &before).status, OK);
        let payload = [segment(1, 2, flags), segment(10, 1, flags), segment(SECTORS - 1, 1, flags)].concat();
        assert_eq!(status(&rig, &mut driver, WRITE_ZEROES, &payload), OK);
        let mut wanted = before;
        for range in [1..3, 10..11, 63..64] {
            wanted[range.start * 512..range.end * 512].fill(0);
        }
        assert_eq!(rig.read(&mut driver, 0, 512 * SECTORS as usize).data, wanted);
        assert_eq!(disk.content(), wanted);
    }
    assert_eq!(rig.handle.counts().zeroed_bytes, 2 * 4 * 512);
}

fn blk_op_10_may_unmap_is_told<P: Port>() {
    for may in [false, true] {
        let held = Held::able(4096, |can| {
            (can.write_zeroes, can.zeroes_may_unmap) = (Some(RangeLimits::NONE), may);
        });
        let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
        assert_eq!(rig.config::<1>(56), [u8::from(may)]);
    }
    // Nothing can be zeroed at all.
    let held = Held::able(4096, |can| can.zeroes_may_unmap = true);
    let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
    assert_eq!(rig.config::<1>(56), [0]);
}

// spec: BLK-OP-11
fn blk_op_12_a_change_of_may_unmap_interrupts<P: Port>() {
    let (rig, held, _driver) = held::<P>();
    assert_eq!(rig.config::<1>(56), [1]);
    held.change(|can| can.zeroes_may_unmap = false);
    assert!(!rig.config_interrupted());
    rig.handle.refresh().expect("a size");
    assert!(rig.config_interrupted());
    assert_eq!(rig.config::<1>(56), [0]);
    rig.handle.refresh().expect("a size");
    assert!(!rig.config_interrupted(), "the same again is no change");
}

fn drv_blk_07_payloads_that_are_no_segments<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    let before = disk.content();
    for kind in KINDS {
        for len in [0, 1, 15, 17, 31] {
            assert_eq!(status(&rig, &mut driver, kind, &vec![0; len]), IOERR, "{kind}: {len} bytes");
        }
    }
    assert_eq!(disk.content(), before);
}

fn drv_blk_09_more_segments_than_there_may_be<P: Port>() {
    let disk = MemoryBackend::new(pattern(512 * 64, 3));
    let rig = Rig::<P>::new(Block::builder(disk.clone()).max_segments(3).build().expect("a device"));
    let mut driver = rig.live(USUAL | ALL);
    let before = disk.content();
    for kind in KINDS {
        let payload = segment(0, 1, 0).repeat(4);
        assert_eq!(status(&rig, &mut driver, kind, &payload), IOERR);
    }
    assert_eq!(disk.content(), before);
    let three = [segment(0, 1, 0), segment(2, 1, 0), segment(4, 1, 0)].concat();
    assert_eq!(status(&rig, &mut driver, WRITE_ZEROES, &three), OK);
    assert_eq!(disk.content()[4 * 512..5 * 512], [0; 512]);
}

fn drv_blk_10_segments_that_are_too_long_or_not_on_the_disk<P: Port>() {
    let limit = RangeLimits { max_len: 16 * 512, alignment: 512 };
    let held = Held::able(512 * SECTORS as usize, |can| {
        (can.discard, can.write_zeroes, can.secure_erase) = (Some(limit), Some(limit), Some(limit));
    });
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let mut driver = rig.live(USUAL | ALL);
    for kind in KINDS {
        for (sector, sectors) in
            [(0, 17), (SECTORS, 1), (SECTORS - 1, 2), (u64::MAX, 1), (u64::MAX / 512, 16), (1 << 55, 1), (0, u32::MAX)]
        {
            let alone = segment(sector, sectors, 0);
            assert_eq!(status(&rig, &mut driver, kind, &alone), IOERR, "{kind}: {sectors} sectors at {sector}");
            let behind = [segment(0, 1, 0), alone].concat();
            assert_eq!(status(&rig, &mut driver, kind, &behind), IOERR, "{kind}: {sectors} sectors at {sector}");
        }
    }
    assert_eq!(held.take_log(), [], "nothing was touched");
    assert!(!rig.is_broken());
}

fn drv_blk_16_what_was_not_negotiated_is_unsupported<P: Port>() {
    let disk = MemoryBackend::new(pattern(512 * 64, 3));
    let rig = Rig::<P>::new(Block::builder(disk.clone()).build().expect("a device"));
    let features = [DISCARD_FEATURE, WRITE_ZEROES_FEATURE, SECURE_ERASE_FEATURE];
    for (kind, feature) in KINDS.into_iter().zip(features) {
        let mut driver = rig.live(USUAL | (ALL - feature));
        let before = disk.content();
        assert_eq!(status(&rig, &mut driver, kind, &segment(0, 8, 0)), UNSUPP);
        assert_eq!(rig.request(&mut driver, GET_LIFETIME, 0, &[], 6).status, UNSUPP);
        assert_eq!(disk.content(), before);
        rig.port.set_status(0);
    }
}

fn limits_are_in_the_configuration_space<P: Port>() {
    let limits = |max_len, alignment| Some(RangeLimits { max_len, alignment });
    let held = Held::able(4096, |can| {
        can.discard = limits(1 << 20, 4096);
        can.write_zeroes = limits(u64::MAX, 512);
        can.secure_erase = limits(1 << 30, 65536);
    });
    let rig = Rig::<P>::new(Block::builder(held).max_segments(7).build().expect("a device"));
    let word = |at| u32::from_le_bytes(rig.config(at));
    assert_eq!([36, 40, 44].map(word), [2048, 7, 8], "discard");
    assert_eq!([48, 52].map(word), [u32::MAX, 7], "write zeroes");
    assert_eq!([60, 64, 68].map(word), [1 << 21, 7, 128], "secure erase");
    assert!(rig.offered().contains(ALL));
}

fn segments_are_done_one_after_the_other<P: Port>() {
    let (rig, held, mut driver) = held::<P>();
    let payload = [segment(0, 1, 0), segment(8, 2, 0), segment(4, 3, 0)].concat();
    let pending = rig.add(&mut driver, SECURE_ERASE, 0, &payload, 0);
    rig.kick(&mut driver);
    for range in [(0, 512), (8 * 512, 1024), (4 * 512, 1536)] {
        assert!(driver.used().is_none());
        assert_eq!(held.take_log(), [(OperationKind::SecureErase, range.0, range.1)]);
        held.finish(0);
        rig.runtime.poll();
    }
    assert_eq!(rig.answer(&pending, driver.used().expect("an answer")).status, OK);
    let counts = rig.handle.counts();
    assert_eq!((counts.secure_erases, counts.erased_bytes), (1, 6 * 512));
}

fn a_failing_segment_ends_the_request<P: Port>() {
    let (rig, held, mut driver) = held::<P>();
    let payload = [segment(0, 1, 0), segment(8, 2, 0), segment(4, 3, 0)].concat();
    let pending = rig.add(&mut driver, DISCARD, 0, &payload, 0);
    rig.kick(&mut driver);
    held.finish(0);
    rig.runtime.poll();
    held.fail(0, std::io::ErrorKind::Other);
    rig.runtime.poll();
    let answer = rig.answer(&pending, driver.used().expect("an answer"));
    assert_eq!((answer.status, answer.len), (IOERR, 1));
    assert_eq!(held.take_log().len(), 2);
    // The slot is as good as new.
    let pending = rig.add(&mut driver, IN, 0, &[], 512);
    rig.kick(&mut driver);
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(rig.answer(&pending, driver.used().expect("an answer")).status, OK);
    assert!(driver.used().is_none() && held.in_flight() == 0);
}

fn reset_in_the_middle_of_a_request<P: Port>() {
    let (rig, held, mut driver) = held::<P>();
    let payload = segment(0, 1, 0).repeat(5);
    rig.add(&mut driver, WRITE_ZEROES, 0, &payload, 0);
    rig.kick(&mut driver);
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(held.in_flight(), 1);
    rig.port.set_status(0);
    rig.runtime.poll();
    assert_eq!((rig.port.status(), held.in_flight()), (0, 0));
    assert_eq!(held.take_log().len(), 2, "the rest is not done");
    let mut driver = rig.live(USUAL);
    let pending = rig.add(&mut driver, IN, 0, &[], 512);
    rig.kick(&mut driver);
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(rig.answer(&pending, driver.used().expect("an answer")).status, OK);
}

// spec: BLK-STABLE-01
fn zeroes_are_durable_as_writes_are<P: Port>() {
    for (features, durable) in [(USUAL | ALL, false), ((USUAL | ALL) - FLUSH_FEATURE, true)] {
        let (rig, held, _) = held::<P>();
        rig.port.set_status(0);
        let mut driver = rig.live(features);
        rig.add(&mut driver, WRITE_ZEROES, 0, &segment(0, 8, 0), 0);
        rig.kick(&mut driver);
        assert_eq!(held.take_log()[0].0, OperationKind::WriteZeroes { unmap: false, durable });
    }
}

fn read_only_disks_offer_nothing_of_it<P: Port>() {
    let disk = MemoryBackend::new(pattern(512 * 64, 3));
    let rig = Rig::<P>::new(Block::builder(disk.clone()).read_only(true).build().expect("a device"));
    assert!(!rig.offered().intersects(ALL));
    let mut driver = rig.live(USUAL);
    let before = disk.content();
    for kind in KINDS {
        assert_eq!(status(&rig, &mut driver, kind, &segment(0, 8, 0)), UNSUPP);
    }
    assert_eq!(disk.content(), before);
}

fn segments_of_no_sectors_are_nothing<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    let before = disk.content();
    for kind in KINDS {
        assert_eq!(status(&rig, &mut driver, kind, &segment(0, 0, 0).repeat(3)), OK);
        assert_eq!(status(&rig, &mut driver, kind, &segment(SECTORS, 0, 0)), OK, "the end is no place behind it");
        assert_eq!(status(&rig, &mut driver, kind, &segment(SECTORS + 1, 0, 0)), IOERR);
    }
    assert_eq!(disk.content(), before);
    // Among others.
    let payload = [segment(0, 0, 0), segment(1, 1, 0), segment(2, 0, 0)].concat();
    assert_eq!(status(&rig, &mut driver, WRITE_ZEROES, &payload), OK);
    assert_eq!(disk.content()[512..1024], [0; 512]);
    assert_eq!(disk.content()[..512], before[..512]);
}

// spec: DRV-BLK-14
fn data_to_be_written_by_the_device_is_refused<P: Port>() {
    let (rig, disk, mut driver) = rig::<P>();
    let before = disk.content();
    for kind in KINDS {
        let answer = rig.request(&mut driver, kind, 0, &segment(0, 8, 0), 512);
        assert_eq!((answer.status, answer.len), (IOERR, 0));
        assert_eq!(answer.data, [UNTOUCHED; 512]);
    }
    assert_eq!(disk.content(), before);
}
