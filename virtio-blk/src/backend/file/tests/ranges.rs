use std::cell::Cell;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::super::super::{BlockBackend, OperationError, OperationKind};
use super::super::disk::Disk;
use super::super::ranges::{Way, ask};
use super::super::{FileBackend, FileOptions, OpenError};
use super::{Image, Rig, folders, pattern};

const ZEROES: [OperationKind; 4] = [
    OperationKind::WriteZeroes { unmap: false, durable: false },
    OperationKind::WriteZeroes { unmap: true, durable: false },
    OperationKind::WriteZeroes { unmap: false, durable: true },
    OperationKind::WriteZeroes { unmap: true, durable: true },
];

#[test]
fn blk_op_09_zeroed_ranges_read_as_zeros_and_nothing_else_does() {
    for folder in folders() {
        for direct in [false, true] {
            for kind in ZEROES {
                for (punch, zero) in [(true, true), (false, true), (true, false), (false, false)] {
                    let image = Image::under(&folder, &pattern(1 << 20, 7));
                    let Ok(backend) = FileOptions::new().direct(direct).open(&image.0) else {
                        assert!(direct);
                        continue;
                    };
                    if !punch {
                        backend.disk().support.punch.store(false, Relaxed);
                    }
                    if !zero {
                        backend.disk().support.zero.store(false, Relaxed);
                    }
                    let mut rig = Rig::new(&backend);
                    let mut expected = image.content();
                    for (offset, len) in [(512, 512), (8192, 4096), (20480 + 512, 300 << 10), ((1 << 20) - 1024, 1024)]
                    {
                        assert_eq!(rig.range(kind, offset, len).unwrap(), len);
                        expected[offset as usize..(offset + len) as usize].fill(0);
                        let (result, data) = rig.read(offset, len as u32);
                        assert_eq!(result.unwrap(), len);
                        assert!(data.iter().all(|byte| *byte == 0));
                    }
                    assert!(image.content() == expected, "{kind:?}, direct {direct}, {punch} {zero}");
                }
            }
        }
    }
}

// spec: BLK-OP-08
// spec: BLK-OP-10
#[test]
fn blk_op_07_storage_is_given_back_where_that_was_promised() {
    for folder in folders() {
        for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: true, durable: false }] {
            let image = Image::under(&folder, &pattern(1 << 20, 7));
            image.file().sync_all().expect("the image");
            let backend = FileBackend::open(&image.0).expect("an image");
            let can = backend.capabilities();
            assert_eq!(can.discard.is_some(), can.zeroes_may_unmap);
            let blocks = || image.file().metadata().unwrap().blocks();
            let before = blocks();
            assert!(before >= 2048);
            assert_eq!(Rig::new(&backend).range(kind, 0, 512 << 10).unwrap(), 512 << 10);
            if can.zeroes_may_unmap {
                assert!(blocks() <= before - 1000, "{} of {before} blocks", blocks());
            } else {
                assert_eq!(blocks(), before);
            }
        }
    }
}

#[test]
fn zeroing_without_unmap_keeps_the_storage() {
    for folder in folders() {
        let image = Image::under(&folder, &pattern(1 << 20, 7));
        image.file().sync_all().expect("the image");
        let blocks = || image.file().metadata().unwrap().blocks();
        let before = blocks();
        let backend = FileBackend::open(&image.0).expect("an image");
        let kind = OperationKind::WriteZeroes { unmap: false, durable: false };
        assert_eq!(Rig::new(&backend).range(kind, 0, 1 << 20).unwrap(), 1 << 20);
        assert!(blocks() >= before, "{} of {before} blocks", blocks());
        assert!(image.content().iter().all(|byte| *byte == 0));
    }
}

// spec: BLK-OP-11
#[test]
fn blk_op_10_what_the_file_system_does_not_do_is_not_promised_any_more() {
    let image = Image::new(&pattern(65536, 7));
    let backend = FileBackend::open(&image.0).expect("an image");
    backend.disk().support.punch.store(false, Relaxed);
    assert!(!backend.capabilities().zeroes_may_unmap);
    // A hint that nobody takes is no failure.
    assert_eq!(Rig::new(&backend).range(OperationKind::Discard, 0, 65536).unwrap(), 65536);
    assert!(image.content() == pattern(65536, 7));
}

#[test]
fn a_way_that_is_not_there_is_not_tried_again() {
    let asked = Cell::new(0);
    let try_it = |support: &AtomicBool, error: i32| {
        asked.set(0);
        ask(support, || {
            asked.set(1);
            if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
        })
    };
    let support = AtomicBool::new(true);
    assert!(matches!(try_it(&support, 0), Ok(Way::Done)));
    // Of this range or this moment alone.
    assert!(matches!(try_it(&support, libc::EINVAL), Ok(Way::NotHere)));
    for error in [libc::EIO, libc::ENOSPC] {
        assert_eq!(try_it(&support, error).err().and_then(|error| error.raw_os_error()), Some(error));
    }
    assert!(matches!(try_it(&support, 0), Ok(Way::Done)));
    for error in [libc::EOPNOTSUPP, libc::ENOSYS, libc::ENOTTY] {
        let support = AtomicBool::new(true);
        assert!(matches!(try_it(&support, error), Ok(Way::Never)));
        assert_eq!(asked.get(), 1);
        assert!(matches!(try_it(&support, 0), Ok(Way::Never)));
        assert_eq!(asked.get(), 0);
    }
}

#[test]
fn regular_files_cannot_be_erased_securely() {
    let image = Image::new(&pattern(65536, 7));
    let error = FileOptions::new().secure_erase(true).open(&image.0).expect_err("a regular file");
    assert!(matches!(&error, OpenError::SecureErase { path } if *path == image.0));
    let backend = FileBackend::open(&image.0).expect("an image");
    assert_eq!(backend.capabilities().secure_erase, None);
    let result = Rig::new(&backend).range(OperationKind::SecureErase, 0, 512);
    assert!(matches!(result, Err(OperationError::Unsupported)));
    assert!(matches!(Rig::new(&backend).range(OperationKind::ZoneReset, 0, 0), Err(OperationError::Unsupported)));
    assert!(image.content() == pattern(65536, 7));
}

#[test]
fn ranges_and_modes_of_other_ways_to_do_io() {
    let mode = Disk::fallocate_mode;
    let (punch, zero) = (libc::FALLOC_FL_PUNCH_HOLE, libc::FALLOC_FL_ZERO_RANGE);
    assert_eq!(mode(OperationKind::Discard), Some(punch | libc::FALLOC_FL_KEEP_SIZE));
    assert_eq!(mode(ZEROES[0]), Some(zero | libc::FALLOC_FL_KEEP_SIZE));
    assert_eq!(mode(ZEROES[1]), Some(punch | libc::FALLOC_FL_KEEP_SIZE));
    for kind in [OperationKind::Read, OperationKind::Flush, OperationKind::SecureErase, OperationKind::ZoneReset] {
        assert_eq!(mode(kind), None);
    }
}
