//! What was acknowledged and not flushed when a connection breaks.

use super::patient;
use super::server::*;
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::{BlockBackend, BlockQueue, Operation, OperationKind};

const LOST: &str = "what was not flushed then may be lost";

fn flush(bench: &mut Bench) -> Box<Operation> {
    bench.operation(7, OperationKind::Flush, 0, &[])
}

/// Whether a flush succeeds. It may fail for no other reason than this one.
fn flushes(queue: &mut dyn BlockQueue, bench: &mut Bench) -> bool {
    let result = perform(queue, flush(bench));
    assert!(result.as_ref().err().is_none_or(|error| error.to_string().contains(LOST)), "{result:?}");
    result.is_ok()
}

#[test]
fn blk_stable_01_flushes_fail_when_what_was_not_flushed_may_be_lost() {
    let kinds = [
        OperationKind::Write { durable: false },
        OperationKind::WriteZeroes { unmap: false, durable: false },
        OperationKind::Discard,
    ];
    for kind in kinds {
        for survives in [false, true] {
            let server = Server::new(Setup::default());
            let backend = patient(&server).cache_survives(survives).connect().unwrap();
            let mut bench = Bench::new();
            let mut queue = backend.open_queue(8).unwrap();
            // With what was flushed nothing is wrong.
            assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_ok());
            assert!(flushes(&mut *queue, &mut bench));
            server.crash();
            assert!(flushes(&mut *queue, &mut bench));
            assert_eq!(server.disk()[..512], [1; 512]);

            let change = match kind {
                OperationKind::Write { .. } => bench.write(0, 0, &[2; 512]),
                _ => bench.range(0, kind, 0, 512),
            };
            assert!(perform(&mut *queue, change).is_ok());
            assert_ne!(server.disk()[..512], [1; 512]);
            server.crash();
            // Every one, also with nothing that was written since.
            assert!((0..3).all(|_| flushes(&mut *queue, &mut bench) == survives), "{kind:?}");
            assert_eq!(server.disk()[..512], [1; 512]);
            // A queue that is opened later is told as well.
            drop(queue);
            let mut queue = backend.open_queue(8).unwrap();
            assert_eq!(flushes(&mut *queue, &mut bench), survives);
            // What promises nothing but itself goes on.
            let (read, at) = bench.read(0, 0, 512);
            assert!(perform(&mut *queue, read).is_ok());
            assert_eq!(bench.memory.bytes(at, 512), [1; 512]);
            let mut write = bench.write(0, 0, &[3; 512]);
            write.kind = OperationKind::Write { durable: true };
            assert!(perform(&mut *queue, write).is_ok());
            server.crash();
            assert_eq!(server.disk()[..512], [3; 512]);
            assert_eq!(flushes(&mut *queue, &mut bench), survives);
        }
    }
}

#[test]
fn blk_stable_01_what_is_durable_by_itself_is_not_lost() {
    for flags in [ALL, ALL & !FUA] {
        let server = Server::new(Setup { flags, ..Setup::default() });
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        let mut write = bench.write(0, 0, &[1; 512]);
        write.kind = OperationKind::Write { durable: true };
        assert!(perform(&mut *queue, write).is_ok());
        let zeroes = OperationKind::WriteZeroes { unmap: true, durable: true };
        assert!(perform(&mut *queue, bench.range(0, zeroes, 512, 512)).is_ok());
        server.crash();
        assert_eq!(server.disk()[..1024], [[1; 512], [0; 512]].concat());
        assert!(flushes(&mut *queue, &mut bench));
        // The flush behind a durable write covers those before it; FUA does not.
        assert!(perform(&mut *queue, bench.write(0, 1024, &[2; 512])).is_ok());
        let mut write = bench.write(0, 0, &[3; 512]);
        write.kind = OperationKind::Write { durable: true };
        assert!(perform(&mut *queue, write).is_ok());
        server.crash();
        let covered = flags & FUA == 0;
        assert_eq!(server.disk()[1024..1536] == [2; 512], covered);
        assert_eq!(flushes(&mut *queue, &mut bench), covered);
    }
}

#[test]
fn without_flush_of_the_server_all_that_was_written_counts_as_stable() {
    let server = Server::new(Setup { flags: ALL & !FLUSH, ..Setup::default() });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_ok());
    server.go_away(false);
    super::until(&mut *queue, "the connection is gone", || backend.reconnects() == 1);
    assert!(flushes(&mut *queue, &mut bench));
}

#[test]
fn a_flush_does_not_cover_what_was_acknowledged_after_it_was_sent() {
    let server = Server::behaving(Setup::default(), |request, before| match request.command {
        3 if before.is_empty() => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    queue.submit(flush(&mut bench));
    queue.kick();
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_ok());
    server.let_go();
    assert!(finish(&mut *queue, 1)[0].result.is_ok());
    server.go_away(false);
    assert!(!flushes(&mut *queue, &mut bench));
}

#[test]
fn a_flush_that_is_in_flight_when_the_server_dies_fails() {
    let server = Server::behaving(Setup::default(), |request, _| match (request.connection, request.command) {
        (0, 3) => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_ok());
    queue.submit(flush(&mut bench));
    queue.kick();
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    server.crash();
    let completion = finish(&mut *queue, 1).pop().unwrap();
    assert!(completion.result.unwrap_err().to_string().contains(LOST));
    // It was asked for nevertheless: what is there becomes stable.
    assert!(server.log().iter().any(|request| (request.connection, request.command) == (1, 3)));
}

#[test]
fn queues_and_connections_have_one_cache() {
    let server = Server::new(Setup { flags: ALL | MULTI, ..Setup::default() });
    for flushed in [true, false] {
        let backend = patient(&server).connections(2).connect().unwrap();
        let mut bench = Bench::new();
        let [mut writes, mut flushing] = [(); 2].map(|()| backend.open_queue(8).unwrap());
        assert!(perform(&mut *writes, bench.write(0, 0, &[1; 512])).is_ok());
        assert!(!flushed || flushes(&mut *flushing, &mut bench));
        server.crash();
        super::until(&mut *writes, "its connections are gone", || backend.reconnects() >= 1);
        for queue in [&mut flushing, &mut writes] {
            assert_eq!(flushes(&mut **queue, &mut bench), flushed);
        }
    }
}

#[test]
fn a_connection_that_is_given_up_counts() {
    let setup = Setup { size: 32 << 20, ..Setup::default() };
    let large = |bench: &mut Bench| bench.write(0, 0, &vec![1; 32 << 20]);
    for (dirty, dropped) in [(false, false), (true, false), (false, true), (true, true)] {
        let server = Server::new(setup);
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_ok());
        assert!(dirty || flushes(&mut *queue, &mut bench));
        server.be_deaf(true);
        queue.submit(large(&mut bench));
        queue.kick();
        if dropped {
            drop(queue);
            queue = backend.open_queue(8).unwrap();
        } else {
            queue.cancel();
            assert!(finish(&mut *queue, 1)[0].result.is_err());
        }
        server.be_deaf(false);
        assert_eq!(flushes(&mut *queue, &mut bench), !dirty);
    }
    // One that is left over while others go on is not.
    let server = Server::new(Setup { flags: ALL | MULTI, ..setup });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queues = [(); 3].map(|()| backend.open_queue(8).unwrap());
    assert!(queues.iter_mut().all(|queue| perform(&mut **queue, bench.write(0, 0, &[1; 512])).is_ok()));
    assert_eq!(server.connections(), 3);
    drop(queues);
    let mut queue = backend.open_queue(8).unwrap();
    assert!(flushes(&mut *queue, &mut bench));
}
