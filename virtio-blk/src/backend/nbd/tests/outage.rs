//! Servers that go away, and come back or not.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::server::*;
use super::{LONG, patient, pattern};
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::nbd::NbdBackend;
use crate::backend::{BlockBackend, OperationError, OperationKind, OperationResult};

const SOON: Duration = Duration::from_millis(200);

fn timed_out(result: &OperationResult) -> bool {
    matches!(result, Err(OperationError::Io(error)) if error.kind() == ErrorKind::TimedOut)
}

#[test]
fn requests_in_flight_are_done_again_however_often_the_server_goes() {
    // Every seventh request ends its connection instead of being done.
    let server = Server::behaving(Setup { flags: ALL | MULTI, ..Setup::default() }, |_, before| {
        if before.len() % 7 == 6 { Act::Last(Vec::new()) } else { Act::Serve }
    });
    for connections in [1, 2] {
        let backend = patient(&server).connections(connections).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(16).unwrap();
        let mut disk = server.disk();
        for round in 0..8u64 {
            let mut reads = Vec::new();
            for tag in 0..16u64 {
                // Reads and writes of different places, so that their order does not matter.
                let offset = ((round * 16 + tag) * 8192) as usize % (4 << 20);
                if tag % 2 == 0 {
                    let (read, at) = bench.read(tag as u16, offset as u64, 4096);
                    reads.push((at, offset));
                    queue.submit(read);
                } else {
                    let data = pattern(4096, round * 16 + tag);
                    disk[offset..offset + 4096].copy_from_slice(&data);
                    queue.submit(bench.write(tag as u16, offset as u64, &data));
                }
            }
            queue.kick();
            let mut tags: Vec<u16> = finish(&mut *queue, 16)
                .into_iter()
                .map(|completion| {
                    assert_eq!(completion.result.unwrap(), 4096);
                    completion.operation.tag()
                })
                .collect();
            tags.sort_unstable();
            assert_eq!(tags, (0..16).collect::<Vec<u16>>());
            reads.iter().for_each(|(at, offset)| assert!(bench.memory.bytes(*at, 4096) == disk[*offset..][..4096]));
        }
        assert!(server.disk() == disk);
        assert!(backend.reconnects() > 8, "{} connections broke", backend.reconnects());
    }
}

