//! Chains that are damaged, and storage that fails.

use std::io;

use virtio_blk::{Block, MemoryBackend};
use virtio_core::testing::{Buffer, RingDriver};

use crate::held::Held;
use crate::rig::*;

each_transport! {
    data_that_is_not_memory_gives_ioerr,
    data_that_leaves_memory_half_way_gives_ioerr,
    a_header_that_is_not_memory_gives_ioerr,
    a_status_that_is_not_memory_breaks_the_ring_and_does_nothing,
    buffers_out_of_order_and_empty_buffers_give_ioerr,
    answers_that_overlap_their_question_do_no_harm,
    completions_come_in_any_order,
    errors_and_short_transfers_give_ioerr,
    storage_that_shrinks_under_the_device_gives_ioerr,
    a_backend_that_cannot_be_opened_asks_for_a_reset,
}

/// No test has memory here.
const NOWHERE: u64 = 1 << 40;

fn rig<P: Port>() -> (Rig<P>, MemoryBackend) {
    let disk = MemoryBackend::new(pattern(512 * 64, 7));
    (Rig::<P>::new(Block::builder(disk.clone()).build().expect("a device")), disk)
}

fn data_that_is_not_memory_gives_ioerr<P: Port>() {
    let (rig, disk) = rig::<P>();
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    for (kind, writable, len) in [(IN, true, 0), (OUT, false, 1)] {
        let (header, status) = (rig.memory.place(&header(kind, 0)), rig.memory.place(&[UNTOUCHED]));
        let data = Buffer { address: NOWHERE, len: 512, writable };
        let used = rig.chain(driver, &[Buffer::readable(header, 16), data, Buffer::writable(status, 1)]);
        assert_eq!(used.map(|used| used.len), Some(len));
        assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    }
    assert_eq!(disk.content(), before);
    assert!(!rig.is_broken());
}

fn data_that_leaves_memory_half_way_gives_ioerr<P: Port>() {
    let (rig, disk) = rig::<P>();
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    let (header, status) = (rig.memory.place(&header(OUT, 0)), rig.memory.place(&[UNTOUCHED]));
    let data = Buffer::readable((16 << 20) - 256, 512);
    let used = rig.chain(driver, &[Buffer::readable(header, 16), data, Buffer::writable(status, 1)]);
    assert_eq!(used.map(|used| used.len), Some(1));
    assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    assert_eq!(disk.content(), before);
}

fn a_header_that_is_not_memory_gives_ioerr<P: Port>() {
    let (rig, _) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let status = rig.memory.place(&[UNTOUCHED]);
    let used = rig.chain(driver, &[Buffer::readable(NOWHERE, 16), Buffer::writable(status, 1)]);
    assert_eq!(used.map(|used| used.len), Some(1));
    assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
}

// spec: DRV-BLK-13
fn a_status_that_is_not_memory_breaks_the_ring_and_does_nothing<P: Port>() {
    for kind in [IN, OUT, FLUSH, GET_ID, 77] {
        let (rig, disk) = rig::<P>();
        let before = disk.content();
        let driver = &mut rig.live(USUAL);
        let (header, data) = (rig.memory.place(&header(kind, 0)), rig.memory.place(&[0xaa; 512]));
        let data = Buffer { address: data, len: 512, writable: kind != OUT };
        let used = rig.chain(driver, &[Buffer::readable(header, 16), data, Buffer::writable(NOWHERE, 1)]);
        assert_eq!(used, None);
        assert!(rig.is_broken(), "type {kind}");
        assert_eq!(disk.content(), before);
        assert_eq!(rig.memory.bytes(data.address, 512), [0xaa; 512]);
    }
}

