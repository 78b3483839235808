//! What moves, and what becomes of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::*;
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::uring::sys;
use crate::backend::{Operation, OperationError, OperationKind, OperationResult};

const WRITE: OperationKind = OperationKind::Write { durable: false };
const DURABLE: OperationKind = OperationKind::Write { durable: true };

/// The system's number of an error.
fn errno(result: OperationResult) -> Option<i32> {
    match result {
        Err(OperationError::Io(error)) => error.raw_os_error(),
        other => panic!("no error of the system: {other:?}"),
    }
}

#[test]
fn data_moves_between_file_and_memory() {
    let image = Image::new(&pattern(1 << 20, 1));
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    let (read, at) = bench.read(0, 4096, 8192);
    assert_eq!(perform(&mut queue, read).unwrap(), 8192);
    assert_eq!(bench.memory.bytes(at, 8192), pattern(1 << 20, 1)[4096..][..8192]);
    for (seed, kind) in [WRITE, DURABLE].into_iter().enumerate() {
        let data = pattern(12288, seed);
        let mut write = bench.write(1, 512, &data);
        write.kind = kind;
        assert_eq!(perform(&mut queue, write).unwrap(), 12288);
        assert_eq!(image.content()[512..][..12288], data);
    }
    let flush = bench.operation(2, OperationKind::Flush, 0, &[]);
    assert_eq!(perform(&mut queue, flush).unwrap(), 0);
    assert_eq!(image.content().len(), 1 << 20);
}

/// A write of `lens` pieces with gaps between them, and its data.
fn scattered(bench: &mut Bench, tag: u16, lens: &[u32], data: &[u8]) -> Box<Operation> {
    let (mut rest, mut at) = (data, Vec::new());
    for len in lens {
        let (piece, behind) = rest.split_at(*len as usize);
        let place = bench.memory.alloc(u64::from(*len) + 64, 8);
        bench.memory.write(place, piece);
        at.push((place, *len));
        rest = behind;
    }
    bench.operation(tag, WRITE, 0, &at)
}

#[test]
fn pieces_are_put_together_and_taken_apart() {
    let image = Image::new(&[0; 65536]);
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    let lens = [512, 1, 511, 4096, 3000, 72];
    let data = pattern(lens.iter().sum::<u32>() as usize, 3);
    let write = scattered(&mut bench, 0, &lens, &data);
    assert_eq!(perform(&mut queue, write).unwrap(), data.len() as u64);
    assert_eq!(image.content()[..data.len()], data);

    let to: Vec<_> = lens.iter().rev().map(|len| (bench.memory.alloc(8192, 8), *len)).collect();
    let read = bench.operation(1, OperationKind::Read, 0, &to);
    assert_eq!(perform(&mut queue, read).unwrap(), data.len() as u64);
    let seen: Vec<u8> = to.iter().flat_map(|(at, len)| bench.memory.bytes(*at, *len as usize)).collect();
    assert_eq!(seen, data);
}

#[test]
fn more_pieces_than_one_request_takes() {
    let image = Image::new(&[0; 65536]);
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    let data = pattern(3000 * 16, 4);
    let mut write = scattered(&mut bench, 0, &[16; 200], &data);
    for part in data.chunks(200 * 16).skip(1) {
        let more = scattered(&mut bench, 0, &[16; 200], part);
        assert!(write.buffers.append(&more.buffers));
    }
    assert_eq!(perform(&mut queue, write).unwrap(), data.len() as u64);
    assert_eq!(image.content()[..data.len()], data);
}

#[test]
fn short_transfers_go_on_where_they_ended() {
    let (file, mut writer) = waiting();
    let mut queue = queue(file);
    let mut bench = Bench::new();
    let at = [(bench.memory.alloc(512, 8), 300), (bench.memory.alloc(512, 8), 212)];
    queue.submit(bench.operation(0, OperationKind::Read, 0, &at));
    queue.kick();
    let data = pattern(512, 5);
    // Inside of a piece, up to its end, into the next one.
    for (from, to) in [(0, 100), (100, 300), (300, 301), (301, 512)] {
        assert!(now(&mut queue).is_empty());
        writer.write_all(&data[from..to]).unwrap();
    }
    assert_eq!(finish(&mut queue, 1).pop().unwrap().result.unwrap(), 512);
    let seen: Vec<u8> = at.iter().flat_map(|(at, len)| bench.memory.bytes(*at, *len as usize)).collect();
    assert_eq!(seen, data);
}

#[test]
fn the_end_of_the_file_is_a_short_transfer() {
    let image = Image::new(&[7; 1024]);
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    for (offset, moved) in [(0, 1024), (512, 512), (1024, 0), (4096, 0)] {
        let read = bench.read(0, offset, 2048).0;
        assert_eq!(perform(&mut queue, read).unwrap(), moved);
    }
    // As a pipe ends while it is read.
    let (file, writer) = waiting();
    let mut queue = super::queue(file);
    (&writer).write_all(&[1; 100]).unwrap();
    drop(writer);
    let read = bench.read(0, 0, 512).0;
    assert_eq!(perform(&mut queue, read).unwrap(), 100);
}

