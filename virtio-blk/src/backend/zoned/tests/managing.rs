//! What is asked of zones, and what is told about them.

use super::rig::{APPEND, CAPACITY, KIB, Rig, SIZE, WRITE, ZONE, at, broken, io_error, runs};
use crate::backend::zone::ZoneState::*;
use crate::backend::zone::{DESCRIPTOR_LEN, REPORT_HEADER_LEN, ZonedModel};
use crate::backend::{BlockBackend, OperationError, OperationKind, ZoneError};

const MANAGING: [OperationKind; 4] =
    [OperationKind::ZoneOpen, OperationKind::ZoneClose, OperationKind::ZoneFinish, OperationKind::ZoneReset];

#[test]
fn blk_zone_02_conventional_zones_are_not_managed() {
    let mut rig = Rig::usual();
    for kind in MANAGING {
        assert_eq!(broken(rig.manage(kind, 0)), ZoneError::InvalidCommand, "{kind:?}");
        assert_eq!(rig.state(0), NotWritePointer);
    }
}

// spec: BLK-ZONE-06 BLK-ZONE-07 BLK-ZONE-08
#[test]
fn blk_zone_04_what_cannot_become_of_a_zone_is_refused_and_changes_nothing() {
    let mut rig = Rig::usual();
    rig.write(at(1), CAPACITY, 1).unwrap();
    rig.write(at(2), 4 * KIB, 1).unwrap();
    rig.disk.set_read_only(2).unwrap();
    rig.disk.set_offline(3).unwrap();
    let impossible = [
        (1, Full, &[OperationKind::ZoneOpen, OperationKind::ZoneClose][..]),
        (2, ReadOnly, &MANAGING),
        (3, Offline, &MANAGING),
        (4, Empty, &[OperationKind::ZoneClose]),
    ];
    for (zone, state, kinds) in impossible {
        for kind in kinds {
            assert_eq!(broken(rig.manage(*kind, at(zone))), ZoneError::InvalidCommand, "{kind:?} of {state:?}");
            assert_eq!(rig.state(zone), state, "{kind:?}");
        }
    }
}

// spec: BLK-INIT-12 BLK-INIT-13
#[test]
fn blk_zone_05_no_more_zones_are_opened_than_there_can_be() {
    let mut rig = Rig::new(|builder| builder.max_open(2).max_active(3));
    let told = rig.disk.capabilities().zoned.unwrap();
    assert_eq!((told.max_open_zones, told.max_active_zones), (2, 3));
    for zone in [1, 2] {
        rig.manage(OperationKind::ZoneOpen, at(zone)).unwrap();
        assert_eq!(rig.state(zone), ExplicitlyOpen);
    }
    assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(3))), ZoneError::OpenResource);
    assert_eq!(rig.state(3), Empty);
    for zone in [1, 2] {
        rig.write(at(zone), 4 * KIB, 1).unwrap();
        rig.manage(OperationKind::ZoneClose, at(zone)).unwrap();
        assert_eq!(rig.state(zone), Closed);
    }
    rig.manage(OperationKind::ZoneOpen, at(3)).unwrap();
    // There is room for another open zone, and none for another active one.
    assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(4))), ZoneError::ActiveResource);
    rig.manage(OperationKind::ZoneOpen, at(1)).unwrap();
    // There is room for neither.
    assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(4))), ZoneError::ActiveResource);
    assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(2))), ZoneError::OpenResource);
    assert_eq!([1, 2, 3, 4].map(|zone| rig.state(zone)), [ExplicitlyOpen, Closed, ExplicitlyOpen, Empty]);
    // A zone that is given up makes room.
    rig.manage(OperationKind::ZoneClose, at(3)).unwrap();
    assert_eq!(rig.state(3), Empty, "nothing was written to it");
    rig.manage(OperationKind::ZoneOpen, at(4)).unwrap();
}

