//! Devices of the host that fail, or say what cannot be.

use super::fake::*;
use super::host::report;
use super::rig::{CAPACITY, KIB, Rig, ZONE, at, broken, io_error};
use crate::backend::zone::ZoneState::*;
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::host::{Facts, HostZonesError, Reported, ZoneFault};
use crate::backend::{BlockBackend, MemoryBackend, OperationKind, ZoneError};

const KINDS: [u8; 4] = [CONVENTIONAL, SEQUENTIAL, SEQUENTIAL, SEQUENTIAL];

fn usual() -> (Fake, Rig) {
    let fake = Fake::new(&KINDS);
    let disk = fake.open(&fake.facts()).unwrap();
    (fake, Rig::of(disk, MemoryBackend::zeroed(0)))
}

#[test]
fn a_write_that_failed_leaves_the_pointer_where_the_device_has_it() {
    let (fake, mut rig) = usual();
    rig.write(at(1), KIB, 1).unwrap();
    for written in [0, 512, 2 * KIB] {
        let before = rig.pointer(1);
        fake.goes_wrong(Wrong::Write(written));
        io_error(rig.write(at(1) + before, 4 * KIB, 2));
        assert_eq!((rig.pointer(1), fake.zone(1)), (before + written, (IMPLICIT, before + written)));
    }
    // An append goes where the device has it, and the part of the other one is read as it is.
    assert_eq!(rig.append(at(1), 512, 3).unwrap(), at(1) + 3 * KIB + 512);
    assert_eq!(rig.runs(at(1), 5 * KIB), [(1, KIB), (2, 2 * KIB + 512), (3, 512), (0, KIB)]);
    fake.goes_wrong(Wrong::Write(512));
    io_error(rig.append(at(1), KIB, 4));
    assert_eq!(rig.append(at(1), 512, 5).unwrap(), at(1) + 4 * KIB + 512);
    assert_eq!(fake.state().refused, 0);
}

#[test]
fn a_device_that_does_not_even_report_is_asked_again_later() {
    let (fake, mut rig) = usual();
    rig.write(at(1), KIB, 1).unwrap();
    fake.goes_wrong(Wrong::Write(512));
    fake.goes_wrong(Wrong::Report);
    io_error(rig.write(at(1) + KIB, KIB, 2));
    assert_eq!(rig.pointer(1), KIB, "for all that is known");
    // The device knows better, and is asked again.
    io_error(rig.write(at(1) + KIB, KIB, 2));
    assert_eq!((rig.pointer(1), fake.state().refused), (KIB + 512, 1));
    rig.write(at(1) + KIB + 512, KIB, 2).unwrap();
    fake.goes_wrong(Wrong::Report);
    io_error(report(&mut rig));
    report(&mut rig).unwrap();
}

// spec: BLK-ZONE-08
#[test]
fn blk_zone_07_a_command_that_the_device_fails_changes_nothing() {
    let (fake, mut rig) = usual();
    rig.write(at(1), KIB, 1).unwrap();
    let all = OperationKind::ZoneResetAll;
    for kind in [OperationKind::ZoneOpen, OperationKind::ZoneFinish, OperationKind::ZoneReset, all] {
        fake.goes_wrong(Wrong::Command);
        io_error(rig.manage(kind, if kind == all { 0 } else { at(1) }));
        assert_eq!((rig.state(1), rig.pointer(1)), (ImplicitlyOpen, KIB), "{kind:?}");
    }
    assert_eq!(rig.runs(at(1), KIB), [(1, KIB)]);
    rig.write(at(1) + KIB, KIB, 1).unwrap();
    assert_eq!(fake.state().refused, 0);
}

// spec: BLK-ZONE-10
#[test]
fn blk_zone_05_limits_that_only_the_device_knows_are_told() {
    for (max_open, max_active, error) in [(1, 0, ZoneError::OpenResource), (0, 1, ZoneError::ActiveResource)] {
        let fake = Fake::new(&KINDS);
        let disk = fake.open(&fake.facts()).unwrap();
        (fake.state().max_open, fake.state().max_active) = (max_open, max_active);
        let mut rig = Rig::of(disk, MemoryBackend::zeroed(0));
        rig.manage(OperationKind::ZoneOpen, at(1)).unwrap();
        assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(2))), error);
        assert_eq!(broken(rig.write(at(2), 512, 1)), error);
        assert_eq!(broken(rig.append(at(2), 512, 1)), error);
        assert_eq!((rig.state(2), rig.pointer(2)), (Empty, 0));
    }
}