#[test]
fn a_file_that_was_cut_short_does_not_grow_again() {
    let image = Image::new(&[7; 8192]);
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    image.file().set_len(4096).unwrap();
    let zeroes = OperationKind::WriteZeroes { unmap: false, durable: true };
    for kind in [WRITE, DURABLE, zeroes, OperationKind::Discard] {
        let operation = match kind {
            WRITE | DURABLE => {
                let mut write = bench.write(0, 4096, &[8; 512]);
                write.kind = kind;
                write
            }
            _ => bench.range(0, kind, 4096, 512),
        };
        assert_eq!(perform(&mut queue, operation).unwrap(), 0, "{kind:?}");
        assert_eq!(image.content().len(), 4096, "{kind:?}");
    }
    let write = bench.write(0, 3584, &[8; 512]);
    assert_eq!(perform(&mut queue, write).unwrap(), 512);
    // Looked up again for each batch.
    image.file().set_len(2048).unwrap();
    let write = bench.write(0, 3584, &[8; 512]);
    assert_eq!(perform(&mut queue, write).unwrap(), 0);
    assert_eq!(image.content(), [7; 2048]);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    // The second has no fast way to zero a range without giving it back.
    for folder in [std::env::temp_dir().as_path(), Path::new("/dev/shm")] {
        let image = Image::under(folder, &[7; 1 << 16]);
        let mut queue = queue(image.file());
        let mut bench = Bench::new();
        let zeroes = |unmap, durable| OperationKind::WriteZeroes { unmap, durable };
        let kinds = [zeroes(false, false), zeroes(true, false), zeroes(false, true), zeroes(true, true)];
        for (offset, kind) in (0..).step_by(8192).zip(kinds) {
            let operation = bench.range(0, kind, offset + 512, 4096);
            assert_eq!(perform(&mut queue, operation).unwrap(), 4096, "{kind:?}");
            let content = image.content();
            let at = offset as usize;
            assert_eq!(content[at..][..512], [7; 512]);
            assert_eq!(content[at + 512..][..4096], [0; 4096], "{kind:?}");
            assert_eq!(content[at + 4608..][..512], [7; 512]);
        }
        let discard = bench.range(0, OperationKind::Discard, 0, 1 << 16);
        assert_eq!(perform(&mut queue, discard).unwrap(), 1 << 16);
        assert_eq!(image.content().len(), 1 << 16);
    }
}

#[test]
fn what_a_ring_cannot_do_is_done_without() {
    let image = Image::new(&[7; 4096]);
    let mut queue = queue(image.file());
    let erase = Bench::new().range(0, OperationKind::SecureErase, 0, 512);
    assert!(perform(&mut queue, erase).is_err());
    let append = Bench::new().operation(0, OperationKind::ZoneAppend { durable: false }, 0, &[]);
    assert!(matches!(perform(&mut queue, append), Err(OperationError::Unsupported)));
}

#[test]
fn errors_of_the_system_come_back() {
    let image = Image::new(&[7; 4096]);
    let mut bench = Bench::new();
    let (read, write) = (bench.read(0, 0, 512).0, bench.write(1, 0, &[1; 512]));
    let mut folder = queue(File::open(std::env::temp_dir()).unwrap());
    assert_eq!(errno(perform(&mut folder, read)), Some(libc::EISDIR));
    let mut read_only = queue(File::open(&image.0).unwrap());
    assert_eq!(errno(perform(&mut read_only, write)), Some(libc::EBADF));
    // One among others that succeed.
    let mut usual = queue(image.file());
    let mut far = bench.read(1, 0, 512).0;
    far.offset = u64::MAX;
    for operation in [bench.read(0, 0, 512).0, far, bench.read(2, 512, 512).0] {
        usual.submit(operation);
    }
    usual.kick();
    for Completion { operation, result } in finish(&mut usual, 3) {
        assert_eq!(result.is_ok(), operation.tag() != 1);
    }
}

#[test]
fn a_sync_that_failed_is_never_made_good_by_a_later_one() {
    let (_reader, writer) = io::pipe().unwrap();
    let pipe = shared(File::from(OwnedFd::from(writer)), None, None);
    let mut bench = Bench::new();
    // A pipe cannot be synced, but it can be written.
    let mut write = bench.write(0, 0, &[1; 512]);
    write.kind = DURABLE;
    assert_eq!(errno(perform(&mut open(&pipe, 8), write)), Some(libc::EINVAL));
    assert!(pipe.disk.lost.load(SeqCst));

    let image = Image::new(&[7; 4096]);
    let file = shared(image.file(), None, None);
    file.disk.lost.store(true, SeqCst);
    for kind in [OperationKind::Flush, DURABLE] {
        let mut operation = bench.write(0, 0, &[1; 512]);
        operation.kind = kind;
        assert!(perform(&mut open(&file, 8), operation).is_err(), "{kind:?}");
    }
}

