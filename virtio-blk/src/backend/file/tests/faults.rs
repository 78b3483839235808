use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::super::super::bench::{finish, perform};
use super::super::super::{BlockBackend, OperationError, OperationKind};
use super::super::{FileBackend, FileOptions};
use super::{Image, Rig, child_folder, folders, in_child, left_out, pattern};

const KINDS: [OperationKind; 5] = [
    OperationKind::Read,
    OperationKind::Write { durable: true },
    OperationKind::Discard,
    OperationKind::WriteZeroes { unmap: true, durable: false },
    OperationKind::WriteZeroes { unmap: false, durable: true },
];

#[test]
fn a_file_that_was_cut_short_ends_there_and_does_not_grow() {
    for folder in folders() {
        for direct in [false, true] {
            let image = Image::under(&folder, &pattern(65536, 1));
            let Ok(backend) = FileOptions::new().direct(direct).open(&image.0) else {
                assert!(direct);
                continue;
            };
            let mut rig = Rig::new(&backend);
            let at = rig.bench.memory.alloc(65536, 4096);
            image.file().set_len(8192 + 1024).expect("a shorter file");
            assert_eq!(backend.size().expect("a size"), 8192 + 1024);
            // The last bytes, some of them, and none of them.
            for (offset, len, there) in
                [(8192, 1024, 1024), (4096, 8192, 5120), (8192, 4096, 1024), (12288, 4096, 0), (61440, 4096, 0)]
            {
                for kind in KINDS {
                    let operation = match kind {
                        OperationKind::Read | OperationKind::Write { .. } => {
                            rig.bench.operation(0, kind, offset, &[(at, len as u32)])
                        }
                        _ => rig.bench.range(0, kind, offset, len),
                    };
                    let done = perform(&mut *rig.queue, operation).expect("an answer");
                    let expected = match kind {
                        OperationKind::Read => there,
                        _ if there == len => len,
                        _ => 0,
                    };
                    assert_eq!(done, expected, "{kind:?} of {len} at {offset}, direct {direct}");
                    assert_eq!(image.file().metadata().expect("the image").len(), 8192 + 1024);
                }
            }
            assert!(image.content()[..4096] == pattern(65536, 1)[..4096]);
            image.file().set_len(65536).expect("a longer file");
            assert_eq!(rig.write(61440, &pattern(4096, 2)).expect("a write"), 4096);
        }
    }
}

#[test]
fn a_file_may_be_cut_short_while_operations_are_made() {
    let image = Image::new(&pattern(65536, 1));
    let backend = FileBackend::open(&image.0).expect("an image");
    let mut rig = Rig::new(&backend);
    // All that the device had checked when the file was still long.
    let operations: Vec<_> = (0..8u16)
        .flat_map(|i| {
            let offset = u64::from(i) * 8192;
            let write = rig.bench.write(2 * i, offset, &[0xaa; 8192]);
            [write, rig.bench.range(2 * i + 1, OperationKind::Discard, offset, 8192)]
        })
        .collect();
    image.file().set_len(16384).expect("a shorter file");
    for operation in operations {
        rig.queue.submit(operation);
    }
    let done = finish(&mut *rig.queue, 16);
    let short = done.iter().filter(|done| *done.result.as_ref().expect("an answer") == 0).count();
    assert_eq!((done.len(), short), (16, 12));
    let mut tags: Vec<_> = done.iter().map(|done| done.operation.tag()).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..16).collect::<Vec<_>>());
    assert_eq!(image.content().len(), 16384);
}

#[test]
fn a_file_that_vanished_from_its_folder_is_still_a_disk() {
    for direct in [false, true] {
        let image = Image::new(&pattern(65536, 1));
        let Ok(backend) = FileOptions::new().direct(direct).open(&image.0) else {
            assert!(direct);
            continue;
        };
        fs::remove_file(&image.0).expect("the image");
        let mut rig = Rig::new(&backend);
        assert_eq!(rig.write(512, &pattern(8192, 9)).expect("a write"), 8192);
        assert!(rig.read(512, 8192).1 == pattern(8192, 9));
        assert_eq!(rig.range(OperationKind::Flush, 0, 0).expect("a flush"), 0);
    }
}

#[test]
fn blk_stable_01_what_is_durable_fails_when_data_was_lost_before() {
    for direct in [false, true] {
        let image = Image::new(&pattern(65536, 1));
        let Ok(backend) = FileOptions::new().direct(direct).open(&image.0) else {
            assert!(direct);
            continue;
        };
        let mut rig = Rig::new(&backend);
        let at = rig.bench.memory.alloc(4096, 4096);
        for lost in [false, true] {
            backend.disk().lost.store(lost, SeqCst);
            for durable in [false, true] {
                // A sync, which says so, is a part of what is durable, and of nothing else.
                let fails = lost && durable;
                let write = rig.bench.operation(0, OperationKind::Write { durable }, 4096, &[(at, 4096)]);
                assert_eq!(perform(&mut *rig.queue, write).is_err(), fails);
                for unmap in [false, true] {
                    let kind = OperationKind::WriteZeroes { unmap, durable };
                    assert_eq!(rig.range(kind, 4096, 4096).is_err(), fails);
                }
            }
            assert_eq!(rig.range(OperationKind::Flush, 0, 0).is_err(), lost);
        }
    }
}

