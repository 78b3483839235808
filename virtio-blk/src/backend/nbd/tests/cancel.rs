//! Operations that nobody waits for any more.

use std::io::ErrorKind;

use super::patient;
use super::server::*;
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::{BlockBackend, OperationError, OperationResult};

fn cancelled(result: &OperationResult) -> bool {
    matches!(result, Err(OperationError::Io(error)) if error.kind() == ErrorKind::Interrupted)
}

#[test]
fn all_that_is_in_flight_comes_back_at_once_and_is_left_alone() {
    let server = Server::behaving(Setup::default(), |request, _| match request.offset {
        0 => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(64).unwrap();
    let reads: Vec<_> = (0..32).map(|tag| bench.read(tag, 0, 4096)).collect();
    let at: Vec<u64> = reads.iter().map(|(_, at)| *at).collect();
    reads.into_iter().for_each(|(read, _)| queue.submit(read));
    queue.kick();
    super::until(&mut *queue, "all are at the server", || server.held() == 32);
    queue.cancel();
    let mut done = Vec::new();
    queue.completions(64, &mut |completion| done.push(completion));
    assert_eq!(done.len(), 32);
    assert!(done.iter().all(|completion| cancelled(&completion.result)));
    // The replies come after all; the connection goes on.
    server.let_go();
    let (read, place) = bench.read(0, 8192, 4096);
    assert_eq!(perform(&mut *queue, read).unwrap(), 4096);
    assert!(bench.memory.bytes(place, 4096) == server.disk()[8192..8192 + 4096]);
    assert!(at.iter().all(|at| bench.memory.bytes(*at, 4096) == [0; 4096]), "memory was written after a cancel");
    assert_eq!((backend.reconnects(), server.connections()), (0, 1));
}

#[test]
fn one_operation_is_cancelled_and_the_others_go_on() {
    let server = Server::behaving(Setup::default(), |_, _| Act::Hold);
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    (0..4).for_each(|tag| queue.submit(bench.read(tag, 0, 512).0));
    queue.kick();
    super::until(&mut *queue, "all are at the server", || server.held() == 4);
    queue.cancel_one(2);
    queue.cancel_one(7);
    let mut done = finish(&mut *queue, 1);
    assert!(done[0].operation.tag() == 2 && cancelled(&done[0].result));
    server.let_go();
    done.extend(finish(&mut *queue, 3));
    assert!(done[1..].iter().all(|completion| completion.result.is_ok()));
    assert_eq!(backend.reconnects(), 0);
}

#[test]
fn what_was_not_sent_yet_is_cancelled_too() {
    let server = Server::new(Setup::default());
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    queue.submit(bench.write(0, 0, &[1; 512]));
    queue.cancel();
    assert!(cancelled(&finish(&mut *queue, 1)[0].result));
    server.go_away(true);
    super::until(&mut *queue, "the connection is gone", || backend.reconnects() == 1);
    queue.submit(bench.write(0, 0, &[1; 512]));
    queue.kick();
    queue.cancel();
    assert!(cancelled(&finish(&mut *queue, 1)[0].result));
    server.go_away(false);
    assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
    assert!(server.log().iter().all(|request| request.command == READ));
}

/// Else an old write could undo a new one: servers may do requests in any order.
#[test]
fn a_write_waits_for_a_cancelled_one_of_the_same_place() {
    let server = Server::behaving(Setup::default(), |_, before| match before.len() {
        0 => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    queue.submit(bench.write(0, 0, &[1; 1024]));
    queue.kick();
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    queue.cancel();
    assert!(cancelled(&finish(&mut *queue, 1)[0].result));
    // Elsewhere, or only to read, nothing is in the way.
    assert!(perform(&mut *queue, bench.write(1, 1024, &[3; 512])).is_ok());
    assert!(perform(&mut *queue, bench.read(1, 0, 512).0).is_ok());
    queue.submit(bench.write(2, 512, &[2; 512]));
    queue.kick();
    for _ in 0..1000 {
        queue.completions(8, &mut |completion| panic!("{completion:?} before the one that was cancelled"));
    }
    assert!(!server.log().iter().any(|request| request.offset == 512));
    server.let_go();
    assert_eq!(finish(&mut *queue, 1).pop().unwrap().result.unwrap(), 512);
    assert_eq!(server.disk()[..1536], [[1; 512], [2; 512], [3; 512]].concat());
}

#[test]
fn a_request_that_is_half_sent_ends_the_connection() {
    let server = Server::new(Setup { size: 32 << 20, ..Setup::default() });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    server.be_deaf(true);
    queue.submit(bench.write(0, 0, &vec![1; 32 << 20]));
    queue.kick();
    super::until(&mut *queue, "it is at the server", || !server.log().is_empty());
    queue.cancel();
    assert!(cancelled(&finish(&mut *queue, 1)[0].result));
    assert_eq!(backend.reconnects(), 1);
    server.be_deaf(false);
    assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
}

#[test]
fn a_queue_is_dropped_with_operations_in_flight() {
    let server = Server::behaving(Setup::default(), |_, _| Act::Hold);
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    let (read, at) = bench.read(0, 0, 512);
    queue.submit(read);
    queue.submit(bench.write(1, 0, &[1; 512]));
    queue.kick();
    super::until(&mut *queue, "all are at the server", || server.held() == 2);
    drop(queue);
    server.let_go();
    assert_eq!(bench.memory.bytes(at, 512), [0; 512]);
}