#[test]
fn operations_come_back_in_any_order() {
    let (file, mut writer) = waiting();
    let mut queue = queue(file);
    let mut bench = Bench::new();
    queue.submit(bench.read(5, 0, 512).0);
    queue.submit(bench.operation(6, OperationKind::Flush, 0, &[]));
    queue.kick();
    assert_eq!(finish(&mut queue, 1)[0].operation.tag(), 6);
    assert!(now(&mut queue).is_empty());
    writer.write_all(&[1; 512]).unwrap();
    assert_eq!(finish(&mut queue, 1)[0].operation.tag(), 5);
}

#[test]
fn thousands_of_operations_go_through_a_ring_of_four() {
    let image = Image::new(&pattern(1 << 20, 6));
    let mut queue = open(&shared(image.file(), Some(4), None), 256);
    let mut bench = Bench::new();
    let mut places = Vec::new();
    for round in 0..20 {
        for tag in 0..256 {
            let (operation, at) = bench.read(tag, u64::from(tag) * 512 + round * 4096, 512);
            places.push((at, operation.offset() as usize));
            queue.submit(operation);
        }
        queue.kick();
        let mut tags: Vec<u16> = finish(&mut queue, 256).iter().map(|done| done.operation.tag()).collect();
        tags.sort_unstable();
        assert!(tags.into_iter().eq(0..256));
    }
    let content = pattern(1 << 20, 6);
    for (at, offset) in places {
        assert_eq!(bench.memory.bytes(at, 512), content[offset..][..512]);
    }
}

#[test]
fn operations_wait_for_room_behind_ones_that_hang() {
    let (file, mut writer) = waiting();
    let mut queue = open(&shared(file, Some(4), None), 64);
    let mut bench = Bench::new();
    for tag in 0..64 {
        queue.submit(bench.read(tag, 0, 512).0);
    }
    queue.kick();
    assert!(now(&mut queue).is_empty());
    let writes = std::thread::spawn(move || writer.write_all(&[1; 512 * 64]).unwrap());
    let done = finish(&mut queue, 64);
    assert!(done.iter().all(|done| matches!(done.result, Ok(512))));
    writes.join().unwrap();
}

#[test]
fn a_tag_that_is_taken_is_refused() {
    let (file, mut writer) = waiting();
    let mut queue = queue(file);
    let mut bench = Bench::new();
    queue.submit(bench.read(1, 0, 512).0);
    queue.submit(bench.read(1, 0, 512).0);
    queue.submit(bench.read(64, 0, 512).0);
    queue.kick();
    let refused = finish(&mut queue, 2);
    assert!(refused.iter().all(|done| done.result.is_err()));
    writer.write_all(&[1; 512]).unwrap();
    assert_eq!(finish(&mut queue, 1)[0].result.as_ref().ok(), Some(&512));
}

#[test]
fn the_task_is_woken_for_what_completes_later() {
    let (file, mut writer) = waiting();
    let mut queue = queue(file);
    let mut bench = Bench::new();
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    let wake = queue.ring.as_ref().unwrap().wake();
    assert!(!sys::wait(&*wake, Duration::ZERO));
    assert_eq!(queue.deadline(), None);
    let write = std::thread::spawn(move || writer.write_all(&[1; 512]).unwrap());
    assert!(sys::wait(&*wake, Duration::from_secs(60)));
    assert_eq!(now(&mut queue), [0u16]);
    assert!(!sys::wait(&*wake, Duration::ZERO));
    write.join().unwrap();
}

#[test]
fn no_more_come_back_at_once_than_were_asked_for() {
    let image = Image::new(&[7; 4096]);
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    for tag in 0..8 {
        queue.submit(bench.read(tag, 0, 512).0);
    }
    // These are not done by the ring.
    for tag in 8..16 {
        queue.submit(bench.operation(tag, OperationKind::ZoneResetAll, 0, &[]));
    }
    queue.kick();
    let mut all = Vec::new();
    let limit = Instant::now() + Duration::from_secs(60);
    while all.len() < 16 {
        assert!(Instant::now() < limit);
        let before = all.len();
        queue.completions(3, &mut |done| all.push(done.operation.tag()));
        assert!(all.len() <= before + 3);
        let wake = queue.ring.as_ref().unwrap().wake();
        let more = queue.deadline().is_some() || sys::wait(&*wake, Duration::ZERO);
        assert!(all.len() == 16 || more, "the task is run again");
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..16));
}

#[test]
fn nothing_is_left_of_a_pipe_that_was_read() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut queue = queue(File::from(OwnedFd::from(writer)));
    let write = Bench::new().write(0, 0, &pattern(4096, 9));
    assert_eq!(perform(&mut queue, write).unwrap(), 4096);
    drop(queue);
    let mut seen = Vec::new();
    // Ends only when the ring has let go of its files.
    reader.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, pattern(4096, 9));
}
