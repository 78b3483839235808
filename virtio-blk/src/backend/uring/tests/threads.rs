//! Queues that are used on another thread than the one that opened them.

use std::io::Write;

use super::*;
use crate::backend::bench::{Bench, finish, perform};

/// A queue that a thread opened which has ended, with reads that hang.
fn abandoned(bench: &mut Bench, tags: std::ops::Range<u16>) -> (UringQueue, PipeWriter) {
    let (file, writer) = waiting();
    let reads: Vec<_> = tags.map(|tag| bench.read(tag, 0, 512).0).collect();
    let opener = std::thread::spawn(move || {
        let mut queue = open(&shared(file, None, None), 64);
        reads.into_iter().for_each(|read| queue.submit(read));
        queue.kick();
        queue
    });
    (opener.join().unwrap(), writer)
}

#[test]
fn operations_go_on_with_another_ring() {
    let mut bench = Bench::new();
    let (mut queue, mut writer) = abandoned(&mut bench, 0..4);
    let version = queue.sources_version();
    queue.submit(bench.read(4, 0, 512).0);
    queue.kick();
    assert_ne!(queue.sources_version(), version, "the task waits for the other ring");
    writer.write_all(&[1; 512 * 5]).unwrap();
    let mut done: Vec<_> = finish(&mut queue, 5);
    done.sort_unstable_by_key(|done| done.operation.tag());
    assert!(done.iter().map(|done| done.operation.tag()).eq(0..5));
    assert!(done.iter().all(|done| matches!(done.result, Ok(512))), "{done:?}");
}

#[test]
fn they_go_on_while_the_first_thread_lives() {
    let (file, mut writer) = waiting();
    let mut bench = Bench::new();
    let mut queue = open(&shared(file, None, None), 64);
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    let next = bench.read(1, 0, 512).0;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            queue.submit(next);
            queue.kick();
            writer.write_all(&[1; 1024]).unwrap();
            let done = finish(&mut queue, 2);
            assert!(done.iter().all(|done| matches!(done.result, Ok(512))), "{done:?}");
        });
    });
}

#[test]
fn they_are_cancelled_on_another_thread() {
    let mut bench = Bench::new();
    let (mut queue, _writer) = abandoned(&mut bench, 0..4);
    queue.cancel();
    assert!(finish(&mut queue, 4).iter().all(|done| done.result.is_err()));
}

#[test]
fn a_queue_goes_on_another_thread() {
    let mut bench = Bench::new();
    let (queue, _writer) = abandoned(&mut bench, 0..4);
    let shared = Arc::clone(queue.shared());
    let barrier = bench.memory.ram().replace_with(bench.memory.ram());
    bench.refresh();
    drop(queue);
    assert!(barrier.wait(Duration::from_secs(60)));
    let limit = Instant::now() + Duration::from_secs(60);
    while shared.stuck.get() != 0 {
        assert!(Instant::now() < limit);
        std::thread::yield_now();
    }
}

#[test]
fn a_queue_is_opened_on_one_thread_and_used_on_another() {
    let image = Image::new(&pattern(4096, 1));
    let file = image.file();
    let mut queue = std::thread::spawn(move || queue(file)).join().unwrap();
    let mut bench = Bench::new();
    let (read, at) = bench.read(0, 512, 512);
    assert_eq!(perform(&mut queue, read).unwrap(), 512);
    assert_eq!(bench.memory.bytes(at, 512), pattern(4096, 1)[512..1024]);
    assert!(queue.ring.is_some());
}
