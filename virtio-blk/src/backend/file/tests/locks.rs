use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Barrier;

use super::super::super::BlockBackend;
use super::super::lock::{Holder, judge};
use super::super::{FileBackend, FileOptions, OpenError};
use super::{Image, folders, pattern};

fn locked(result: Result<FileBackend, OpenError>) -> (bool, bool, String) {
    match result.expect_err("a locked image") {
        error @ OpenError::Locked { writer, write, .. } => (writer, write, error.to_string()),
        error => panic!("{error}"),
    }
}

#[test]
fn who_writes_keeps_all_others_away() {
    for folder in folders() {
        for direct in [false, true] {
            let image = Image::under(&folder, &pattern(65536, 1));
            let Ok(writer) = FileOptions::new().direct(direct).open(&image.0) else {
                assert!(direct);
                continue;
            };
            for direct in [false, true] {
                let (writes, write, text) = locked(FileOptions::new().direct(direct).open(&image.0));
                assert!(writes && write && text.contains(&*image.0.to_string_lossy()), "{text}");
            }
            let (writes, write, text) = locked(FileBackend::open_read_only(&image.0));
            assert!(writes && !write && text.contains("stop it"), "{text}");
            let (writes, ..) = locked(FileOptions::new().from_file(image.file()));
            assert!(writes);
            // Who does not ask is not kept away.
            FileOptions::new().lock(false).open(&image.0).expect("an image");
            FileBackend::from_file(image.file()).expect("an image");

            // A queue uses the image, whatever became of the backend.
            let queue = writer.open_queue(4).expect("a queue");
            drop(writer);
            locked(FileBackend::open(&image.0));
            drop(queue);
            FileBackend::open(&image.0).expect("an image");
        }
    }
}

#[test]
fn those_who_read_share_it_and_keep_writers_away() {
    let image = Image::new(&pattern(65536, 1));
    let readers: Vec<_> = (0..3).map(|_| FileBackend::open_read_only(&image.0).expect("an image")).collect();
    let (writes, write, text) = locked(FileBackend::open(&image.0));
    assert!(!writes && write && text.contains("read-only"), "{text}");
    drop(readers);
    let file = File::open(&image.0).expect("the image");
    let reader = FileOptions::new().from_file(file).expect("an image");
    locked(FileBackend::open(&image.0));
    drop(reader);
    FileBackend::open(&image.0).expect("an image");
}

#[test]
fn who_is_refused_leaves_no_locks() {
    let image = Image::new(&pattern(65536, 1));
    let writer = FileBackend::open(&image.0).expect("an image");
    let given = image.file();
    locked(FileOptions::new().from_file(given.try_clone().expect("a file")));
    drop(writer);
    // The open file is still there, in `given`.
    FileBackend::open(&image.0).expect("an image");
}

#[test]
fn of_those_who_come_at_the_same_time_at_most_one_gets_it() {
    let image = Image::new(&pattern(65536, 1));
    for _ in 0..100 {
        let (start, end) = (Barrier::new(3), Barrier::new(3));
        let come = || {
            start.wait();
            let mine = FileBackend::open(&image.0);
            end.wait();
            usize::from(mine.is_ok())
        };
        let got: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(come)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
        });
        assert!(got <= 1, "{got} have it");
        FileBackend::open(&image.0).expect("an image");
    }
}

#[test]
fn a_file_system_without_locks_is_used_without() {
    let answer = |error| judge(Err(io::Error::from_raw_os_error(error)), true, Path::new("a.img"));
    for error in [libc::EINVAL, libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP] {
        answer(error).expect("an image without a lock");
    }
    for error in [libc::EAGAIN, libc::EACCES] {
        assert!(matches!(answer(error), Err(OpenError::Locked { writer: true, .. })));
    }
    assert!(matches!(answer(libc::EIO), Err(OpenError::Io { .. })));
    judge(Ok(None), true, Path::new("a.img")).expect("an image");
    let held = judge(Ok(Some(Holder::Forbids)), true, Path::new("a.img"));
    assert!(matches!(held, Err(OpenError::Locked { writer: false, write: true, .. })));
}
