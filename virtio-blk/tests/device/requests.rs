//! What each request does, and which are refused.

use virtio_blk::{Block, MemoryBackend};
use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver};

use crate::rig::*;

each_transport! {
    reads_and_writes_move_data,
    blk_op_13_unknown_types_give_unsupp,
    blk_zone_01_zone_requests_give_unsupp,
    drv_blk_16_requests_of_features_that_were_not_negotiated,
    blk_op_14_get_id_is_padded_with_nul,
    drv_blk_08_get_id_with_other_sizes,
    blk_op_15_used_length_counts_what_was_written,
    blk_op_03_write_to_read_only_gives_ioerr,
    drv_blk_04_ranges_beyond_the_disk,
    drv_blk_05_flush_with_a_sector_or_data,
    drv_blk_06_data_that_is_no_whole_sectors,
    requests_without_data_succeed,
    drv_blk_12_short_headers,
    drv_blk_13_no_status_byte,
    drv_blk_14_data_in_the_wrong_direction,
    drv_blk_15_more_and_larger_segments_than_advertised,
    blk_cfg_01_capacity_counts_sectors_of_512_bytes,
    a_full_ring_is_served_in_one_go,
}

fn rig<P: Port>(sectors: usize) -> (Rig<P>, MemoryBackend) {
    let disk = MemoryBackend::new(pattern(512 * sectors, 7));
    let block = Block::builder(disk.clone()).serial("disk-0001").build().expect("a device");
    (Rig::<P>::new(block), disk)
}

fn reads_and_writes_move_data<P: Port>() {
    let (rig, disk) = rig::<P>(64);
    let driver = &mut rig.live(USUAL);
    let before = disk.content();
    let answer = rig.read(driver, 3, 1024);
    assert_eq!((answer.status, answer.len), (OK, 1025));
    assert_eq!(answer.data, before[3 * 512..5 * 512]);

    let data = pattern(4096, 99);
    assert_eq!(rig.write(driver, 8, &data).status, OK);
    let after = disk.content();
    assert_eq!(after[8 * 512..16 * 512], data);
    assert_eq!(after[..8 * 512], before[..8 * 512]);
    assert_eq!(after[16 * 512..], before[16 * 512..]);
    assert_eq!(rig.read(driver, 8, 4096).data, data);

    let counts = rig.handle.counts();
    assert_eq!((counts.reads, counts.read_bytes, counts.writes, counts.written_bytes), (2, 5120, 1, 4096));
}

fn blk_op_13_unknown_types_give_unsupp<P: Port>() {
    let (rig, disk) = rig::<P>(8);
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    for kind in [2, 3, 5, 6, 7, 9, 10, 12, 27, 0x100, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let answer = rig.request(driver, kind, 0, &[0; 512], 512);
        assert_eq!((answer.status, answer.len), (UNSUPP, 0), "type {kind}");
        let answer = rig.request(driver, kind, 0, &[], 0);
        assert_eq!((answer.status, answer.len), (UNSUPP, 1), "type {kind}");
    }
    assert_eq!(rig.handle.counts().unsupported, 26);
    assert_eq!(disk.content(), before);
}

// spec: DRV-BLK-17
fn blk_zone_01_zone_requests_give_unsupp<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    for kind in [15, 16, 18, 20, 22, 24, 26] {
        assert_eq!(rig.request(driver, kind, 0, &[], 512).status, UNSUPP, "type {kind}");
    }
}