#[test]
fn blk_zone_09_a_reset_of_all_empties_what_can_be_emptied() {
    let mut rig = Rig::usual();
    rig.write(0, 4 * KIB, 7).unwrap();
    for zone in 1..=5 {
        rig.write(at(zone), 4 * KIB, 1).unwrap();
    }
    rig.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    rig.manage(OperationKind::ZoneClose, at(3)).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(4)).unwrap();
    rig.disk.set_read_only(5).unwrap();
    rig.disk.set_offline(6).unwrap();
    let states = |rig: &Rig| (0..8).map(|zone| rig.state(zone)).collect::<Vec<_>>();
    let before = [NotWritePointer, ImplicitlyOpen, ExplicitlyOpen, Closed, Full, ReadOnly, Offline, Empty];
    assert_eq!(states(&rig), before);
    rig.manage(OperationKind::ZoneResetAll, 0).unwrap();
    assert_eq!(states(&rig), [NotWritePointer, Empty, Empty, Empty, Empty, ReadOnly, Offline, Empty]);
    assert_eq!(rig.runs(0, 4 * KIB), [(7, 4 * KIB)]);
    for zone in 1..=4 {
        assert_eq!(rig.runs(at(zone), 4 * KIB), [(0, 4 * KIB)]);
    }
}

#[test]
fn drv_blk_18_zones_are_named_by_their_first_sector() {
    let mut rig = Rig::usual();
    for kind in MANAGING.into_iter().chain([APPEND]) {
        for offset in [at(1) + 512, at(2) - 512, SIZE, SIZE + ZONE, u64::MAX - 511] {
            assert_eq!(broken(rig.manage(kind, offset)), ZoneError::InvalidCommand, "{kind:?} at {offset:#x}");
        }
    }
    for offset in [512, at(1), u64::MAX - 511] {
        assert_eq!(broken(rig.manage(OperationKind::ZoneResetAll, offset)), ZoneError::InvalidCommand);
    }
    let room = rig.bench.memory.alloc(4096, 8);
    for offset in [SIZE, u64::MAX - 511] {
        let report = rig.bench.operation(0, OperationKind::ZoneReport, offset, &[(room, 4096)]);
        assert_eq!(broken(rig.perform(report)), ZoneError::InvalidCommand);
    }
    for offset in [SIZE, u64::MAX - 1023] {
        assert_eq!(broken(rig.write(offset, 512, 1)), ZoneError::InvalidCommand);
        let (read, _) = rig.bench.read(0, offset, 512);
        assert_eq!(broken(rig.perform(read)), ZoneError::InvalidCommand);
    }
}

/// Sectors of capacity, start and pointer, kind and state.
fn descriptors(report: &[u8]) -> Vec<(u64, u64, u64, u8, u8)> {
    let (zones, _) = report[REPORT_HEADER_LEN..].as_chunks::<DESCRIPTOR_LEN>();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let zone = |zone: &[u8; DESCRIPTOR_LEN]| {
        assert_eq!(zone[26..], [0; 38], "what is reserved");
        (number(&zone[..8]), number(&zone[8..16]), number(&zone[16..24]), zone[24], zone[25])
    };
    zones.iter().map(zone).collect()
}

// spec: BLK-INIT-11 BLK-INIT-17
#[test]
fn blk_init_10_zones_are_as_long_as_the_disk_says() {
    let mut rig = Rig::usual();
    let told = rig.disk.capabilities().zoned.unwrap();
    assert_eq!((told.model, told.zone_len, told.write_granularity), (ZonedModel::HostManaged, ZONE, 512));
    rig.write(at(2), 4 * KIB, 1).unwrap();
    rig.write(at(3), CAPACITY, 1).unwrap();
    let len = REPORT_HEADER_LEN + 10 * DESCRIPTOR_LEN;
    let room = rig.bench.memory.place(&vec![0xaa; len]);
    // In pieces that fit nothing.
    let pieces = [(room, 13), (room + 13, 100), (room + 113, len as u32 - 113)];
    let report = rig.bench.operation(0, OperationKind::ZoneReport, 0, &pieces);
    let written = rig.perform(report).unwrap();
    assert_eq!(written as usize, REPORT_HEADER_LEN + 8 * DESCRIPTOR_LEN, "the disk has eight");
    let bytes = rig.bench.memory.bytes(room, len);
    assert_eq!(bytes[..8], 8_u64.to_le_bytes());
    assert_eq!(bytes[8..REPORT_HEADER_LEN], [0; 56]);
    assert!(bytes[written as usize..].iter().all(|byte| *byte == 0xaa), "and no more is written");
    let (zone, capacity) = (ZONE / 512, CAPACITY / 512);
    let expected = [
        (zone, 0, zone, 1, 0),
        (capacity, zone, zone, 2, 1),
        (capacity, 2 * zone, 2 * zone + 8, 2, 2),
        (capacity, 3 * zone, 4 * zone, 2, 14),
        (capacity, 4 * zone, 4 * zone, 2, 1),
        (capacity, 5 * zone, 5 * zone, 2, 1),
        (capacity, 6 * zone, 6 * zone, 2, 1),
        // The last one is as long as the rest of the disk.
        (zone / 2, 7 * zone, 7 * zone, 2, 1),
    ];
    assert_eq!(descriptors(&bytes[..written as usize]), expected);
}

