//! Operations that nobody waits for any more, and queues that go.

use std::io::Write;

use super::*;
use crate::backend::bench::{Bench, finish};
use crate::backend::uring::queue::Cancel;
use crate::backend::{OperationError, OperationResult};

fn is_cancelled(result: &OperationResult) -> bool {
    matches!(result, Err(OperationError::Io(error)) if error.raw_os_error() == Some(libc::ECANCELED))
}

/// A queue with 16 reads that hang, more than its ring takes; and what would end them.
fn hanging(bench: &mut Bench) -> (UringQueue, PipeWriter) {
    let (file, writer) = waiting();
    let mut queue = open(&shared(file, Some(4), None), 64);
    for tag in 0..16 {
        queue.submit(bench.read(tag, 0, 512).0);
    }
    queue.kick();
    assert!(now(&mut queue).is_empty());
    (queue, writer)
}

fn all_come_back(mut queue: UringQueue) {
    queue.cancel();
    queue.cancel();
    let done = finish(&mut queue, 16);
    assert!(done.iter().all(|done| is_cancelled(&done.result)));
    // Others that come later are not concerned.
    let mut bench = Bench::new();
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    assert!(now(&mut queue).is_empty());
}

#[test]
fn what_hangs_is_cancelled() {
    let mut bench = Bench::new();
    let (queue, writer) = hanging(&mut bench);
    all_come_back(queue);
    drop(writer);
}

#[test]
fn what_hangs_is_cancelled_one_by_one_by_older_kernels() {
    let mut bench = Bench::new();
    let (mut queue, writer) = hanging(&mut bench);
    queue.cancel = Cancel::Each;
    all_come_back(queue);
    drop(writer);
}

#[test]
fn one_is_cancelled_and_others_are_not() {
    let mut bench = Bench::new();
    let (mut queue, mut writer) = hanging(&mut bench);
    // One that the kernel has, one that waits for its turn, one that is not there.
    for tag in [2, 14, 40, u16::MAX] {
        queue.cancel_one(tag);
    }
    let mut done: Vec<_> = finish(&mut queue, 1);
    writer.write_all(&[1; 512 * 14]).unwrap();
    done.extend(finish(&mut queue, 15));
    for Completion { operation, result } in done {
        assert_eq!(is_cancelled(&result), [2, 14].contains(&operation.tag()), "{operation:?}: {result:?}");
    }
}

#[test]
fn a_queue_that_goes_leaves_nothing_in_flight() {
    let mut bench = Bench::new();
    let (queue, _writer) = hanging(&mut bench);
    let barrier = bench.memory.ram().replace_with(bench.memory.ram());
    bench.refresh();
    assert!(!barrier.is_complete());
    let shared = Arc::clone(queue.shared());
    drop(queue);
    assert!(barrier.is_complete());
    assert_eq!(shared.stuck.get(), 0);
}

#[test]
fn a_queue_goes_although_somebody_waits_for_its_ring() {
    let mut bench = Bench::new();
    let (queue, writer) = hanging(&mut bench);
    let wake = queue.ring.as_ref().unwrap().wake();
    drop(queue);
    // The ring's files are closed: nobody can read what is written.
    let limit = Instant::now() + Duration::from_secs(60);
    while (&writer).write_all(&[1]).is_ok() {
        assert!(Instant::now() < limit);
        std::thread::yield_now();
    }
    drop(wake);
}