// spec: BLK-ZONE-20
#[test]
fn blk_zone_19_zones_that_fail_under_way_are_found_out() {
    let (fake, mut rig) = usual();
    rig.write(at(1), KIB, 1).unwrap();
    fake.put(1, READ_ONLY, 0);
    fake.put(2, OFFLINE, 0);
    io_error(rig.write(at(1) + KIB, KIB, 1));
    io_error(rig.manage(OperationKind::ZoneOpen, at(2)));
    assert_eq!([1, 2].map(|zone| rig.state(zone)), [ReadOnly, Offline]);
    for zone in [1, 2] {
        assert_eq!(broken(rig.write(at(zone) + KIB, 512, 1)), ZoneError::InvalidCommand);
        assert_eq!(broken(rig.manage(OperationKind::ZoneReset, at(zone))), ZoneError::InvalidCommand);
    }
    assert_eq!(rig.runs(at(1), KIB), [(1, KIB)]);
    assert!(rig.read(at(2), 512).is_err());
    // Somebody else used the device.
    fake.put(3, CLOSED, 2 * KIB);
    report(&mut rig).unwrap();
    assert_eq!((rig.state(3), rig.pointer(3)), (Closed, 2 * KIB));
}

/// Reports that cannot be: of a zone that the fourth one, of 64 sectors from 384 on, comes out as, or of all of them.
fn lies() -> Vec<(ZoneFault, Lie)> {
    fn last(zones: &mut [Reported]) -> Option<&mut Reported> {
        zones.iter_mut().find(|zone| zone.start == 384)
    }
    macro_rules! lie {
        ($fault:expr, $zone:ident => $change:expr) => {
            (
                $fault,
                (|zones: &mut Vec<Reported>| {
                    if let Some($zone) = last(zones) {
                        $change;
                    }
                }) as Lie,
            )
        };
    }
    vec![
        lie!(ZoneFault::Place { start: 385, len: 64 }, zone => zone.start = 385),
        lie!(ZoneFault::Place { start: 320, len: 64 }, zone => zone.start = 320),
        lie!(ZoneFault::Place { start: u64::MAX, len: 64 }, zone => zone.start = u64::MAX),
        lie!(ZoneFault::Place { start: 384, len: 65 }, zone => zone.len = 65),
        lie!(ZoneFault::Place { start: 384, len: 0 }, zone => zone.len = 0),
        lie!(ZoneFault::Place { start: 384, len: u64::MAX }, zone => zone.len = u64::MAX),
        lie!(ZoneFault::Capacity { capacity: 0 }, zone => zone.capacity = 0),
        lie!(ZoneFault::Capacity { capacity: 65 }, zone => zone.capacity = 65),
        lie!(ZoneFault::Capacity { capacity: 1 << 55 }, zone => zone.capacity = 1 << 55),
        lie!(ZoneFault::Kind { kind: 0 }, zone => zone.kind = 0),
        lie!(ZoneFault::Kind { kind: 3 }, zone => zone.kind = 3),
        lie!(ZoneFault::Kind { kind: 255 }, zone => zone.kind = 255),
        lie!(ZoneFault::State { state: 5 }, zone => zone.condition = 5),
        lie!(ZoneFault::State { state: 255 }, zone => zone.condition = 255),
        // A sequential zone has a pointer, a conventional one none, and an empty one nothing before it.
        lie!(ZoneFault::State { state: 0 }, zone => zone.condition = 0),
        lie!(ZoneFault::State { state: 1 }, zone => zone.kind = CONVENTIONAL),
        lie!(ZoneFault::State { state: 1 }, zone => zone.write_pointer = 385),
        lie!(ZoneFault::Pointer { write_pointer: 383 }, zone => (zone.condition, zone.write_pointer) = (CLOSED, 383)),
        lie!(ZoneFault::Pointer { write_pointer: 449 }, zone => (zone.condition, zone.write_pointer) = (CLOSED, 449)),
        lie!(
            ZoneFault::Pointer { write_pointer: u64::MAX },
            zone => (zone.condition, zone.write_pointer) = (IMPLICIT, u64::MAX)
        ),
        (ZoneFault::Missing, |zones| zones.retain(|zone| zone.start < 384)),
    ]
}

#[test]
fn a_report_that_cannot_be_is_not_believed() {
    for (fault, lie) in lies() {
        let fake = Fake::new(&KINDS);
        fake.state().lie = Some(lie);
        match fake.open(&fake.facts()) {
            Err(HostZonesError::Zone { zone: 3, fault: said }) => assert_eq!(said, fault),
            other => panic!("{fault:?}: {other:?}"),
        }
        // The same later: zones stay as they were, and what relies on the report fails.
        let (fake, mut rig) = usual();
        rig.write(at(3), KIB, 1).unwrap();
        fake.state().lie = Some(lie);
        if !matches!(fault, ZoneFault::State { state: 1 }) {
            let error = io_error(report(&mut rig));
            assert!(error.to_string().contains("zone 3"), "{error}");
        }
        assert_eq!((rig.state(3), rig.pointer(3)), (ImplicitlyOpen, KIB), "{fault:?}");
        rig.manage(OperationKind::ZoneReset, at(3)).unwrap();
        rig.write(at(3), KIB, 1).unwrap();
    }
}