fn drv_blk_16_requests_of_features_that_were_not_negotiated<P: Port>() {
    let (rig, disk) = rig::<P>(8);
    let before = disk.content();
    let driver = &mut rig.live(Features::VERSION_1);
    let segment = [0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    for kind in [11, 13, 14] {
        assert_eq!(rig.request(driver, kind, 0, &segment, 0).status, UNSUPP, "type {kind}");
    }
    assert_eq!(rig.request(driver, 10, 0, &[], 24).status, UNSUPP);
    assert_eq!(rig.request(driver, FLUSH, 0, &[], 0).status, OK);
    assert_eq!(disk.content(), before);
}

fn blk_op_14_get_id_is_padded_with_nul<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    let answer = rig.request(driver, GET_ID, 0, &[], 20);
    assert_eq!((answer.status, answer.len), (OK, 21));
    assert_eq!(&answer.data, b"disk-0001\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(rig.handle.counts().ids, 1);
}

fn drv_blk_08_get_id_with_other_sizes<P: Port>() {
    let disk = MemoryBackend::zeroed(4096);
    let rig = Rig::<P>::new(Block::builder(disk).serial("01234567890123456789").build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    for (size, len) in [(0, 1), (1, 2), (5, 6), (19, 20), (20, 21), (21, 20), (512, 20)] {
        let answer = rig.request(driver, GET_ID, 0, &[], size);
        assert_eq!((answer.status, answer.len), (OK, len), "{size} bytes");
        let mut wanted = b"01234567890123456789".to_vec();
        wanted.resize(size, UNTOUCHED);
        assert_eq!(answer.data, wanted, "{size} bytes");
    }
    let answer = rig.request(driver, GET_ID, 0, &[1], 20);
    assert_eq!((answer.status, answer.len), (IOERR, 0));
}

// spec: RING-SPLIT-07
fn blk_op_15_used_length_counts_what_was_written<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    let mut len = |kind, sector, payload: &[u8], answer| {
        let answer = rig.request(driver, kind, sector, payload, answer);
        (answer.status, answer.len)
    };
    assert_eq!(len(IN, 0, &[], 512), (OK, 513));
    assert_eq!(len(IN, 0, &[], 4096), (OK, 4097));
    assert_eq!(len(OUT, 0, &[1; 512], 0), (OK, 1));
    assert_eq!(len(FLUSH, 0, &[], 0), (OK, 1));
    assert_eq!(len(GET_ID, 0, &[], 20), (OK, 21));
    // The status is behind data that was not written: nothing from the start on was.
    assert_eq!(len(IN, 8, &[], 512), (IOERR, 0));
    assert_eq!(len(OUT, 8, &[1; 512], 0), (IOERR, 1));
    assert_eq!(len(99, 0, &[], 512), (UNSUPP, 0));
}

// spec: BLK-OP-04
fn blk_op_03_write_to_read_only_gives_ioerr<P: Port>() {
    for features in [USUAL | RO, USUAL] {
        let disk = MemoryBackend::new(pattern(4096, 1));
        let rig = Rig::<P>::new(Block::builder(disk.clone()).read_only(true).build().expect("a device"));
        assert!(rig.offered().contains(RO));
        let driver = &mut rig.live(features);
        let before = disk.content();
        let answer = rig.write(driver, 0, &[0xff; 512]);
        assert_eq!((answer.status, answer.len), (IOERR, 1), "with {features:?}");
        assert_eq!(disk.content(), before);
        assert_eq!(rig.read(driver, 0, 512).data, before[..512]);
        assert_eq!(rig.request(driver, FLUSH, 0, &[], 0).status, OK);
        assert_eq!(rig.handle.counts().refused, 1);
    }
}

fn drv_blk_04_ranges_beyond_the_disk<P: Port>() {
    let (rig, disk) = rig::<P>(16);
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    // 2^55 sectors are 2^64 bytes.
    let sectors = [15, 16, 17, 1 << 54, (1 << 55) - 1, 1 << 55, (1 << 55) + 1, u64::MAX - 1, u64::MAX];
    for sector in sectors {
        assert_eq!(rig.read(driver, sector, 1024).status, IOERR, "read from {sector}");
        assert_eq!(rig.write(driver, sector, &[0; 1024]).status, IOERR, "write to {sector}");
    }
    assert_eq!(rig.read(driver, 0, 17 * 512).status, IOERR);
    assert_eq!(rig.read(driver, 14, 1024).status, OK);
    assert_eq!(rig.read(driver, 0, 16 * 512).status, OK);
    assert_eq!(disk.content(), before);
    assert!(!rig.is_broken());
}

fn drv_blk_05_flush_with_a_sector_or_data<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    assert_eq!(rig.request(driver, FLUSH, u64::MAX, &[], 0).status, OK);
    assert_eq!(rig.request(driver, FLUSH, 3, &[], 0).status, OK);
    assert_eq!(rig.handle.counts().flushes, 2);
    assert_eq!(rig.request(driver, FLUSH, 0, &[0; 512], 0).status, IOERR);
    let answer = rig.request(driver, FLUSH, 0, &[], 512);
    assert_eq!((answer.status, answer.len), (IOERR, 0));
    assert_eq!(answer.data, [UNTOUCHED; 512]);
}

fn drv_blk_06_data_that_is_no_whole_sectors<P: Port>() {
    let (rig, disk) = rig::<P>(8);
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    for len in [1, 511, 513, 1023] {
        let answer = rig.read(driver, 0, len);
        assert_eq!((answer.status, answer.len), (IOERR, 0), "read of {len}");
        assert_eq!(answer.data, vec![UNTOUCHED; len]);
        assert_eq!(rig.write(driver, 0, &vec![0; len]).status, IOERR, "write of {len}");
    }
    assert_eq!(disk.content(), before);
}

fn requests_without_data_succeed<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    for kind in [IN, OUT] {
        let answer = rig.request(driver, kind, 8, &[], 0);
        assert_eq!((answer.status, answer.len), (OK, 1));
        assert_eq!(rig.request(driver, kind, 9, &[], 0).status, IOERR);
    }
}

