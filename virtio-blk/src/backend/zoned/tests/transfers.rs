//! Reads, writes and appends.

use super::rig::{CAPACITY, KIB, Rig, SIZE, ZEROES, ZONE, at, broken, runs};
use crate::backend::zone::ZoneState::*;
use crate::backend::{BlockBackend, OperationError, OperationKind, ZoneError};

#[test]
fn blk_zone_03_only_sequential_zones_are_appended_to() {
    let mut rig = Rig::usual();
    assert_eq!(broken(rig.append(0, 512, 1)), ZoneError::InvalidCommand);
    let mut aware = Rig::aware();
    for zone in [0, 1] {
        assert_eq!(broken(aware.append(at(zone), 512, 1)), ZoneError::InvalidCommand);
    }
}

#[test]
fn blk_zone_10_a_write_that_would_open_too_many_zones_is_refused() {
    let mut rig = Rig::new(|builder| builder.max_open(2).max_active(3));
    rig.manage(OperationKind::ZoneOpen, at(1)).unwrap();
    rig.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    assert_eq!(broken(rig.write(at(3), 512, 1)), ZoneError::OpenResource);
    assert_eq!(broken(rig.append(at(3), 512, 1)), ZoneError::OpenResource);
    assert_eq!((rig.state(3), rig.pointer(3)), (Empty, 0));
    rig.write(at(2), 512, 1).unwrap();
    rig.manage(OperationKind::ZoneClose, at(2)).unwrap();
    rig.write(at(3), 512, 1).unwrap();
    assert_eq!(broken(rig.write(at(4), 512, 1)), ZoneError::ActiveResource);
    assert_eq!(broken(rig.append(at(4), 512, 1)), ZoneError::ActiveResource);
    assert_eq!((rig.state(4), rig.pointer(4)), (Empty, 0));
    // BLK-ZONE-18: one that was opened by a write makes room for another one that is active already.
    rig.write(at(2) + 512, 512, 1).unwrap();
    assert_eq!([2, 3].map(|zone| rig.state(zone)), [ImplicitlyOpen, Closed]);
    // A zone that is full is not active any more.
    for sector in 2..CAPACITY / 512 {
        rig.write(at(2) + 512 * sector, 512, 1).unwrap();
    }
    assert_eq!(rig.state(2), Full);
    rig.write(at(4), 512, 1).unwrap();
}

#[test]
fn blk_zone_11_what_is_appended_is_addressed_to_the_start_of_a_zone() {
    let mut rig = Rig::usual();
    for offset in [at(1) + 512, at(2) - 512] {
        assert_eq!(broken(rig.append(offset, 512, 1)), ZoneError::InvalidCommand);
    }
    rig.write(at(1), 512, 1).unwrap();
    assert_eq!(broken(rig.append(at(1) + 512, 512, 1)), ZoneError::InvalidCommand, "its pointer will not do");
    assert_eq!(rig.pointer(1), 512);
}

#[test]
fn blk_zone_12_nothing_is_written_beyond_a_zones_capacity() {
    let mut rig = Rig::usual();
    rig.write(at(1), CAPACITY - KIB, 1).unwrap();
    assert_eq!(broken(rig.write(at(1) + CAPACITY - KIB, 2 * KIB, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(1), 2 * KIB, 1)), ZoneError::InvalidCommand);
    assert_eq!((rig.state(1), rig.pointer(1)), (ImplicitlyOpen, CAPACITY - KIB));
    rig.write(at(1) + CAPACITY - KIB, KIB, 1).unwrap();
    assert_eq!(rig.state(1), Full);
    assert_eq!(broken(rig.write(at(1) + CAPACITY, 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(1), 512, 1)), ZoneError::InvalidCommand);
    // The last zone is smaller than what others can hold.
    assert_eq!(broken(rig.write(at(7), ZONE / 2 + 512, 1)), ZoneError::InvalidCommand);
    rig.write(at(7), ZONE / 2, 1).unwrap();
    assert_eq!(rig.state(7), Full);
}

#[test]
fn blk_zone_13_an_append_says_where_its_data_went() {
    let mut rig = Rig::usual();
    let mut expected = at(2);
    for (len, byte) in [(512, 1), (4 * KIB, 2), (8 * KIB, 3)] {
        assert_eq!(rig.append(at(2), len, byte).unwrap(), expected);
        assert_eq!(rig.runs(expected, len), [(byte, len)]);
        expected += len;
    }
    assert_eq!(runs(&rig.memory.content()[at(2) as usize..expected as usize]), [(1, 512), (2, 4096), (3, 8192)]);
    assert_eq!((rig.state(2), rig.pointer(2)), (ImplicitlyOpen, expected - at(2)));
}