/// The system lets nobody write behind a place that is inside of the file.
#[test]
fn writes_that_the_system_ends_are_errors() {
    let test = "faults::writes_that_the_system_ends_are_errors";
    let content = pattern(512 << 10, 1);
    let Some(path) = child_folder() else {
        let image = Image::new(&content);
        // 64 KiB, or twice that where the shell counts in longer blocks.
        in_child(r#"trap '' XFSZ; ulimit -f 128; exec "$0" --exact "$1""#, test, &image.0);
        assert_eq!(image.content().len(), 512 << 10);
        return assert!(image.content()[256 << 10..] == content[256 << 10..]);
    };
    for direct in [false, true] {
        let Ok(backend) = FileOptions::new().direct(direct).open(&path) else {
            assert!(direct);
            continue;
        };
        let mut rig = Rig::new(&backend);
        let limit = |error| matches!(error, OperationError::Io(e) if e.kind() == io::ErrorKind::FileTooLarge);
        // Some of it is written.
        assert!(rig.write(0, &pattern(512 << 10, 2)).is_err_and(limit));
        assert!(rig.read(0, 65536).1 == pattern(512 << 10, 2)[..65536]);
        assert!(rig.write(256 << 10, &[3; 4096]).is_err_and(limit));
        backend.disk().support.zero.store(false, Relaxed);
        let zeroes = OperationKind::WriteZeroes { unmap: false, durable: true };
        assert!(rig.range(zeroes, 0, 512 << 10).is_err_and(limit));
        // What is below goes on.
        assert_eq!(rig.write(4096, &[4; 4096]).expect("a write"), 4096);
        assert_eq!(rig.range(zeroes, 8192, 4096).expect("zeroes"), 4096);
        assert!(rig.read(0, 512 << 10).1[256 << 10..] == content[256 << 10..]);
    }
}

/// An empty folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A file system that is full.
#[test]
fn a_full_file_system_is_an_error_and_no_end() {
    let test = "faults::a_full_file_system_is_an_error_and_no_end";
    let Some(folder) = child_folder() else {
        let unshare =
            |args: &[&str]| Command::new("unshare").args(args).output().is_ok_and(|done| done.status.success());
        let folder = std::env::temp_dir().join(format!("virtio-blk-full-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let folder = Folder(folder);
        if unshare(&["-rm", "mount", "-t", "tmpfs", "none", &folder.0.to_string_lossy()]) {
            // Mounted where only the child sees it.
            let shell = r#"exec unshare -rm sh -c 'mount -t tmpfs -o size=256k none "$VIRTIO_BLK_CHILD" &&
                exec "$0" --exact "$1"' "$0" "$1""#;
            in_child(shell, test, &folder.0);
        } else {
            left_out("a small file system cannot be mounted by `unshare -rm mount`");
        }
        return;
    };
    let image = Image::under(&folder, &[]);
    image.file().set_len(1 << 20).expect("a sparse file");
    let ballast = Image::under(&folder, &pattern(128 << 10, 1));
    let backend = FileBackend::open(&image.0).expect("an image");
    let mut rig = Rig::new(&backend);
    let full = |error: OperationError| matches!(error, OperationError::Io(e) if e.kind() == io::ErrorKind::StorageFull);
    assert_eq!(rig.write(0, &pattern(65536, 2)).expect("room"), 65536);
    assert!(rig.write(65536, &pattern(512 << 10, 3)).is_err_and(full));
    let zeroes = OperationKind::WriteZeroes { unmap: false, durable: false };
    assert!(rig.range(zeroes, 512 << 10, 512 << 10).is_err_and(full));
    // What is there can be read, and be overwritten.
    assert!(rig.read(0, 65536).1 == pattern(65536, 2));
    assert_eq!(rig.write(0, &pattern(65536, 4)).expect("no more room needed"), 65536);
    // Room that a discard gives back, and that others give back, can be used.
    assert_eq!(rig.range(OperationKind::Discard, 65536, (1 << 20) - 65536).expect("a discard"), (1 << 20) - 65536);
    assert_eq!(rig.write(65536, &pattern(4096, 5)).expect("room"), 4096);
    drop(ballast);
    assert_eq!(rig.write(65536, &pattern(128 << 10, 3)).expect("room"), 128 << 10);
    assert_eq!(image.content().len(), 1 << 20);
}