#[test]
fn a_report_begins_with_the_zone_that_holds_the_sector_and_ends_with_the_room() {
    let mut rig = Rig::usual();
    for (offset, room, first, count) in
        [(at(3) + 512, 300, 3, 3), (at(6), 4096, 6, 2), (SIZE - 512, 128, 7, 1), (0, 64, 0, 0), (0, 127, 0, 0)]
    {
        let place = rig.bench.memory.alloc(room, 8);
        let report = rig.bench.operation(0, OperationKind::ZoneReport, offset, &[(place, room as u32)]);
        let written = rig.perform(report).unwrap();
        assert_eq!(written, 64 + 64 * count);
        let bytes = rig.bench.memory.bytes(place, written as usize);
        assert_eq!(bytes[..8], count.to_le_bytes());
        let starts: Vec<_> = descriptors(&bytes).iter().map(|zone| zone.1 * 512).collect();
        assert_eq!(starts, (first..).take(count as usize).map(at).collect::<Vec<_>>());
    }
}

#[test]
fn drv_blk_21_a_report_without_room_for_its_header_fails() {
    let mut rig = Rig::usual();
    let place = rig.bench.memory.place(&[0xaa; 64]);
    let report = rig.bench.operation(0, OperationKind::ZoneReport, 0, &[(place, 63)]);
    io_error(rig.perform(report));
    assert_eq!(rig.bench.memory.bytes(place, 64), [0xaa; 64]);
}

#[test]
fn a_report_of_many_zones_is_whole() {
    let memory = crate::backend::MemoryBackend::zeroed(1 << 20);
    let disk = super::super::ZonedBackend::builder(memory).zone_len(1024).build().unwrap();
    let mut queue = disk.open_queue(4).unwrap();
    let mut bench = crate::backend::bench::Bench::new();
    let place = bench.memory.alloc(1 << 17, 8);
    let report = bench.operation(0, OperationKind::ZoneReport, 0, &[(place, 1 << 17)]);
    assert_eq!(crate::backend::bench::perform(&mut *queue, report).unwrap(), 64 + 64 * 1024);
    let starts: Vec<_> = descriptors(&bench.memory.bytes(place, 64 + 64 * 1024)).iter().map(|zone| zone.1).collect();
    assert_eq!(starts, (0..1024).map(|zone| zone * 2).collect::<Vec<_>>());
}

// spec: BLK-ZONE-20
#[test]
fn blk_zone_19_read_only_zones_are_read_and_offline_ones_not_even_that() {
    let mut rig = Rig::usual();
    for zone in [1, 2] {
        rig.write(at(zone), 4 * KIB, 9).unwrap();
    }
    rig.disk.set_read_only(1).unwrap();
    rig.disk.set_offline(2).unwrap();
    for zone in [1, 2] {
        assert_eq!(broken(rig.write(at(zone) + 4 * KIB, 512, 1)), ZoneError::InvalidCommand);
        assert_eq!(broken(rig.append(at(zone), 512, 1)), ZoneError::InvalidCommand);
    }
    assert_eq!(rig.runs(at(1), 8 * KIB), [(9, 4 * KIB), (0, 4 * KIB)]);
    let (read, _) = rig.bench.read(0, at(2), 512);
    assert_eq!(broken(rig.perform(read)), ZoneError::InvalidCommand);
    // From there a zone goes nowhere but offline.
    rig.disk.set_offline(1).unwrap();
    assert!(rig.disk.set_read_only(1).is_err() && rig.disk.set_offline(0).is_err() && rig.disk.set_offline(8).is_err());
    assert_eq!((rig.state(0), rig.state(1)), (NotWritePointer, Offline));
}