fn buffers_out_of_order_and_empty_buffers_give_ioerr<P: Port>() {
    let (rig, disk) = rig::<P>();
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    let (header, data) = (rig.memory.place(&header(OUT, 0)), rig.memory.place(&[1; 512]));
    let early = rig.memory.place(&[UNTOUCHED]);
    let status = rig.memory.place(&[UNTOUCHED]);
    let chain = [
        Buffer::readable(header, 16),
        Buffer::writable(early, 1),
        Buffer::readable(data, 512),
        Buffer::writable(status, 1),
    ];
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(0));
    assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    assert_eq!(rig.memory.bytes(early, 1), [UNTOUCHED]);

    let status = rig.memory.place(&[UNTOUCHED]);
    let chain = [Buffer::readable(header, 16), Buffer::readable(data, 0), Buffer::writable(status, 1)];
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(1));
    assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    assert_eq!(disk.content(), before);
    assert!(!rig.is_broken());
}

fn answers_that_overlap_their_question_do_no_harm<P: Port>() {
    let (rig, disk) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    // Header, data and status in one place.
    let place = rig.memory.place(&[0; 513]);
    rig.memory.write(place, &header(IN, 1));
    let used = rig.chain(driver, &[Buffer::readable(place, 16), Buffer::writable(place, 513)]);
    assert_eq!(used.map(|used| used.len), Some(513));
    assert_eq!(rig.memory.bytes(place, 512), disk.content()[512..1024]);
    assert_eq!(rig.memory.bytes(place + 512, 1), [OK]);
}

fn completions_come_in_any_order<P: Port>() {
    let held = Held::new(512 * 64);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    let pending: Vec<_> = (0..8).map(|sector| rig.add(driver, IN, sector, &[], 512)).collect();
    rig.kick(driver);
    assert_eq!((held.in_flight(), driver.used()), (8, None));
    let mut left: Vec<usize> = (0..8).collect();
    for take in [7, 0, 3, 4, 1, 0, 1, 0] {
        let which = left.remove(take);
        held.finish(take);
        rig.runtime.poll();
        let answer = rig.answer(&pending[which], driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (OK, 513));
        assert_eq!(answer.data, held.disk()[512 * which..512 * (which + 1)]);
    }
    assert_eq!(driver.used(), None);
}

fn errors_and_short_transfers_give_ioerr<P: Port>() {
    let held = Held::new(512 * 64);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    let mut submit = |kind, payload: &[u8], answer| {
        let pending = rig.add(driver, kind, 0, payload, answer);
        rig.kick(driver);
        pending
    };
    let read = submit(IN, &[], 1024);
    let failed = submit(IN, &[], 1024);
    let none = submit(IN, &[], 512);
    let write = submit(OUT, &[1; 1024], 0);
    let failed_write = submit(OUT, &[1; 1024], 0);
    held.finish_short(0, 512);
    held.fail(0, io::ErrorKind::Other);
    held.finish_short(0, 0);
    held.finish_short(0, 1023);
    held.fail(0, io::ErrorKind::StorageFull);
    rig.runtime.poll();
    for (pending, len) in [(&read, 0), (&failed, 0), (&none, 0), (&write, 1), (&failed_write, 1)] {
        let answer = rig.answer(pending, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (IOERR, len));
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.failed, counts.reads, counts.writes, counts.refused), (5, 0, 0, 0));
    assert!(!rig.is_broken());
}

fn storage_that_shrinks_under_the_device_gives_ioerr<P: Port>() {
    let (rig, disk) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    disk.set_len(512 * 10);
    assert_eq!(rig.read(driver, 9, 512).status, OK);
    for sector in [9, 10, 40] {
        assert_eq!(rig.read(driver, sector, 1024).status, IOERR);
        assert_eq!(rig.write(driver, sector, &[9; 1024]).status, IOERR);
    }
    assert_eq!(disk.content().len(), 512 * 10);
    assert_eq!(rig.handle.counts().failed, 6);
}

fn a_backend_that_cannot_be_opened_asks_for_a_reset<P: Port>() {
    let held = Held::new(4096);
    held.fail_to_open();
    let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
    let _driver = rig.live(USUAL);
    assert!(rig.is_broken());
    assert!(rig.config_interrupted());
}
