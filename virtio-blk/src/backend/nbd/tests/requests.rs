//! What a server that is well is asked for, and what comes of it.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use super::server::*;
use super::{patient, pattern};
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::nbd::jobs::Jobs;
use crate::backend::{BlockBackend, Capabilities, OperationError, OperationKind};

/// Each kind of server that speaks another dialect.
fn dialects() -> Vec<Setup> {
    let all = [(true, true), (true, false), (false, true), (false, false)];
    all.map(|(structured, go)| Setup { structured, go, ..Setup::default() }).to_vec()
}

#[test]
fn blk_op_09_all_kinds_of_requests_do_what_they_should() {
    for setup in dialects() {
        let server = Server::new(setup);
        let mut bench = Bench::new();
        let mut queue = patient(&server).connect().unwrap().open_queue(8).unwrap();
        let mut disk = server.disk();

        let data = pattern(65536, 7);
        assert_eq!(perform(&mut *queue, bench.write(0, 4096, &data)).unwrap(), 65536);
        disk[4096..4096 + 65536].copy_from_slice(&data);
        let flush = bench.operation(1, OperationKind::Flush, 0, &[]);
        assert!(perform(&mut *queue, flush).is_ok());
        let discard = bench.range(2, OperationKind::Discard, 8192, 4096);
        assert_eq!(perform(&mut *queue, discard).unwrap(), 4096);
        disk[8192..8192 + 4096].fill(0);
        for (unmap, offset) in [(false, 1 << 20), (true, 2 << 20)] {
            let kind = OperationKind::WriteZeroes { unmap, durable: false };
            assert_eq!(perform(&mut *queue, bench.range(3, kind, offset, 512)).unwrap(), 512);
            disk[offset as usize..offset as usize + 512].fill(0);
        }
        assert!(server.disk() == disk);
        let (read, at) = bench.read(4, 512, 1 << 20);
        assert_eq!(perform(&mut *queue, read).unwrap(), 1 << 20);
        assert!(bench.memory.bytes(at, 1 << 20) == disk[512..512 + (1 << 20)]);
        // The block may become a hole only where it may be unmapped.
        let zeroes: Vec<u16> = server.log().iter().filter(|request| request.command == 6).map(|r| r.flags).collect();
        assert_eq!(zeroes, [2, 0]);
        assert_eq!(server.connections(), 1);
    }
}

#[test]
fn memory_in_pieces_is_filled_in_order_from_replies_out_of_order() {
    let server = Server::behaving(Setup::default(), |_, _| Act::Chunks);
    let mut bench = Bench::new();
    let mut queue = patient(&server).connect().unwrap().open_queue(8).unwrap();
    let at = bench.memory.alloc(1 << 20, 4096);
    bench.memory.write(at, &[0xee; 1 << 16]);
    let pieces = [(at + 40_000, 1), (at, 511), (at + 10_000, 20_000), (at + 700, 9 * 512 - 500)];
    let total: usize = pieces.iter().map(|(_, len)| *len as usize).sum();
    let read = bench.operation(0, OperationKind::Read, 1024, &pieces);
    assert_eq!(read.len(), total as u64);
    // Not whole sectors, which does no harm here.
    assert_eq!(perform(&mut *queue, read).unwrap(), total as u64);
    let got: Vec<u8> = pieces.iter().flat_map(|(at, len)| bench.memory.bytes(*at, *len as usize)).collect();
    assert!(got == server.disk()[1024..1024 + total]);
    assert_eq!(bench.memory.bytes(at + 511, 1), [0xee]);
    assert_eq!(bench.memory.bytes(at + 40_001, 1), [0xee]);
}

