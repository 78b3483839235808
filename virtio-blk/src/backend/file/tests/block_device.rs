//! Loop devices stand for the block devices of a host. They need root; zoned ones are made by `null_blk`.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::bench::{Bench, finish, perform};
use super::super::super::zone::{ZoneState, ZoneType};
use super::super::super::{
    BlockBackend, HostZonesError, OperationError, OperationKind, OperationResult, ZoneError, ZonedBackend,
};
use super::super::{FileBackend, FileOptions, OpenError};
use super::{Image, Rig, pattern};

struct Loop {
    path: PathBuf,
    image: Image,
}

impl Loop {
    fn new(size: usize, sector: u32) -> Loop {
        let image = Image::new(&pattern(size, 1));
        let sector = sector.to_string();
        let made = Command::new("losetup").args(["--find", "--show", "--sector-size", &sector]).arg(&image.0).output();
        let made = made.expect("losetup");
        assert!(made.status.success(), "losetup: {}", String::from_utf8_lossy(&made.stderr));
        Loop { path: PathBuf::from(String::from_utf8_lossy(&made.stdout).trim()), image }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_is_a_disk() {
    is_a_disk(|file| Box::new(file));
}

#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_is_a_disk_by_rings() {
    is_a_disk(|file| Box::new(crate::UringBackend::new(file)));
}

fn is_a_disk(over: fn(FileBackend) -> Box<dyn BlockBackend>) {
    for sector in [512, 4096] {
        for direct in [false, true] {
            let device = Loop::new(1 << 20, sector);
            let backend = over(FileOptions::new().direct(direct).open(&device.path).expect("a disk"));
            assert_eq!(backend.size().expect("a size"), 1 << 20);
            let can = backend.capabilities();
            assert_eq!((can.block_size, can.read_only), (sector, false));
            assert_eq!(can.topology.expect("a topology").physical_block_exp, 0);
            assert!(can.discard.is_some() && can.write_zeroes.is_some() && can.zeroes_may_unmap);
            assert_eq!(can.secure_erase, None);
            assert_eq!(backend.lifetime().expect("an answer"), None);
            let mut rig = Rig::new(&*backend);
            let mut expected = pattern(1 << 20, 1);
            assert!(matches!(FileBackend::open(&device.path), Err(OpenError::Locked { writer: true, .. })));

            // Aligned to the device's blocks, and not.
            for (round, (offset, len)) in
                [(4096, 8192), (65536, 512), (65536 + 512, 3584), (131_072 + 1536, 20480)].into_iter().enumerate()
            {
                let data = pattern(len, 50 + round as u8);
                assert_eq!(rig.write(offset, &data).expect("a write"), len as u64);
                expected[offset as usize..offset as usize + len].copy_from_slice(&data);
                for (kind, at) in [
                    (OperationKind::WriteZeroes { unmap: true, durable: false }, offset + (256 << 10)),
                    (OperationKind::WriteZeroes { unmap: false, durable: true }, offset + (512 << 10)),
                ] {
                    assert_eq!(rig.range(kind, at, len as u64).expect("zeroes"), len as u64);
                    expected[at as usize..at as usize + len].fill(0);
                }
            }
            let (result, data) = rig.read(0, 1 << 20);
            assert_eq!(result.expect("a read"), 1 << 20);
            assert!(data == expected, "sectors of {sector}, direct {direct}");

            assert_eq!(rig.range(OperationKind::Discard, 768 << 10, 128 << 10).expect("a discard"), 128 << 10);
            // A hint that does not fit the device's blocks is none.
            assert_eq!(rig.range(OperationKind::Discard, 512, 512).expect("a discard"), 512);
            assert_eq!(rig.range(OperationKind::Flush, 0, 0).expect("a flush"), 0);
            let (_, data) = rig.read(0, 768 << 10);
            assert!(data[4096..] == expected[4096..768 << 10]);
            // The end of the device.
            for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: true, durable: false }] {
                assert_eq!(rig.range(kind, (1 << 20) - 4096, 8192).expect("an answer"), 0);
            }
            assert_eq!(rig.read((1 << 20) - 4096, 8192).0.expect("an answer"), 4096);
            let at_the_end: OperationResult = rig.write(1 << 20, &[1; 4096]);
            assert!(!matches!(at_the_end, Ok(4096)));
            drop((rig, backend));
            assert!(device.image.content()[4096..768 << 10] == expected[4096..768 << 10]);
        }
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_that_cannot_erase_says_so() {
    let device = Loop::new(1 << 20, 512);
    let backend = FileOptions::new().secure_erase(true).open(&device.path).expect("a disk");
    assert!(backend.capabilities().secure_erase.is_some());
    let mut rig = Rig::new(&backend);
    let erased = rig.range(OperationKind::SecureErase, 0, 65536);
    assert!(matches!(erased, Err(OperationError::Unsupported)), "{erased:?}");
    assert!(rig.read(0, 65536).1 == pattern(1 << 20, 1)[..65536]);
    assert_eq!(rig.range(OperationKind::SecureErase, 1 << 20, 512).expect("an answer"), 0);
    drop((rig, backend));
    let can = FileBackend::open_read_only(&device.path).expect("a disk").capabilities();
    assert_eq!((can.read_only, can.discard, can.secure_erase), (true, None, None));
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_without_zones_is_no_zoned_disk() {
    let device = Loop::new(1 << 20, 512);
    let refused = ZonedBackend::open(&device.path);
    assert!(matches!(refused, Err(HostZonesError::Open(OpenError::NoZones { path })) if path == device.path));
}

/// A host-managed device of the host, all of whose zones are empty: `VIRTIO_ZONED_DEVICE`.
#[test]
#[ignore = "needs a zoned block device"]
fn a_zoned_block_device_is_a_zoned_disk_and_no_other() {
    let path = std::env::var("VIRTIO_ZONED_DEVICE").expect("VIRTIO_ZONED_DEVICE");
    assert!(matches!(FileBackend::open(&path), Err(OpenError::Zoned { .. })));
    assert!(matches!(FileBackend::open_read_only(&path), Err(OpenError::Zoned { .. })));
    let open = || ZonedBackend::open(&path).expect("a zoned disk");
    let disk = open();
    assert!(matches!(ZonedBackend::open(&path), Err(HostZonesError::Open(OpenError::Locked { .. }))));
    let told = disk.capabilities().zoned.expect("zones");
    let block = u64::from(told.write_granularity);
    let zones = (0..disk.zones()).map(|zone| disk.zone(zone).expect("a zone"));
    let first =
        zones.clone().position(|zone| zone.kind == ZoneType::SequentialWriteRequired).expect("a sequential zone");
    let zone = first as u32;
    let (start, capacity) = zones.clone().map(|zone| (zone.start, zone.capacity)).nth(first).expect("a zone");
    let is = |disk: &ZonedBackend| {
        let zone = disk.zone(zone).expect("a zone");
        (zone.state, zone.write_pointer - zone.start)
    };
    let mut rig = Rig { bench: Bench::new(), queue: disk.open_queue(16).expect("a queue") };
    assert!(rig.range(OperationKind::ZoneReset, start, 0).is_ok());
    assert_eq!(is(&disk), (ZoneState::Empty, 0));

    // In memory that is aligned, and not.
    let data = pattern(4 * block as usize, 3);
    assert_eq!(rig.write(start, &data).expect("a write"), 4 * block);
    let place = rig.bench.memory.alloc(8 * block, 4096) + 1;
    rig.bench.memory.write(place, &data);
    let append = OperationKind::ZoneAppend { durable: true };
    let pieces = [(place, 100), (place + 100, 4 * block as u32 - 100)];
    let operation = rig.bench.operation(0, append, start, &pieces);
    assert_eq!(perform(&mut *rig.queue, operation).expect("an append"), start + 4 * block);
    assert_eq!(is(&disk), (ZoneState::ImplicitlyOpen, 8 * block));
    for offset in [start, start + 4 * block, start + 12 * block] {
        let refused = rig.write(offset, &data);
        assert!(matches!(refused, Err(OperationError::Zone(ZoneError::UnalignedWritePointer))), "{refused:?}");
    }
    let (result, read) = rig.read(start, 12 * block as u32);
    assert_eq!(result.expect("a read"), 12 * block);
    assert!(read[..4 * block as usize] == data && read[4 * block as usize..8 * block as usize] == data);
    assert!(read[8 * block as usize..].iter().all(|byte| *byte == 0));
    let odd = rig.bench.operation(0, OperationKind::Read, start + 512, &[(place, 512)]);
    assert_eq!(perform(&mut *rig.queue, odd).expect("a read"), 512);
    assert!(rig.bench.memory.bytes(place, 512) == data[512..1024]);

    // Who opens it next finds it so.
    drop((rig, disk));
    let disk = open();
    assert_eq!(is(&disk).1, 8 * block);
    let mut rig = Rig { bench: Bench::new(), queue: disk.open_queue(16).expect("a queue") };
    for (kind, state, pointer) in [
        (OperationKind::ZoneOpen, ZoneState::ExplicitlyOpen, 8 * block),
        (OperationKind::ZoneClose, ZoneState::Closed, 8 * block),
        (OperationKind::ZoneFinish, ZoneState::Full, told.zone_len),
        (OperationKind::ZoneReset, ZoneState::Empty, 0),
    ] {
        assert!(rig.range(kind, start, 0).is_ok(), "{kind:?}");
        assert_eq!(is(&disk), (state, pointer), "{kind:?}");
    }
    // As many at once as the queue takes, all in one zone, until it is full.
    let (len, mut at) = (capacity / 64 / block * block, 0);
    while at < capacity {
        let most = 16.min((capacity - at).div_ceil(len));
        for tag in 0..most {
            let len = len.min(capacity - at);
            let operation = rig.bench.write(tag as u16, start + at, &pattern(len as usize, tag as u8));
            rig.queue.submit(operation);
            at += len;
        }
        let done = finish(&mut *rig.queue, most as usize);
        assert!(done.iter().all(|completion| completion.result.is_ok()), "{done:?}");
        rig.bench = Bench::new();
    }
    assert_eq!(is(&disk).0, ZoneState::Full);
    assert_eq!(rig.range(OperationKind::Flush, 0, 0).expect("a flush"), 0);
    assert!(rig.range(OperationKind::ZoneResetAll, 0, 0).is_ok());
    assert!((0..disk.zones()).all(|zone| {
        matches!(disk.zone(zone).expect("a zone").state, ZoneState::Empty | ZoneState::NotWritePointer)
    }));
}
