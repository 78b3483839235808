//! Adjacent reads and writes of a batch become one.

use std::io::ErrorKind;

use virtio_blk::{Block, OperationKind};
use virtio_core::testing::{Buffer, RingDriver};

use crate::held::Held;
use crate::rig::*;

each_transport! {
    what_follows_on_the_disk_goes_to_the_backend_at_once,
    streams_that_are_mixed_are_told_apart,
    nothing_else_is_merged,
    it_can_be_turned_off_and_on,
    one_failure_among_many_is_that_requests_alone,
    short_transfers_are_found_out_one_by_one,
    reset_answers_nothing_and_loses_nothing,
    merged_operations_are_bounded,
    merged_operations_have_no_more_pieces_than_the_system_takes,
}

const WRITE: OperationKind = OperationKind::Write { durable: false };

fn rig<P: Port>() -> (Rig<P>, Held, P::Driver) {
    let held = Held::able(512 * 4096, |can| can.merge = true);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = rig.live(USUAL);
    (rig, held, driver)
}

fn what_follows_on_the_disk_goes_to_the_backend_at_once<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    let reads: Vec<_> = (0..8).map(|sector| rig.add(&mut driver, IN, sector, &[], 512)).collect();
    rig.kick(&mut driver);
    assert_eq!(held.take_log(), [(OperationKind::Read, 0, 8 * 512)]);
    held.finish_all();
    rig.runtime.poll();
    for (sector, read) in reads.iter().enumerate() {
        let answer = rig.answer(read, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (OK, 513));
        assert_eq!(answer.data, held.disk()[sector * 512..][..512]);
    }
    let writes: Vec<_> = (0..8u8).map(|n| rig.add(&mut driver, OUT, n.into(), &[n; 512], 0)).collect();
    rig.kick(&mut driver);
    assert_eq!(held.take_log(), [(WRITE, 0, 8 * 512)]);
    held.finish_all();
    rig.runtime.poll();
    for (n, write) in (0u8..).zip(&writes) {
        assert_eq!(rig.answer(write, driver.used().expect("an answer")).status, OK);
        assert_eq!(held.disk()[usize::from(n) * 512..][..512], [n; 512]);
    }
    assert!(driver.used().is_none());
    let counts = rig.handle.counts();
    assert_eq!((counts.reads, counts.writes, counts.merged), (8, 8, 14));
    assert_eq!((counts.read_bytes, counts.written_bytes), (8 * 512, 8 * 512));
}

fn streams_that_are_mixed_are_told_apart<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for n in 0..4 {
        rig.add(&mut driver, IN, 3 - n, &[], 512);
        rig.add(&mut driver, OUT, 100 + n, &[1; 512], 0);
        rig.add(&mut driver, IN, 200 + 2 * n, &[], 1024);
    }
    rig.kick(&mut driver);
    let wanted = [(OperationKind::Read, 0, 2048), (OperationKind::Read, 200 * 512, 4096), (WRITE, 100 * 512, 2048)];
    assert_eq!(held.take_log(), wanted);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(std::iter::from_fn(|| driver.used()).count(), 12);
    assert_eq!(rig.handle.counts().failed, 0);
}

fn nothing_else_is_merged<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    // A gap, an overlap, the same again, and what is no data.
    for sector in [0, 2, 3, 3, 5] {
        rig.add(&mut driver, IN, sector, &[], if sector == 2 { 1024 } else { 512 });
    }
    rig.add(&mut driver, FLUSH, 0, &[], 0);
    rig.kick(&mut driver);
    let log = held.take_log();
    assert_eq!(log.iter().filter(|entry| entry.0 == OperationKind::Flush).count(), 1);
    assert_eq!(log.len(), 6);
    // Over two batches.
    rig.add(&mut driver, IN, 10, &[], 512);
    rig.kick(&mut driver);
    rig.add(&mut driver, IN, 11, &[], 512);
    rig.kick(&mut driver);
    assert_eq!(held.take_log().len(), 2);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(rig.handle.counts().merged, 0);
    assert_eq!(std::iter::from_fn(|| driver.used()).count(), 8);
}

fn it_can_be_turned_off_and_on<P: Port>() {
    for (can, chosen, merges) in
        [(true, None, true), (false, None, false), (true, Some(false), false), (false, Some(true), true)]
    {
        let held = Held::able(512 * 64, |it| it.merge = can);
        let mut block = Block::builder(held.clone());
        if let Some(merge) = chosen {
            block = block.merge(merge);
        }
        let rig = Rig::<P>::new(block.build().expect("a device"));
        let mut driver = rig.live(USUAL);
        for sector in 0..4 {
            rig.add(&mut driver, IN, sector, &[], 512);
        }
        rig.kick(&mut driver);
        assert_eq!(held.take_log().len(), if merges { 1 } else { 4 });
        assert_eq!(held.kicks(), 1, "one batch");
    }
}