#[test]
fn requests_are_in_flight_together() {
    // It answers the first only when it has had the last.
    let server = Server::behaving(Setup::default(), |_, _| Act::Hold);
    let mut bench = Bench::new();
    let mut queue = patient(&server).connect().unwrap().open_queue(32).unwrap();
    let reads: Vec<_> = (0..32).map(|tag| bench.read(tag, u64::from(tag) * 4096, 4096)).collect();
    let at: Vec<u64> = reads.iter().map(|(_, at)| *at).collect();
    reads.into_iter().for_each(|(read, _)| queue.submit(read));
    queue.kick();
    super::until(&mut *queue, "32 requests are at the server", || server.held() == 32);
    server.let_go();
    for completion in finish(&mut *queue, 32) {
        assert_eq!(completion.result.unwrap(), 4096);
        let tag = usize::from(completion.operation.tag());
        assert!(bench.memory.bytes(at[tag], 4096) == server.disk()[tag * 4096..][..4096]);
    }
}

#[test]
fn long_operations_are_cut_to_what_the_server_takes() {
    let server = Server::new(Setup { blocks: Some([1, 4096, 65536 + 512]), ..Setup::default() });
    let mut bench = Bench::new();
    let mut queue = patient(&server).connect().unwrap().open_queue(8).unwrap();
    let data = pattern(3 << 20, 3);
    assert_eq!(perform(&mut *queue, bench.write(0, 512, &data)).unwrap(), 3 << 20);
    let (read, at) = bench.read(0, 512, 3 << 20);
    assert_eq!(perform(&mut *queue, read).unwrap(), 3 << 20);
    assert!(bench.memory.bytes(at, 3 << 20) == data);
    assert!(server.disk()[512..512 + (3 << 20)] == data);
    let lengths: Vec<u32> = server.log().iter().map(|request| request.len).collect();
    assert_eq!(lengths.iter().max(), Some(&(65536 + 512)));
    assert_eq!(lengths.len(), 2 * (3usize << 20).div_ceil(65536 + 512));
}

#[test]
fn blocks_of_the_server_are_read_whole_and_not_written_in_part() {
    let server = Server::new(Setup { blocks: Some([4096, 4096, 8192]), size: (1 << 20) + 512, ..Setup::default() });
    let backend = patient(&server).connect().unwrap();
    assert_eq!(backend.capabilities().block_size, 4096);
    assert_eq!(backend.size().unwrap(), 1 << 20);
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    for (offset, len) in [(512, 512), (3584, 1024), (4096, 4096), (512, 40_960), (1 << 19, 512)] {
        let (read, at) = bench.read(0, offset, len);
        assert_eq!(perform(&mut *queue, read).unwrap(), u64::from(len));
        assert!(bench.memory.bytes(at, len as usize) == server.disk()[offset as usize..][..len as usize]);
    }
    assert!(server.log().iter().all(|request| request.offset % 4096 == 0 && request.len % 4096 == 0));
    let before = server.disk();
    for (offset, len) in [(512, 4096), (4096, 512)] {
        let result = perform(&mut *queue, bench.write(0, offset, &vec![1; len]));
        assert!(matches!(result, Err(OperationError::Io(error)) if error.kind() == ErrorKind::InvalidInput));
        let kind = OperationKind::WriteZeroes { unmap: true, durable: false };
        assert!(perform(&mut *queue, bench.range(0, kind, offset, len as u64)).is_err());
    }
    assert!(server.disk() == before);
    // Discarding is a hint, which holds for whole blocks.
    let discard = bench.range(0, OperationKind::Discard, 3584, 8192);
    assert_eq!(perform(&mut *queue, discard).unwrap(), 8192);
    let discard = bench.range(0, OperationKind::Discard, 512, 4096);
    assert_eq!(perform(&mut *queue, discard).unwrap(), 4096);
    let trims: Vec<_> = server.log().into_iter().filter(|request| request.command == 4).collect();
    assert_eq!(trims.iter().map(|trim| (trim.offset, trim.len)).collect::<Vec<_>>(), [(4096, 4096)]);
}

