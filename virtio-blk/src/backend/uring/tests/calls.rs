//! What the kernel is given, and by how many calls.

use super::*;
use crate::backend::bench::{Bench, finish};
use crate::backend::uring::shared::Stuck;
use crate::backend::uring::sys::{Finished, Request, Ring, Target};
use crate::backend::{BlockBackend, OperationKind};
use crate::{FileBackend, UringBackend};

fn lent(queue: &UringQueue) -> u32 {
    queue.ring.as_ref().unwrap().lent()
}

#[test]
fn flushes_discards_and_zeroes_of_files_are_with_the_kernel() {
    let image = Image::new(&pattern(65536, 1));
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    let mut kinds = vec![OperationKind::Flush];
    if queue.ring.as_ref().unwrap().allocates() {
        kinds.push(OperationKind::Discard);
        kinds.extend([false, true].map(|unmap| OperationKind::WriteZeroes { unmap, durable: false }));
    }
    for kind in kinds {
        let len = if kind == OperationKind::Flush { 0 } else { 4096 };
        queue.submit(bench.range(0, kind, 0, len));
        queue.kick();
        assert_eq!(lent(&queue), 1, "{kind:?}");
        assert_eq!(finish(&mut queue, 1).pop().unwrap().result.unwrap(), len);
        assert_eq!(lent(&queue), 0);
    }
}

#[test]
fn a_batch_is_one_call() {
    let image = Image::new(&pattern(65536, 1));
    let mut queue = queue(image.file());
    let mut bench = Bench::new();
    for round in 1..4 {
        (0..32).for_each(|tag| queue.submit(bench.read(tag, u64::from(tag) * 512, 512).0));
        let before = queue.ring.as_ref().unwrap().entered();
        queue.kick();
        assert_eq!((queue.ring.as_ref().unwrap().entered() - before, lent(&queue)), (1, 32), "batch {round}");
        assert!(finish(&mut queue, 32).into_iter().all(|completion| completion.result.unwrap() == 512));
    }
}

#[test]
fn files_are_the_rings_own() {
    let image = Image::new(&pattern(4096, 1));
    let file = image.file();
    let mut ring = Ring::open([&file, &file], 8, 8, &Way::ALL, Stuck::default()).unwrap();
    // Nobody else has it open any more.
    drop(file);
    let mut bench = Bench::new();
    for target in [Target::Main, Target::Buffered] {
        let (read, at) = bench.read(0, 512, 1024);
        assert!(ring.insert(read).is_ok());
        assert!(ring.push(0, Request::Transfer { target, done: 0 }).unwrap());
        let limit = Instant::now() + Duration::from_secs(60);
        let finished = loop {
            ring.enter().unwrap();
            if let Some(finished) = ring.next() {
                break finished;
            }
            assert!(Instant::now() < limit, "waiting in vain");
        };
        assert_eq!(finished, Finished::Request { tag: 0, result: 1024 });
        assert!(ring.take(0).is_some());
        assert_eq!(bench.memory.bytes(at, 1024), pattern(4096, 1)[512..1536]);
    }
}

#[test]
fn memory_is_registered_only_where_that_was_asked_for() {
    let image = Image::new(&pattern(4096, 1));
    let bench = Bench::new();
    let ram = bench.memory.ram();
    let plain = UringBackend::new(FileBackend::open(&image.0).unwrap());
    let queue = plain.open_queue(64).unwrap();
    assert!(plain.is_uring() && !ram.discards_inhibited());
    drop((queue, plain));
    let (file, mut writer) = waiting();
    let mut plain = self::queue(file);
    let mut other = Bench::new();
    plain.submit(other.read(0, 0, 512).0);
    plain.kick();
    assert_eq!((lent(&plain), plain.ring.as_ref().unwrap().registered()), (1, 0));
    std::io::Write::write_all(&mut writer, &[1; 512]).unwrap();
    finish(&mut plain, 1);

    let fixed = UringBackend::builder(FileBackend::open(&image.0).unwrap()).fixed_buffers(ram.clone()).build();
    let queue = fixed.open_queue(64).unwrap();
    assert!(fixed.is_uring() && ram.discards_inhibited());
    drop(queue);
    assert!(!ram.discards_inhibited());
}