#[test]
fn a_request_without_an_answer_in_time_is_sent_again() {
    let server = Server::behaving(Setup::default(), |request, _| match request.connection {
        0 => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).timeout(SOON).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(queue.deadline().is_none());
    let begin = Instant::now();
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    assert!(queue.deadline().is_some_and(|deadline| deadline <= Instant::now() + SOON));
    assert_eq!(finish(&mut *queue, 1).pop().unwrap().result.unwrap(), 512);
    assert!(begin.elapsed() >= SOON);
    assert_eq!(backend.reconnects(), 1);
}

#[test]
fn requests_fail_when_the_server_stays_away_and_work_when_it_comes_back() {
    let server = Server::behaving(Setup::default(), |_, _| Act::Hold);
    let backend = patient(&server).reconnect(SOON).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    // One that it has, and one that comes when it is gone.
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    server.go_away(true);
    super::until(&mut *queue, "the connection is gone", || backend.reconnects() == 1);
    queue.submit(bench.write(1, 0, &[1; 512]));
    queue.kick();
    let begin = Instant::now();
    assert!(queue.deadline().is_some_and(|deadline| deadline <= begin + SOON));
    let completions = finish(&mut *queue, 2);
    assert!(completions.iter().all(|completion| timed_out(&completion.result)), "{completions:?}");
    let message = format!("{:?}", completions[0].result);
    assert!(message.contains("no connection to the NBD server in 200ms"), "{message}");

    server.behave(|_, _| Act::Serve);
    server.go_away(false);
    let limit = Instant::now() + LONG;
    while perform(&mut *queue, bench.operation(0, OperationKind::Flush, 0, &[])).is_err() {
        assert!(Instant::now() < limit, "it is never connected again");
    }
}

#[test]
fn a_request_that_the_server_always_dies_of_fails_alone() {
    let server = Server::behaving(Setup::default(), |request, _| match request.offset {
        4096 => Act::Last(Vec::new()),
        _ => Act::Serve,
    });
    let backend = patient(&server).reconnect(SOON).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(timed_out(&perform(&mut *queue, bench.read(0, 4096, 512).0)));
    assert!(backend.reconnects() > 1);
    let limit = Instant::now() + LONG;
    while perform(&mut *queue, bench.read(0, 0, 512).0).is_err() {
        assert!(Instant::now() < limit, "no other request works");
    }
}

#[test]
fn a_server_that_shuts_down_is_asked_again() {
    let server = Server::behaving(Setup::default(), |request, _| match request.connection {
        0 => Act::Error(108),
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    (0..4).for_each(|tag| queue.submit(bench.read(tag, 0, 512).0));
    queue.kick();
    assert!(finish(&mut *queue, 4).iter().all(|completion| completion.result.is_ok()));
    assert_eq!(backend.reconnects(), 1);
}

#[test]
fn blk_stable_01_a_durable_write_begins_again_when_its_flush_is_lost() {
    let flags = ALL & !FUA;
    let server = Server::behaving(Setup { flags, ..Setup::default() }, |request, _| match request {
        Request { connection: 0, command: 3, .. } => Act::Last(Vec::new()),
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    let mut write = bench.write(0, 0, &[7; 512]);
    write.kind = OperationKind::Write { durable: true };
    assert_eq!(perform(&mut *queue, write).unwrap(), 512);
    let log: Vec<_> = server.log().iter().map(|request| (request.connection, request.command)).collect();
    assert_eq!(log, [(0, WRITE), (0, 3), (1, WRITE), (1, 3)]);
}

#[test]
fn another_disk_in_place_of_the_first_is_not_used() {
    let narrower = [
        Setup { size: 1 << 20, ..Setup::default() },
        Setup { flags: ALL | READ_ONLY, ..Setup::default() },
        Setup { flags: ALL & !FLUSH, ..Setup::default() },
        Setup { flags: ALL & !TRIM, ..Setup::default() },
        Setup { blocks: Some([4096, 4096, 1 << 25]), ..Setup::default() },
    ];
    for other in narrower {
        let server = Server::new(Setup::default());
        let backend = patient(&server).reconnect(SOON).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
        server.change(other);
        server.go_away(false);
        super::until(&mut *queue, "the connection is gone", || backend.reconnects() == 1);
        let limit = Instant::now() + LONG;
        let mut told = false;
        while !told {
            let result = perform(&mut *queue, bench.operation(0, OperationKind::Flush, 0, &[]));
            assert!(timed_out(&result) && Instant::now() < limit, "{other:?}: {result:?}");
            told = format!("{result:?}").contains("another export");
        }
        assert_eq!(server.log().len(), 1);
        assert_eq!(backend.size().unwrap(), 4 << 20);
    }
}

#[test]
fn a_disk_that_has_grown_is_larger_after_a_reconnect() {
    let server = Server::new(Setup::default());
    let backend = patient(&server).connect().unwrap();
    let mut queue = backend.open_queue(8).unwrap();
    server.change(Setup { size: 8 << 20, ..Setup::default() });
    server.go_away(false);
    super::until(&mut *queue, "the disk is larger", || backend.size().unwrap() == 8 << 20);
}

#[test]
fn attempts_to_connect_become_rare() {
    let server = Server::new(Setup::default());
    let backend = patient(&server).connect().unwrap();
    let mut queue = backend.open_queue(8).unwrap();
    server.go_away(true);
    super::until(&mut *queue, "the connection is gone", || backend.reconnects() == 1);
    // From 20 ms on they come after twice as long each time, so that after a second there were no more than seven.
    let begin = Instant::now();
    let before = queue.sources_version();
    super::until(&mut *queue, "a second has passed", || begin.elapsed() > Duration::from_secs(1));
    let versions = queue.sources_version() - before;
    assert!(versions <= 40, "what is waited for has changed {versions} times in {:?}", begin.elapsed());
}

#[test]
fn connections_are_kept_when_a_queue_is_opened_again() {
    let server = Server::new(Setup::default());
    let backend = NbdBackend::connect(&server.uri()).unwrap();
    let mut bench = Bench::new();
    for _ in 0..5 {
        let mut queue = backend.open_queue(8).unwrap();
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
    }
    assert_eq!(server.connections(), 1);
    // One that is in use is not.
    server.behave(|_, _| Act::Hold);
    let mut queue = backend.open_queue(8).unwrap();
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    drop(queue);
    server.behave(|_, _| Act::Serve);
    let mut queue = backend.open_queue(8).unwrap();
    assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
    assert_eq!(server.connections(), 2);
}