fn drv_blk_12_short_headers<P: Port>() {
    let (rig, _) = rig::<P>(8);
    let driver = &mut rig.live(USUAL);
    let header = rig.memory.place(&header(IN, 0));
    for len in 1..16 {
        let status = rig.memory.place(&[UNTOUCHED]);
        let used = rig.chain(driver, &[Buffer::readable(header, len), Buffer::writable(status, 1)]);
        assert_eq!(used.map(|used| used.len), Some(1), "{len} bytes");
        assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    }
    // None at all.
    let data = rig.memory.place(&[UNTOUCHED; 513]);
    let used = rig.chain(driver, &[Buffer::writable(data, 513)]);
    assert_eq!(used.map(|used| used.len), Some(0));
    assert_eq!(rig.memory.bytes(data, 512), [UNTOUCHED; 512]);
    assert_eq!(rig.memory.bytes(data + 512, 1), [IOERR]);
    assert!(!rig.is_broken());
}

fn drv_blk_13_no_status_byte<P: Port>() {
    let (rig, disk) = rig::<P>(8);
    let before = disk.content();
    for kind in [IN, OUT, FLUSH, GET_ID, 77] {
        let driver = &mut rig.live(USUAL);
        let header = rig.memory.place(&header(kind, 0));
        let data = rig.memory.place(&[0xaa; 512]);
        let used = rig.chain(driver, &[Buffer::readable(header, 16), Buffer::readable(data, 512)]);
        assert_eq!(used, None);
        assert!(rig.is_broken(), "type {kind}");
        assert!(rig.config_interrupted());
        assert_eq!(rig.memory.bytes(data, 512), [0xaa; 512]);
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
    }
    assert_eq!(disk.content(), before);
    assert_eq!(rig.read(&mut rig.live(USUAL), 0, 512).status, OK);
}

fn drv_blk_14_data_in_the_wrong_direction<P: Port>() {
    let (rig, disk) = rig::<P>(8);
    let before = disk.content();
    let driver = &mut rig.live(USUAL);
    // Write data for the device to write.
    let answer = rig.request(driver, OUT, 0, &[], 512);
    assert_eq!((answer.status, answer.len), (IOERR, 0));
    assert_eq!(answer.data, [UNTOUCHED; 512]);
    let answer = rig.request(driver, OUT, 0, &[1; 512], 512);
    assert_eq!((answer.status, &answer.data[..]), (IOERR, &[UNTOUCHED; 512][..]));
    // Read data for the device to read.
    let payload = rig.memory.place(&[0x55; 512]);
    let (header, status) = (rig.memory.place(&header(IN, 0)), rig.memory.place(&[UNTOUCHED]));
    let chain = [Buffer::readable(header, 16), Buffer::readable(payload, 512), Buffer::writable(status, 1)];
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(1));
    assert_eq!(rig.memory.bytes(status, 1), [IOERR]);
    assert_eq!(rig.memory.bytes(payload, 512), [0x55; 512]);
    assert_eq!(disk.content(), before);
}

fn drv_blk_15_more_and_larger_segments_than_advertised<P: Port>() {
    let disk = MemoryBackend::new(pattern(512 * 512, 3));
    let block = Block::builder(disk.clone()).queue_size(64).seg_max(4).size_max(4096).build().expect("a device");
    let rig = Rig::<P>::new(block);
    let driver = &mut rig.live(USUAL | SIZE_MAX | SEG_MAX);
    // 62 segments of a sector each.
    let (header, data) = (rig.memory.place(&header(IN, 0)), rig.memory.alloc(62 * 512 + 1, 1));
    let mut chain = vec![Buffer::readable(header, 16)];
    chain.extend((0..62).map(|i| Buffer::writable(data + 512 * i, 512)));
    chain.push(Buffer::writable(data + 62 * 512, 1));
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(62 * 512 + 1));
    assert_eq!(rig.memory.bytes(data, 62 * 512), disk.content()[..62 * 512]);
    // One segment of 64 KiB.
    let answer = rig.read(driver, 0, 65536);
    assert_eq!((answer.status, &answer.data[..]), (OK, &disk.content()[..65536]));
}

fn blk_cfg_01_capacity_counts_sectors_of_512_bytes<P: Port>() {
    let disk = MemoryBackend::new(pattern(65536, 5));
    let rig = Rig::<P>::new(Block::builder(disk.clone()).block_size(4096).build().expect("a device"));
    let driver = &mut rig.live(USUAL | BLK_SIZE);
    assert_eq!(rig.config_capacity(), 128);
    assert_eq!(u32::from_le_bytes(rig.config(20)), 4096);
    assert_eq!(rig.read(driver, 127, 512).data, disk.content()[127 * 512..]);
    assert_eq!(rig.read(driver, 128, 512).status, IOERR);
}

fn a_full_ring_is_served_in_one_go<P: Port>() {
    let (rig, _) = rig::<P>(256);
    let driver = &mut rig.live(USUAL);
    let pending: Vec<_> = (0..64).map(|sector| rig.add(driver, IN, sector, &[], 512)).collect();
    rig.kick(driver);
    for pending in &pending {
        let used = driver.used().expect("an answer");
        assert_eq!(rig.answer(pending, used).status, OK);
    }
}