#[test]
fn blk_zone_14_a_disk_that_takes_no_appends_says_so() {
    let mut rig = Rig::new(|builder| builder.max_append_len(0));
    assert_eq!(rig.disk.capabilities().zoned.unwrap().max_append_len, 0);
    assert!(matches!(rig.append(at(1), 512, 1), Err(OperationError::Unsupported)));
}

// spec: BLK-INIT-14
#[test]
fn blk_zone_15_no_append_is_longer_than_the_disk_says() {
    let mut rig = Rig::usual();
    let most = rig.disk.capabilities().zoned.unwrap().max_append_len;
    assert_eq!(broken(rig.append(at(1), most + 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(rig.state(1), Empty);
    assert_eq!(rig.append(at(1), most, 1).unwrap(), at(1));
}

#[test]
fn blk_zone_16_nothing_goes_over_the_border_of_a_sequential_zone() {
    let mut rig = Rig::new(|builder| builder.conventional(2).zone_capacity(ZONE).max_append_len(ZONE));
    rig.write(at(2), ZONE - 512, 1).unwrap();
    assert_eq!(broken(rig.write(at(3) - 512, KIB, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(2), KIB, 1)), ZoneError::InvalidCommand);
    // Also out of a conventional zone; between those there is no border.
    for (offset, len) in [(at(3) - 512, KIB), (at(2) - 512, KIB), (at(2), ZONE + 512), (at(1), SIZE - at(1))] {
        let (read, _) = rig.bench.read(0, offset, len as u32);
        assert_eq!(broken(rig.perform(read)), ZoneError::InvalidCommand, "{offset:#x}");
    }
    assert_eq!(broken(rig.write(at(2) - 512, KIB, 1)), ZoneError::InvalidCommand);
    rig.write(at(1) - 512, KIB, 1).unwrap();
    assert_eq!(rig.runs(at(1) - 512, KIB), [(1, KIB)]);
    assert_eq!(rig.pointer(2), ZONE - 512);
}

#[test]
fn blk_zone_17_sequential_zones_are_written_at_their_pointer() {
    let mut rig = Rig::usual();
    assert_eq!(broken(rig.write(at(1) + 512, 512, 1)), ZoneError::UnalignedWritePointer);
    assert_eq!(rig.state(1), Empty);
    rig.write(at(1), KIB, 1).unwrap();
    for offset in [0, 512, KIB + 512, CAPACITY - 512, CAPACITY, ZONE - 512] {
        assert_eq!(broken(rig.write(at(1) + offset, 512, 2)), ZoneError::UnalignedWritePointer, "{offset}");
    }
    rig.write(at(1) + KIB, 512, 1).unwrap();
    assert_eq!((rig.pointer(1), rig.runs(at(1), 2 * KIB)), (KIB + 512, vec![(1, KIB + 512), (0, 512)]));
    assert_eq!(runs(&rig.memory.content()).last(), Some(&(0xee, SIZE - at(1) - KIB - 512)), "nothing was written");
}

// spec: DRV-BLK-19 BLK-INIT-17
#[test]
fn drv_blk_20_writes_are_multiples_of_the_granularity() {
    let mut rig = Rig::new(|builder| builder.write_granularity(4096));
    assert_eq!(rig.disk.capabilities().zoned.unwrap().write_granularity, 4096);
    assert_eq!(broken(rig.write(at(1), 512, 1)), ZoneError::UnalignedWritePointer);
    assert_eq!(broken(rig.write(at(1) + 512, 4096, 1)), ZoneError::UnalignedWritePointer);
    assert_eq!(broken(rig.append(at(1), 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(1), 4096 + 512, 1)), ZoneError::InvalidCommand);
    assert_eq!((rig.state(1), rig.pointer(1)), (Empty, 0));
    rig.write(at(1), 4096, 1).unwrap();
    rig.append(at(1), 8192, 1).unwrap();
    rig.write(512, 512, 1).expect("conventional zones take every sector");
}

// spec: BLK-ZONE-22
#[test]
fn blk_zone_21_what_was_never_written_reads_as_zeros_whatever_is_there() {
    let mut rig = Rig::usual();
    assert_eq!(rig.runs(0, ZONE), [(0xee, ZONE)], "conventional zones have what is there");
    assert_eq!(rig.runs(at(1), ZONE), [(0, ZONE)]);
    rig.write(at(1), 3 * KIB, 4).unwrap();
    assert_eq!(rig.runs(at(1), ZONE), [(4, 3 * KIB), (0, ZONE - 3 * KIB)]);
    assert_eq!(rig.runs(at(1) + 3 * KIB, 512), [(0, 512)]);
    // In pieces of memory that do not end where the data does.
    let place = rig.bench.memory.place(&[0x55; 8192]);
    let pieces = [(place, 1000), (place + 1000, 3000), (place + 4000, 4192)];
    let read = rig.bench.operation(0, OperationKind::Read, at(1) + KIB, &pieces);
    assert_eq!(rig.perform(read).unwrap(), 8192);
    assert_eq!(runs(&rig.bench.memory.bytes(place, 8192)), [(4, 2 * KIB), (0, 6 * KIB)]);
    // What was there before a reset is not there any more.
    rig.manage(OperationKind::ZoneReset, at(1)).unwrap();
    rig.write(at(1), 512, 5).unwrap();
    assert_eq!(rig.runs(at(1), 4 * KIB), [(5, 512), (0, 4 * KIB - 512)]);
}

#[test]
fn host_aware_zones_are_written_anywhere_and_show_nothing_old() {
    let mut rig = Rig::aware();
    assert_eq!(rig.disk.zone(1).unwrap().kind, crate::backend::zone::ZoneType::SequentialWritePreferred);
    rig.write(at(1) + 8 * KIB, 4 * KIB, 1).unwrap();
    assert_eq!((rig.state(1), rig.pointer(1)), (ImplicitlyOpen, 12 * KIB));
    let expected = [(0, 8 * KIB), (1, 4 * KIB), (0, ZONE - 12 * KIB)];
    assert_eq!(rig.runs(at(1), ZONE), expected);
    rig.write(at(1), 4 * KIB, 2).unwrap();
    assert_eq!(rig.pointer(1), 12 * KIB);
    // Over borders, and reads over several zones with data and without.
    rig.write(at(3) - KIB, ZONE + 2 * KIB, 3).unwrap();
    assert_eq!([2, 3, 4].map(|zone| rig.state(zone)), [Full, Full, ImplicitlyOpen]);
    assert_eq!(rig.pointer(4), KIB);
    let all = [
        (0xee, ZONE),
        (2, 4 * KIB),
        (0, 4 * KIB),
        (1, 4 * KIB),
        (0, 2 * ZONE - 13 * KIB),
        (3, ZONE + 2 * KIB),
        (0, SIZE - at(4) - KIB),
    ];
    assert_eq!(rig.runs(0, SIZE), all);
    // A full one takes writes, too, and a finished one goes on where nothing was written.
    rig.write(at(3), KIB, 4).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(4)).unwrap();
    rig.write(at(4) + 4 * KIB, KIB, 5).unwrap();
    assert_eq!((rig.state(3), rig.state(4)), (Full, Full));
    assert_eq!(rig.runs(at(4), ZONE), [(3, KIB), (0, 3 * KIB), (5, KIB), (0, ZONE - 5 * KIB)]);
    // From a conventional zone on.
    rig.write(at(1) - KIB, 2 * KIB, 6).unwrap();
    assert_eq!(rig.runs(at(1) - KIB, 4 * KIB), [(6, 2 * KIB), (2, 2 * KIB)]);
    rig.manage(OperationKind::ZoneReset, at(1)).unwrap();
    assert_eq!(rig.runs(at(1), ZONE), [(0, ZONE)]);
}

#[test]
fn host_aware_zones_are_zeroed_and_discarded() {
    let mut rig = Rig::aware();
    let told = rig.disk.capabilities();
    assert!(told.discard.is_some() && told.write_zeroes.is_some());
    assert_eq!(told.zoned.unwrap().max_append_len, 0);
    rig.write(at(1), 8 * KIB, 1).unwrap();
    assert_eq!(rig.range(ZEROES, at(1) + 4 * KIB, 8 * KIB).unwrap(), 8 * KIB);
    assert_eq!((rig.pointer(1), rig.runs(at(1), 12 * KIB)), (12 * KIB, vec![(1, 4 * KIB), (0, 8 * KIB)]));
    assert_eq!(rig.range(OperationKind::Discard, at(1), ZONE + KIB).unwrap(), ZONE + KIB);
    assert_eq!((rig.pointer(1), rig.pointer(2)), (12 * KIB, 0));
    assert_eq!(rig.runs(at(1), ZONE), [(0, ZONE)]);
    rig.disk.set_read_only(1).unwrap();
    for kind in [OperationKind::Discard, ZEROES] {
        assert_eq!(broken(rig.range(kind, at(1), 512)), ZoneError::InvalidCommand);
        assert_eq!(rig.range(kind, at(2), 0).unwrap(), 0);
    }
    rig.disk.set_offline(2).unwrap();
    assert_eq!(broken(rig.range(ZEROES, at(3) - KIB, 2 * KIB)), ZoneError::InvalidCommand);
    assert_eq!(rig.pointer(3), 0);
}
