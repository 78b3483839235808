//! Servers that break the protocol's rules: their connection ends, and what it had is asked for again.

use super::server::*;
use super::{patient, pattern};
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::{BlockBackend, OperationKind};

/// A server whose first connection answers the request for the second MiB by `words`, and what then comes of it.
fn survives(what: &str, structured: bool, words: impl Fn(&Request) -> Vec<u8> + Send + Clone + 'static) {
    for end in [false, true] {
        let words = words.clone();
        let setup = Setup { structured, ..Setup::default() };
        let server = Server::behaving(setup, move |request, _| match (request.connection, request.offset, end) {
            (0, 0x10_0000, false) => Act::Say(words(request)),
            (0, 0x10_0000, true) => Act::Last(words(request)),
            _ => Act::Serve,
        });
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        let mut reads = Vec::new();
        for (tag, offset) in [(0, 0x10_0000), (1, 0), (2, 0x20_0000)] {
            let (read, at) = bench.read(tag, offset, 4096);
            reads.push((at, offset as usize));
            queue.submit(read);
        }
        queue.kick();
        for completion in finish(&mut *queue, 3) {
            assert_eq!(completion.result.unwrap(), 4096, "{what}");
        }
        for (at, offset) in reads {
            assert!(bench.memory.bytes(at, 4096) == server.disk()[offset..offset + 4096], "{what}: data at {offset}");
        }
        assert_eq!(backend.reconnects(), 1, "{what}");
    }
}

#[test]
fn replies_that_no_request_can_have() {
    survives("another magic", true, |_| vec![0; 64]);
    survives("old replies where they are not agreed upon", false, |r| data_chunk(true, r.cookie, r.offset, &[1; 4096]));
    survives("a simple reply to a read", true, |r| [simple(0, r.cookie), vec![1; 4096]].concat());
    survives("a cookie of nobody", true, |r| simple(0, r.cookie ^ 1 << 40));
    survives("a cookie of no slot", true, |_| simple(0, u64::MAX));
    survives("an answer to a flush with data", true, |r| data_chunk(true, r.cookie ^ 0xffff, 0, &[1; 512]));
    survives("a block status", true, |r| chunk(true, 5, r.cookie, &[0; 12]));
    survives("an unknown chunk", true, |r| chunk(true, 77, r.cookie, &[]));
    survives("an end that is none", true, |r| chunk(false, 0, r.cookie, &[]));
    survives("an end with data", true, |r| chunk(true, 0, r.cookie, &[1]));
    survives("an error of number 0", true, |r| chunk(true, 0x8001, r.cookie, &[0; 6]));
    survives("an error that is too short", true, |r| chunk(true, 0x8001, r.cookie, &[0; 5]));
    survives("an error that is too long", true, |r| chunk(true, 0x8001, r.cookie, &[1; 5000]));
    survives("a text that is longer than its error", true, |r| chunk(true, 0x8001, r.cookie, &[1; 6]));
    survives("an error without its offset", true, |r| chunk(true, 0x8002, r.cookie, &[0, 0, 0, 5, 0, 0]));
}

#[test]
fn data_that_was_not_asked_for() {
    survives("nothing at all", true, |r| chunk(true, 0, r.cookie, &[]));
    survives("no bytes", true, |r| data_chunk(true, r.cookie, r.offset, &[]));
    survives("a part of a chunk's head", true, |r| chunk(true, 1, r.cookie, &[0; 7]));
    survives("half of it", true, |r| data_chunk(true, r.cookie, r.offset, &[1; 2048]));
    survives("too much", true, |r| data_chunk(true, r.cookie, r.offset, &[1; 4097]));
    survives("before it", true, |r| data_chunk(true, r.cookie, r.offset - 1, &[1; 4096]));
    survives("behind it", true, |r| data_chunk(true, r.cookie, r.offset + 1, &[1; 4096]));
    survives("far behind it", true, |r| data_chunk(true, r.cookie, u64::MAX, &[1; 4096]));
    survives("a large hole", true, |r| hole_chunk(true, r.cookie, r.offset, u32::MAX));
    survives("a hole without bytes", true, |r| hole_chunk(true, r.cookie, r.offset, 0));
    survives("a hole over data", true, |r| {
        [data_chunk(false, r.cookie, r.offset, &[1; 4096]), hole_chunk(true, r.cookie, r.offset + 4095, 1)].concat()
    });
    survives("data twice", true, |r| {
        [data_chunk(false, r.cookie, r.offset, &[1; 512]), data_chunk(true, r.cookie, r.offset, &[1; 4096])].concat()
    });
    survives("data in thousands of pieces", true, |r| {
        (0..2048).flat_map(|piece| data_chunk(false, r.cookie, r.offset + piece * 2, &[1])).collect()
    });
}

#[test]
fn a_reply_that_ends_in_the_middle_is_asked_for_again() {
    let whole = |r: &Request| data_chunk(true, r.cookie, r.offset, &[1; 4096]);
    for len in [1, 3, 4, 19, 20, 27, 28, 29, 2000, 4123] {
        let server = Server::behaving(Setup::default(), move |request, _| match request.connection {
            0 => Act::Last(whole(request)[..len].to_vec()),
            _ => Act::Serve,
        });
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        let (read, at) = bench.read(0, 512, 4096);
        assert_eq!(perform(&mut *queue, read).unwrap(), 4096);
        assert!(bench.memory.bytes(at, 4096) == server.disk()[512..512 + 4096]);
        assert_eq!(backend.reconnects(), 1);
    }
}

#[test]
fn a_second_reply_ends_the_connection_and_harms_nobody() {
    let server = Server::behaving(Setup::default(), |request, _| match request.connection {
        0 => Act::Say([simple(0, request.cookie), simple(0, request.cookie)].concat()),
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(perform(&mut *queue, bench.operation(0, OperationKind::Flush, 0, &[])).is_ok());
    let (read, at) = bench.read(0, 0, 512);
    assert_eq!(perform(&mut *queue, read).unwrap(), 512);
    assert!(bench.memory.bytes(at, 512) == server.disk()[..512]);
    assert_eq!(backend.reconnects(), 1);
}

#[test]
fn words_between_requests_end_the_connection() {
    let server = Server::behaving(Setup::default(), |request, _| match request.command {
        3 => Act::Say([simple(0, request.cookie), b"more than that".to_vec()].concat()),
        _ => Act::Serve,
    });
    let backend = patient(&server).connect().unwrap();
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(8).unwrap();
    assert!(perform(&mut *queue, bench.operation(0, OperationKind::Flush, 0, &[])).is_ok());
    super::until(&mut *queue, "the connection is given up", || backend.reconnects() == 1);
    assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
}

#[test]
fn a_write_that_is_answered_before_its_data_was_sent() {
    // The first connection refuses the write as soon as it sees it, or says that it is done.
    for error in [28, 0] {
        let server = Server::new(Setup { size: 32 << 20, ..Setup::default() });
        let backend = patient(&server).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        server.be_deaf(true);
        // More than the system takes for a connection.
        let data = pattern(32 << 20, 2);
        queue.submit(bench.write(0, 0, &data));
        queue.kick();
        super::until(&mut *queue, "the write is at the server", || server.log().len() == 1);
        server.say(0, &simple(error, server.log()[0].cookie));
        super::until(&mut *queue, "the connection is given up", || backend.reconnects() == 1);
        server.be_deaf(false);
        let result = finish(&mut *queue, 1).pop().unwrap().result;
        assert_eq!(result.is_ok(), error == 0);
        if error == 0 {
            assert!(server.disk() == data);
        }
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
    }
}