#[test]
fn what_fails_does_not_count_as_open_or_active() {
    let mut rig = Rig::new(|builder| builder.max_open(1).max_active(1));
    for zone in 1..=3 {
        rig.manage(OperationKind::ZoneOpen, at(zone)).unwrap();
        match zone {
            1 => rig.disk.set_offline(zone).unwrap(),
            _ => rig.disk.set_read_only(zone).unwrap(),
        }
    }
    rig.write(at(4), 512, 1).unwrap();
}

#[test]
fn a_finished_zone_reads_as_zeros_behind_what_was_written() {
    let mut rig = Rig::new(|builder| builder.max_open(1).max_active(1));
    rig.write(at(1), 4 * KIB, 3).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(1)).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(1)).unwrap();
    // It takes nothing from the limits; nor does finishing an empty zone.
    rig.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(3)).unwrap();
    assert_eq!([1, 2, 3].map(|zone| rig.state(zone)), [Full, ExplicitlyOpen, Full]);
    assert_eq!(rig.runs(at(1), ZONE), [(3, 4 * KIB), (0, ZONE - 4 * KIB)]);
    assert_eq!(rig.runs(at(3), ZONE), [(0, ZONE)]);
    assert_eq!(broken(rig.write(at(1) + 4 * KIB, 512, 1)), ZoneError::InvalidCommand);
}

// spec: BLK-ZONE-24 BLK-ZONE-25
#[test]
fn blk_zone_23_whole_zones_are_erased_and_are_empty_then() {
    let mut rig = Rig::usual();
    let limits = rig.disk.capabilities().secure_erase.unwrap();
    assert_eq!((u64::from(limits.alignment), limits.max_len % ZONE), (ZONE, 0));
    for zone in 1..=3 {
        rig.write(at(zone), CAPACITY, zone as u8).unwrap();
    }
    let erase = OperationKind::SecureErase;
    for (offset, len) in [
        (at(1), ZONE / 2),
        (at(1), ZONE + 512),
        (at(1) + 512, ZONE),
        (at(7), ZONE),
        (at(7), ZONE / 2),
        (SIZE, ZONE),
        (0, ZONE),
        (0, 2 * ZONE),
        (at(1), 1 << 50),
    ] {
        assert_eq!(broken(rig.range(erase, offset, len)), ZoneError::InvalidCommand, "{offset:#x} {len:#x}");
    }
    assert_eq!([1, 2, 3].map(|zone| rig.state(zone)), [Full; 3]);
    assert_eq!(rig.range(erase, at(1), 0).unwrap(), 0);
    assert_eq!(rig.range(erase, at(1), 2 * ZONE).unwrap(), 2 * ZONE);
    assert_eq!([1, 2, 3].map(|zone| rig.state(zone)), [Empty, Empty, Full]);
    assert_eq!(runs(&rig.memory.content())[1], (0, 2 * ZONE), "the data is gone");
    rig.disk.set_read_only(3).unwrap();
    assert_eq!(broken(rig.range(erase, at(2), 2 * ZONE)), ZoneError::InvalidCommand);
    rig.write(at(1), 512, 1).unwrap();
}

#[test]
fn a_host_managed_disk_is_neither_discarded_nor_zeroed() {
    let mut rig = Rig::usual();
    let told = rig.disk.capabilities();
    assert_eq!((told.discard, told.write_zeroes, told.zeroes_may_unmap, told.merge), (None, None, false, false));
    for kind in [OperationKind::Discard, super::rig::ZEROES] {
        assert!(matches!(rig.range(kind, 0, 512), Err(OperationError::Unsupported)));
    }
    assert!(matches!(rig.write(0, 512, 1), Ok(512)));
    assert_eq!(rig.manage(WRITE, at(1)).unwrap(), 0, "a write of nothing");
    assert_eq!(rig.state(1), Empty);
}