fn one_failure_among_many_is_that_requests_alone<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    let writes: Vec<_> = (0..4u8).map(|n| rig.add(&mut driver, OUT, n.into(), &[n; 512], 0)).collect();
    rig.kick(&mut driver);
    held.take_log();
    held.fail(0, ErrorKind::Other);
    rig.runtime.poll();
    assert!(driver.used().is_none(), "which of them it was is not known");
    let mut again = held.take_log();
    again.sort_by_key(|entry| entry.1);
    assert_eq!(again, [0, 512, 1024, 1536].map(|at| (WRITE, at, 512)));
    // The one for sector 2 fails again.
    while held.in_flight() > 0 {
        match held.offsets()[0] {
            1024 => held.fail(0, ErrorKind::Other),
            _ => held.finish(0),
        }
    }
    rig.runtime.poll();
    assert_eq!(std::iter::from_fn(|| driver.used()).count(), 4);
    let statuses: Vec<_> = writes.iter().map(|write| rig.memory.bytes(write.status, 1)[0]).collect();
    assert_eq!(statuses, [OK, OK, IOERR, OK]);
    let counts = rig.handle.counts();
    assert_eq!((counts.writes, counts.failed, counts.written_bytes), (3, 1, 3 * 512));
}

fn short_transfers_are_found_out_one_by_one<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    let reads: Vec<_> = (0..3).map(|sector| rig.add(&mut driver, IN, sector, &[], 512)).collect();
    rig.kick(&mut driver);
    held.finish_short(0, 700);
    rig.runtime.poll();
    assert_eq!(held.in_flight(), 3);
    while held.in_flight() > 0 {
        match held.offsets()[0] {
            0 => held.finish(0),
            512 => held.finish_short(0, 188),
            _ => held.finish_short(0, 0),
        }
    }
    rig.runtime.poll();
    assert_eq!(std::iter::from_fn(|| driver.used()).count(), 3);
    let statuses: Vec<_> = reads.iter().map(|read| rig.memory.bytes(read.status, 1)[0]).collect();
    assert_eq!(statuses, [OK, IOERR, IOERR]);
}

fn reset_answers_nothing_and_loses_nothing<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    let reads: Vec<_> = (0..8).map(|sector| rig.add(&mut driver, IN, sector, &[], 512)).collect();
    rig.kick(&mut driver);
    assert_eq!(held.in_flight(), 1);
    rig.port.set_status(0);
    rig.runtime.poll();
    assert_eq!((rig.port.status(), held.in_flight(), held.queues()), (0, 0, 0));
    assert_eq!(held.take_log().len(), 1, "none is done again");
    assert!(reads.iter().all(|read| rig.memory.bytes(read.data, 512) == [UNTOUCHED; 512]));
}

fn merged_operations_are_bounded<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    // 2 MiB in 16 requests: no operation has more than 1 MiB.
    for n in 0..16 {
        rig.add(&mut driver, IN, n * 256, &[], 256 * 512);
    }
    rig.kick(&mut driver);
    let log = held.take_log();
    assert!(log.iter().all(|entry| entry.2 <= 1 << 20), "{log:?}");
    assert_eq!(log.iter().map(|entry| entry.2).sum::<u64>(), 2 << 20);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(std::iter::from_fn(|| driver.used()).count(), 16);
}

fn merged_operations_have_no_more_pieces_than_the_system_takes<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    // 40 requests of a sector in 64 pieces each, which do not touch one another: 16 of them are 1024 pieces.
    let places: Vec<_> = (0..40 * 64).map(|_| rig.memory.alloc(16, 16)).collect();
    for (sector, places) in (0..).zip(places.chunks(64)) {
        let head = Buffer::readable(rig.memory.place(&header(IN, sector)), 16);
        let data = places.iter().map(|at| Buffer::writable(*at, 8));
        let status = Buffer::writable(rig.memory.place(&[UNTOUCHED]), 1);
        let chain: Vec<_> = [head].into_iter().chain(data).chain([status]).collect();
        driver.add_indirect(&chain).expect("room in the ring");
    }
    rig.kick(&mut driver);
    let wanted = [(0, 16), (16, 16), (32, 8)].map(|(from, count)| (OperationKind::Read, from * 512, count * 512));
    assert_eq!(held.take_log(), wanted);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(std::iter::from_fn(|| driver.used()).map(|used| used.len).collect::<Vec<_>>(), [513; 40]);
    let read: Vec<u8> = places.iter().flat_map(|at| rig.memory.bytes(*at, 8)).collect();
    assert!(read == held.disk()[..40 * 512]);
}