#[test]
fn more_zones_than_were_asked_for_are_left_out() {
    let fake = Fake::new(&KINDS);
    fake.state().lie = Some(|zones| {
        let more = zones.last().copied();
        zones.extend(more.into_iter().cycle().take(1000));
    });
    fake.state().at_once = 4;
    assert_eq!(fake.open(&fake.facts()).unwrap().zones(), 4);
}

#[test]
fn a_zone_does_not_become_another_one() {
    for change in [
        |zone: &mut Reported| zone.capacity = 32,
        |zone: &mut Reported| {
            (zone.kind, zone.condition) = (CONVENTIONAL, NO_POINTER);
        },
    ] {
        let (fake, mut rig) = usual();
        change(&mut fake.state().zones[2]);
        let error = io_error(report(&mut rig));
        assert!(error.to_string().contains("another kind or capacity"), "{error}");
        assert_eq!(rig.disk.zone(2).unwrap().capacity, CAPACITY);
    }
}

#[test]
fn facts_that_cannot_be_are_refused() {
    let fake = Fake::new(&KINDS);
    let usual = fake.facts();
    let refused = |facts: Facts| fake.open(&facts).expect_err("no disk");
    for granularity in [0, 256, 513, 1 << 32, u64::MAX] {
        assert!(matches!(refused(Facts { granularity, ..usual }), HostZonesError::Granularity { .. }));
    }
    for zone_len in [0, 513, 1 << 41, u64::MAX] {
        assert!(matches!(refused(Facts { zone_len, ..usual }), HostZonesError::ZoneLen { .. }));
    }
    for (zones, zone_len) in [(0, ZONE), (3, ZONE), (5, ZONE), (u32::MAX, ZONE), (4, ZONE / 2), (1, 1 << 40)] {
        let refusal = refused(Facts { zones, zone_len, ..usual });
        let expected = if zones == 1 { matches!(refusal, HostZonesError::Zone { .. }) } else { false };
        assert!(expected || matches!(refusal, HostZonesError::Count { .. }), "{refusal:?}");
    }
    // Zones that are no multiples of what they are written in.
    let coarse = Facts { granularity: 32 << 10, ..usual };
    assert!(matches!(refused(coarse), HostZonesError::Zone { zone: 1, fault: ZoneFault::Capacity { .. } }));
    let model = ZonedModel::HostAware;
    assert!(matches!(
        refused(Facts { model, ..usual }),
        HostZonesError::Zone { fault: ZoneFault::Kind { kind: 2 }, .. }
    ));
    let plain = Fake::new(&[CONVENTIONAL; 3]);
    assert!(matches!(plain.open(&plain.facts()), Err(HostZonesError::AllConventional)));
    fake.goes_wrong(Wrong::Report);
    assert!(matches!(refused(usual), HostZonesError::Io(_)));
}

#[test]
fn limits_that_make_no_sense_are_set_right() {
    let fake = Fake::new(&KINDS);
    let told = |facts: Facts| fake.open(&facts).unwrap().capabilities().zoned.unwrap();
    let zoned = told(Facts { max_open: 9, max_active: 3, max_append_len: u64::MAX, ..fake.facts() });
    assert_eq!((zoned.max_open_zones, zoned.max_active_zones), (3, 3));
    // The smallest zone has to take it.
    assert_eq!(zoned.max_append_len, ZONE / 2);
    assert_eq!(told(Facts { max_append_len: 0, ..fake.facts() }).max_append_len, ZONE / 2);
    assert_eq!(told(Facts { max_append_len: 1025, ..fake.facts() }).max_append_len, 1024);
}

#[test]
fn a_queue_that_goes_leaves_what_the_device_has() {
    let (fake, mut rig) = usual();
    fake.state().held = true;
    let write = rig.bench.write(0, at(1), &[1; 4096]);
    rig.queue.submit(write);
    assert_eq!(rig.pointer(1), 4 * KIB);
    // Half of it was done.
    fake.put(1, IMPLICIT, 2 * KIB);
    rig.queue = rig.disk.open_queue(4).unwrap();
    fake.state().held = false;
    assert_eq!((rig.state(1), rig.pointer(1)), (ImplicitlyOpen, 2 * KIB));
    rig.write(at(1) + 2 * KIB, KIB, 1).unwrap();
}