#[test]
fn blk_stable_01_durable_writes_are_on_stable_storage() {
    let kinds = [OperationKind::Write { durable: true }, OperationKind::WriteZeroes { unmap: false, durable: true }];
    // Flags of the write, and whether a flush follows.
    for (flags, fua, flush) in [(ALL, 1, false), (ALL & !FUA, 0, true), (ALL & !FUA & !FLUSH, 0, false)] {
        for kind in kinds {
            let server = Server::new(Setup { flags, ..Setup::default() });
            let mut bench = Bench::new();
            let mut queue = patient(&server).connect().unwrap().open_queue(8).unwrap();
            let mut operation = match kind {
                OperationKind::Write { .. } => bench.write(0, 0, &[1; 512]),
                _ => bench.range(0, kind, 0, 512),
            };
            operation.kind = kind;
            assert_eq!(perform(&mut *queue, operation).unwrap(), 512);
            let log = server.log();
            assert_eq!(log[0].flags & 1, fua);
            assert_eq!(log.len() == 2 && log[1].command == 3, flush);
            let flush = bench.operation(0, OperationKind::Flush, 0, &[]);
            assert!(perform(&mut *queue, flush).is_ok());
        }
    }
}

#[test]
fn a_request_that_fails_leaves_the_others_alone() {
    for structured in [true, false] {
        let behaviour = |request: &Request, _: &[Request]| match (request.offset, request.command) {
            (0, _) => Act::Error(5),
            (512, _) => Act::Error(28),
            (1024, 4) => Act::Error(95),
            _ => Act::Serve,
        };
        let server = Server::behaving(Setup { structured, ..Setup::default() }, behaviour);
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        let operations = [
            bench.read(0, 0, 512).0,
            bench.write(1, 512, &[1; 512]),
            bench.range(2, OperationKind::Discard, 1024, 512),
            bench.read(3, 2048, 4096).0,
            bench.write(4, 8192, &[1; 512]),
        ];
        operations.into_iter().for_each(|operation| queue.submit(operation));
        queue.kick();
        for completion in finish(&mut *queue, 5) {
            match (completion.operation.tag(), completion.result) {
                (0, Err(OperationError::Io(_))) | (2, Err(OperationError::Unsupported)) => {}
                (1, Err(OperationError::Io(error))) => assert_eq!(error.kind(), ErrorKind::StorageFull),
                (3, Ok(4096)) | (4, Ok(512)) => {}
                (tag, result) => panic!("{tag}: {result:?}"),
            }
        }
        assert_eq!(backend.reconnects(), 0);
    }
}

#[test]
fn a_disk_can_do_what_its_server_can() {
    let of = |setup| patient(&Server::new(setup)).connect().unwrap().capabilities();
    let usual = of(Setup::default());
    assert!(usual.discard.is_some() && usual.write_zeroes.is_some() && usual.zeroes_may_unmap && usual.merge);
    assert_eq!((usual.max_queues, usual.read_only, usual.block_size), (1, false, 512));
    let Capabilities { discard, write_zeroes, zeroes_may_unmap, .. } = of(Setup { flags: 1, ..Setup::default() });
    assert!(discard.is_none() && write_zeroes.is_none() && !zeroes_may_unmap);
    // Without the bit that says that there are flags.
    assert!(!of(Setup { flags: READ_ONLY, ..Setup::default() }).read_only);
    assert_eq!(of(Setup { flags: ALL | MULTI, ..Setup::default() }).max_queues, u16::MAX);
    let topology = of(Setup { blocks: Some([512, 65536, 1 << 20]), ..Setup::default() }).topology.unwrap();
    assert_eq!((topology.physical_block_exp, topology.min_io_size), (7, 128));
}

#[test]
fn blk_op_04_a_read_only_disk_is_not_written() {
    for (flags, read_only) in [(ALL | READ_ONLY, false), (ALL, true)] {
        let server = Server::new(Setup { flags, ..Setup::default() });
        let backend = patient(&server).read_only(read_only).connect().unwrap();
        assert!(backend.capabilities().read_only);
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        assert!(perform(&mut *queue, bench.write(0, 0, &[1; 512])).is_err());
        assert!(perform(&mut *queue, bench.range(0, OperationKind::Discard, 0, 512)).is_err());
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
        assert!(server.log().iter().all(|request| request.command == READ));
    }
}

#[test]
fn several_connections_are_used_where_the_server_allows_them() {
    for (flags, expected) in [(ALL | MULTI, 3), (ALL, 1)] {
        let server = Server::new(Setup { flags, ..Setup::default() });
        let backend = patient(&server).connections(3).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(32).unwrap();
        let limit = Instant::now() + super::LONG;
        let mut used = HashSet::new();
        while used.len() < expected {
            assert!(Instant::now() < limit, "{used:?} of {expected} connections are used");
            (0..8).for_each(|tag| queue.submit(bench.range(tag, OperationKind::Discard, u64::from(tag) * 512, 512)));
            queue.kick();
            assert!(finish(&mut *queue, 8).iter().all(|completion| completion.result.is_ok()));
            used = server.log().iter().map(|request| request.connection).collect();
        }
        assert_eq!(server.connections(), expected);
    }
}

#[test]
fn a_request_that_takes_long_keeps_no_others_in_memory() {
    let server = Server::behaving(Setup::default(), |_, before| match before.len() {
        0 => Act::Hold,
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let (mut bench, mut buffer, limit) = (Bench::new(), vec![0; 4096], Instant::now() + super::LONG);
    let mut connection = backend.shared.take_spare().unwrap();
    let mut jobs = Jobs::new(8, backend.shared.export, false, Arc::clone(&backend.shared.cache), super::LONG);
    for round in 0..3000 {
        jobs.submit(bench.operation(u16::from(round > 0), OperationKind::Flush, 0, &[]), None);
        let part = jobs.next().unwrap();
        jobs.take(&part);
        connection.begin(part, Instant::now(), &mut jobs).unwrap();
        assert!(connection.send(&mut jobs).unwrap());
        while round > 0 && jobs.pop_finished().is_none() {
            assert!(Instant::now() < limit, "no answer in round {round}");
            connection.receive(&mut jobs, &mut buffer).unwrap();
        }
        connection.check(Instant::now(), super::LONG).unwrap();
    }
    assert_eq!((connection.load(), jobs.tags()), (1, vec![0]));
    assert!(connection.remembered() <= 1024, "{} requests are remembered", connection.remembered());
}

#[test]
fn what_cannot_be_asked_for_comes_back() {
    let server = Server::new(Setup::default());
    let mut bench = Bench::new();
    let mut queue = patient(&server).connect().unwrap().open_queue(2).unwrap();
    for kind in [OperationKind::SecureErase, OperationKind::ZoneResetAll] {
        let result = perform(&mut *queue, bench.range(0, kind, 0, 512));
        assert!(matches!(result, Err(OperationError::Unsupported)));
    }
    // Ranges that no disk has, a tag that is too large, and one that is in use.
    for offset in [u64::MAX - 511, u64::MAX] {
        assert!(perform(&mut *queue, bench.range(0, OperationKind::Discard, offset, 512)).is_err());
    }
    assert!(perform(&mut *queue, bench.read(0, 1 << 40, 512).0).is_err());
    assert!(perform(&mut *queue, bench.read(2, 0, 512).0).is_err());
    server.behave(|_, _| Act::Hold);
    queue.submit(bench.read(1, 0, 512).0);
    assert!(perform(&mut *queue, bench.read(1, 0, 512).0).is_err());
    super::until(&mut *queue, "it is at the server", || server.held() == 1);
    server.let_go();
    assert!(finish(&mut *queue, 1)[0].result.is_ok());
    // Nothing to be done.
    assert_eq!(perform(&mut *queue, bench.range(0, OperationKind::Discard, 0, 0)).unwrap(), 0);
}
