//! The zones of a device of the host, as a driver sees and uses them.

use std::time::{Duration, Instant};

use super::fake::*;
use super::rig::{APPEND, CAPACITY, KIB, Rig, SIZE, ZONE, at, broken};
use crate::backend::bench::Bench;
use crate::backend::zone::ZoneState::{self, *};
use crate::backend::zone::{DESCRIPTOR_LEN, REPORT_HEADER_LEN, ZoneType, ZonedModel};
use crate::backend::zoned::host::Command;
use crate::backend::{
    BlockBackend, Completion, MemoryBackend, OperationError, OperationKind, OperationResult, ZoneError,
};

/// Conventional zones at the start and in the middle.
const KINDS: [u8; 8] =
    [CONVENTIONAL, SEQUENTIAL, SEQUENTIAL, SEQUENTIAL, CONVENTIONAL, SEQUENTIAL, SEQUENTIAL, SEQUENTIAL];

fn rig(fake: &Fake) -> Rig {
    Rig::of(fake.open(&fake.facts()).unwrap(), MemoryBackend::zeroed(0))
}

fn usual() -> (Fake, Rig) {
    let fake = Fake::new(&KINDS);
    let rig = rig(&fake);
    (fake, rig)
}

/// What the disk says of a zone is what the device has.
#[track_caller]
fn agree(fake: &Fake, rig: &Rig) {
    for zone in 0..rig.disk.zones() {
        let (condition, pointer) = fake.zone(zone);
        assert_eq!(rig.state(zone) as u8, condition, "zone {zone}");
        if [EMPTY, IMPLICIT, EXPLICIT, CLOSED].contains(&condition) {
            assert_eq!(rig.pointer(zone), pointer, "zone {zone}");
        }
    }
}

fn submit_write(rig: &mut Rig, tag: u16, offset: u64, len: u64) {
    let operation = rig.bench.write(tag, offset, &vec![tag as u8; len as usize]);
    rig.queue.submit(operation);
}

fn submit_append(rig: &mut Rig, tag: u16, zone: u32, len: u64) {
    let place = rig.bench.memory.place(&vec![tag as u8; len as usize]);
    let operation = rig.bench.operation(tag, APPEND, at(zone), &[(place, len as u32)]);
    rig.queue.submit(operation);
}

/// What has ended by now: tags and results, by tag.
fn ended(rig: &mut Rig) -> Vec<(u16, OperationResult)> {
    let mut done = Vec::new();
    rig.queue.kick();
    for _ in 0..16 {
        rig.queue.completions(100, &mut |Completion { operation, result }| done.push((operation.tag(), result)));
    }
    done.sort_by_key(|(tag, _)| *tag);
    done
}

// spec: BLK-INIT-12 BLK-INIT-13 BLK-INIT-14 BLK-INIT-17
#[test]
fn blk_init_10_a_device_is_shown_with_the_zones_that_it_has() {
    let fake = Fake::new(&KINDS);
    fake.put(1, CLOSED, 4 * KIB);
    fake.put(2, FULL, CAPACITY);
    fake.put(3, READ_ONLY, 0);
    fake.put(5, EXPLICIT, 0);
    fake.put(6, OFFLINE, 0);
    (fake.state().max_open, fake.state().max_active) = (3, 4);
    let mut rig = rig(&fake);
    let told = rig.disk.capabilities();
    assert_eq!((told.discard, told.write_zeroes, told.secure_erase, told.merge), (None, None, None, false));
    let zoned = told.zoned.unwrap();
    assert_eq!((zoned.model, zoned.zone_len, zoned.write_granularity), (ZonedModel::HostManaged, ZONE, 512));
    assert_eq!((zoned.max_open_zones, zoned.max_active_zones, zoned.max_append_len), (3, 4, 8 * KIB));
    assert_eq!((rig.disk.size().unwrap(), rig.disk.zones()), (SIZE, 8));
    agree(&fake, &rig);

    // The device answers for three at a time.
    let len = REPORT_HEADER_LEN + 8 * DESCRIPTOR_LEN;
    let place = rig.bench.memory.alloc(len as u64, 8);
    let report = rig.bench.operation(0, OperationKind::ZoneReport, 0, &[(place, len as u32)]);
    assert_eq!(rig.perform(report).unwrap(), len as u64);
    let bytes = rig.bench.memory.bytes(place, len);
    let (zones, _) = bytes[REPORT_HEADER_LEN..].as_chunks::<DESCRIPTOR_LEN>();
    let state = fake.state();
    for (said, zone) in zones.iter().zip(&state.zones) {
        let number = |at: usize| u64::from_le_bytes(said[at..at + 8].try_into().unwrap());
        assert_eq!((number(0), number(8)), (zone.capacity, zone.start));
        assert_eq!((said[24], said[25]), (zone.kind, zone.condition));
        if [EMPTY, EXPLICIT, CLOSED].contains(&zone.condition) {
            assert_eq!(number(16), zone.write_pointer);
        }
    }
}

// spec: BLK-ZONE-12 BLK-ZONE-21 BLK-ZONE-22
#[test]
fn blk_zone_17_writes_go_to_the_device_in_order_and_others_not_at_all() {
    let (fake, mut rig) = usual();
    rig.write(at(1), 4 * KIB, 1).unwrap();
    rig.write(at(1) + 4 * KIB, 8 * KIB, 2).unwrap();
    for offset in [at(1), at(1) + 4 * KIB, at(1) + 16 * KIB, at(2) + 512] {
        assert_eq!(broken(rig.write(offset, 512, 9)), ZoneError::UnalignedWritePointer);
    }
    assert_eq!(broken(rig.write(at(1) + 12 * KIB, CAPACITY, 9)), ZoneError::InvalidCommand);
    assert_eq!(fake.state().refused, 0, "the device has not heard of it");
    assert_eq!((rig.state(1), rig.pointer(1)), (ImplicitlyOpen, 12 * KIB));
    agree(&fake, &rig);
    // What was never written is not asked for.
    assert_eq!(rig.runs(at(1), ZONE), [(1, 4 * KIB), (2, 8 * KIB), (0, ZONE - 12 * KIB)]);
    assert_eq!(fake.state().reads, [(at(1), 12 * KIB)]);
    // Conventional zones are written anywhere, wherever they are.
    for zone in [0, 4] {
        rig.write(at(zone) + 8 * KIB, 512, 3).unwrap();
        rig.write(at(zone), 512, 4).unwrap();
        assert_eq!(rig.runs(at(zone), 8 * KIB + 512), [(4, 512), (0xee, 8 * KIB - 512), (3, 512)]);
    }
    // To the end.
    rig.write(at(1) + 12 * KIB, CAPACITY - 12 * KIB, 5).unwrap();
    assert_eq!(rig.state(1), Full);
    agree(&fake, &rig);
}

// spec: BLK-ZONE-03 BLK-ZONE-11 BLK-ZONE-12 BLK-ZONE-15
#[test]
fn blk_zone_13_an_append_is_a_write_where_the_devices_pointer_is() {
    let fake = Fake::new(&KINDS);
    fake.put(2, CLOSED, 4 * KIB);
    let mut rig = rig(&fake);
    assert_eq!(rig.append(at(2), 8 * KIB, 1).unwrap(), at(2) + 4 * KIB);
    assert_eq!(rig.append(at(2), 512, 2).unwrap(), at(2) + 12 * KIB);
    assert_eq!(fake.zone(2), (IMPLICIT, 12 * KIB + 512));
    assert_eq!(broken(rig.append(at(2), 8 * KIB + 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(4), 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(broken(rig.append(at(2) + 512, 512, 1)), ZoneError::InvalidCommand);
    assert_eq!(fake.state().refused, 0);
    agree(&fake, &rig);
}

#[test]
fn writes_of_one_queue_to_one_zone_reach_the_device_in_order() {
    let (fake, mut rig) = usual();
    for tag in 1..=6 {
        submit_write(&mut rig, tag, at(1) + u64::from(tag - 1) * KIB, KIB);
    }
    submit_append(&mut rig, 7, 1, KIB);
    submit_write(&mut rig, 8, at(2), KIB);
    submit_append(&mut rig, 9, 1, KIB);
    let ended = ended(&mut rig);
    let results: Vec<_> = ended.iter().map(|(_, result)| *result.as_ref().unwrap()).collect();
    assert_eq!(results, [KIB, KIB, KIB, KIB, KIB, KIB, at(1) + 6 * KIB, KIB, at(1) + 7 * KIB]);
    assert_eq!((fake.zone(1), fake.zone(2)), ((IMPLICIT, 8 * KIB), (IMPLICIT, KIB)));
    let content: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 9].map(|byte| (byte, KIB)).into();
    assert_eq!(rig.runs(at(1), 8 * KIB), content);
    assert_eq!(fake.state().refused, 0);
    agree(&fake, &rig);
}

#[test]
fn a_write_that_is_given_up_takes_those_behind_it_with_it_and_no_others() {
    let (fake, mut rig) = usual();
    fake.state().held = true;
    for tag in 1..=4 {
        submit_write(&mut rig, tag, at(1) + u64::from(tag - 1) * KIB, KIB);
    }
    submit_write(&mut rig, 5, at(2), KIB);
    rig.queue.cancel_one(2);
    assert!(matches!(&ended(&mut rig)[..], [(2, Err(OperationError::Io(_)))]));
    fake.state().held = false;
    let ended = ended(&mut rig);
    let unaligned =
        |result: &OperationResult| matches!(result, Err(OperationError::Zone(ZoneError::UnalignedWritePointer)));
    let [(1, Ok(KIB)), (3, third), (4, fourth), (5, Ok(KIB))] = &ended[..] else { panic!("{ended:?}") };
    assert!(unaligned(third) && unaligned(fourth));
    assert_eq!((fake.zone(1), fake.zone(2), fake.state().refused), ((IMPLICIT, KIB), (IMPLICIT, KIB), 0));
}

#[test]
fn queues_on_threads_append_to_the_same_zones() {
    const EACH: u64 = 60;
    let kinds = [&[CONVENTIONAL][..], &[SEQUENTIAL; 10]].concat();
    let fake = Fake::new(&kinds);
    let disk = fake.open(&fake.facts()).unwrap();
    let places: Vec<_> = std::thread::scope(|scope| {
        let append_all = |thread: u64| {
            let (mut bench, mut queue) = (Bench::new(), disk.open_queue(8).unwrap());
            let place = bench.memory.place(&[thread as u8 + 1; 512]);
            let (mut next, mut places) = (0, Vec::new());
            let limit = Instant::now() + Duration::from_secs(60);
            // One in flight in each of two zones.
            while (places.len() as u64) < EACH {
                assert!(Instant::now() < limit, "{places:?}");
                while next < EACH && next < places.len() as u64 + 2 {
                    let (tag, zone) = ((next % 8) as u16, 1 + (next % 2) as u32);
                    queue.submit(bench.operation(tag, APPEND, at(zone), &[(place, 512)]));
                    next += 1;
                }
                queue.kick();
                queue.completions(8, &mut |completion| places.push(completion.result.expect("an append")));
                std::thread::yield_now();
            }
            places
        };
        let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || append_all(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let state = fake.state();
    for (thread, places) in places.iter().enumerate() {
        assert!(places.iter().all(|place| state.bytes[*place as usize..][..512] == [thread as u8 + 1; 512]));
    }
    let mut all = places.concat();
    all.sort_unstable();
    let expected = [1, 2].into_iter().flat_map(|zone| (0..3 * EACH / 2).map(move |sector| at(zone) + 512 * sector));
    assert_eq!(all, expected.collect::<Vec<_>>());
    assert_eq!(state.refused, 0);
}

// spec: BLK-ZONE-04 BLK-ZONE-06 BLK-ZONE-07 BLK-ZONE-08
#[test]
fn blk_zone_02_commands_are_given_to_the_device_where_they_are_possible() {
    let fake = Fake::new(&KINDS);
    fake.put(3, READ_ONLY, 0);
    fake.put(5, OFFLINE, 0);
    let mut rig = rig(&fake);
    let (open, close, finish, reset) =
        (OperationKind::ZoneOpen, OperationKind::ZoneClose, OperationKind::ZoneFinish, OperationKind::ZoneReset);
    for kind in [open, close, finish, reset] {
        for zone in [0, 3, 4, 5] {
            assert_eq!(broken(rig.manage(kind, at(zone))), ZoneError::InvalidCommand, "{kind:?} of zone {zone}");
        }
        assert_eq!(broken(rig.manage(kind, at(1) + 512)), ZoneError::InvalidCommand);
    }
    assert_eq!(broken(rig.manage(close, at(1))), ZoneError::InvalidCommand, "it is empty");
    assert_eq!(fake.state().commands, []);
    let steps: [(OperationKind, Command, ZoneState); 6] = [
        (open, Command::Open, ExplicitlyOpen),
        (close, Command::Close, Closed),
        (open, Command::Open, ExplicitlyOpen),
        (finish, Command::Finish, Full),
        (reset, Command::Reset, Empty),
        (finish, Command::Finish, Full),
    ];
    rig.write(at(1), 4 * KIB, 1).unwrap();
    for (kind, command, state) in steps {
        rig.manage(kind, at(1)).unwrap();
        assert_eq!(fake.state().commands.pop(), Some((command, at(1)..at(2))));
        assert_eq!(rig.state(1), state);
        agree(&fake, &rig);
    }
    assert_eq!(broken(rig.manage(open, at(1))), ZoneError::InvalidCommand, "it is full");
    // The last one is smaller.
    rig.manage(open, at(7)).unwrap();
    assert_eq!(fake.state().commands.pop(), Some((Command::Open, at(7)..SIZE)));
    rig.manage(close, at(7)).unwrap();
    assert_eq!(rig.state(7), Empty);
}

#[test]
fn blk_zone_09_a_reset_of_all_is_one_range() {
    let (fake, mut rig) = usual();
    for zone in [1, 2, 3] {
        rig.write(at(zone), 4 * KIB, 1).unwrap();
    }
    rig.write(0, 512, 7).unwrap();
    rig.manage(OperationKind::ZoneFinish, at(2)).unwrap();
    fake.put(5, READ_ONLY, 0);
    fake.put(6, OFFLINE, 0);
    fake.state().commands.clear();
    rig.manage(OperationKind::ZoneResetAll, 0).unwrap();
    assert_eq!(fake.state().commands, [(Command::Reset, 0..SIZE)]);
    let states: Vec<_> = (0..8).map(|zone| rig.state(zone)).collect();
    assert_eq!(states, [NotWritePointer, Empty, Empty, Empty, NotWritePointer, ReadOnly, Offline, Empty]);
    agree(&fake, &rig);
    assert_eq!(rig.runs(at(1), 4 * KIB), [(0, 4 * KIB)]);
    assert_eq!(rig.runs(0, 512), [(7, 512)]);
    assert_eq!(broken(rig.manage(OperationKind::ZoneResetAll, at(1))), ZoneError::InvalidCommand);
}

// spec: BLK-ZONE-10 BLK-ZONE-18
#[test]
fn blk_zone_05_limits_are_kept_and_count_what_was_open_before() {
    let fake = Fake::new(&KINDS);
    (fake.state().max_open, fake.state().max_active) = (2, 3);
    fake.put(1, EXPLICIT, 0);
    fake.put(2, CLOSED, 512);
    let mut rig = rig(&fake);
    rig.write(at(3), 512, 1).unwrap();
    assert_eq!(broken(rig.write(at(5), 512, 1)), ZoneError::ActiveResource);
    assert_eq!(broken(rig.manage(OperationKind::ZoneOpen, at(5))), ZoneError::ActiveResource);
    // One that was opened by a write makes room.
    rig.write(at(2) + 512, 512, 1).unwrap();
    rig.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    assert_eq!(broken(rig.write(at(3) + 512, 512, 1)), ZoneError::OpenResource);
    assert_eq!((fake.zone(1), fake.zone(2), fake.zone(3)), ((EXPLICIT, 0), (EXPLICIT, KIB), (CLOSED, 512)));
    agree(&fake, &rig);
    rig.manage(OperationKind::ZoneReset, at(1)).unwrap();
    rig.write(at(3) + 512, 512, 1).unwrap();
    agree(&fake, &rig);
}

#[test]
fn a_report_says_which_zone_the_device_has_closed() {
    let fake = Fake::new(&KINDS);
    fake.state().max_open = 2;
    let mut rig = rig(&fake);
    for zone in [1, 2, 3] {
        rig.write(at(zone), 512, 1).unwrap();
    }
    // The table guessed another one.
    assert_eq!(
        (fake.zone(1).0, fake.zone(2).0, rig.state(1), rig.state(2)),
        (IMPLICIT, CLOSED, Closed, ImplicitlyOpen)
    );
    report(&mut rig).unwrap();
    agree(&fake, &rig);
}

/// Has the disk report all its zones.
pub(super) fn report(rig: &mut Rig) -> OperationResult {
    let place = rig.bench.memory.alloc(4096, 8);
    let report = rig.bench.operation(0, OperationKind::ZoneReport, 0, &[(place, 4096)]);
    rig.perform(report)
}

#[test]
fn commands_wait_for_writes_and_later_writes_for_commands() {
    let (fake, mut rig) = usual();
    fake.state().held = true;
    submit_write(&mut rig, 1, at(1), KIB);
    for (tag, kind) in [(2, OperationKind::ZoneFinish), (3, OperationKind::ZoneReset)] {
        let command = rig.bench.operation(tag, kind, at(1), &[]);
        rig.queue.submit(command);
    }
    submit_write(&mut rig, 4, at(1) + KIB, KIB);
    assert!(ended(&mut rig).is_empty() && fake.state().commands.is_empty());
    // Another zone has nothing to do with it.
    rig.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    fake.state().held = false;
    let ended = ended(&mut rig);
    assert!(ended.iter().take(3).all(|(_, result)| result.is_ok()), "{ended:?}");
    assert_eq!(ended.len(), 4);
    let commands: Vec<_> = fake.state().commands.iter().map(|(command, _)| *command).collect();
    assert_eq!(commands, [Command::Open, Command::Finish, Command::Reset]);
    assert_eq!(fake.state().refused, 0);
    agree(&fake, &rig);
}

#[test]
fn what_is_going_on_is_not_overtaken_by_a_report() {
    let (fake, mut rig) = usual();
    rig.write(at(1), KIB, 1).unwrap();
    fake.state().held = true;
    submit_write(&mut rig, 1, at(1) + KIB, KIB);
    let place = rig.bench.memory.alloc(4096, 8);
    let operation = rig.bench.operation(2, OperationKind::ZoneReport, 0, &[(place, 4096)]);
    rig.queue.submit(operation);
    assert!(matches!(&ended(&mut rig)[..], [(2, Ok(_))]));
    assert_eq!((rig.pointer(1), fake.zone(1)), (2 * KIB, (IMPLICIT, KIB)));
    fake.state().held = false;
    assert!(matches!(&ended(&mut rig)[..], [(1, Ok(KIB))]));
    rig.write(at(1) + 2 * KIB, KIB, 1).unwrap();
    agree(&fake, &rig);
}

#[test]
fn a_host_aware_device_takes_writes_anywhere() {
    let fake = Fake::new(&[CONVENTIONAL, PREFERRED, PREFERRED]);
    fake.put(1, CLOSED, 4 * KIB);
    let mut rig = rig(&fake);
    let told = rig.disk.capabilities();
    let zoned = told.zoned.unwrap();
    assert_eq!((zoned.model, zoned.max_append_len, told.discard), (ZonedModel::HostAware, 0, None));
    assert_eq!(rig.disk.zone(1).unwrap().kind, ZoneType::SequentialWritePreferred);
    rig.write(at(1), 512, 1).unwrap();
    rig.write(at(1) + 8 * KIB, 512, 2).unwrap();
    assert_eq!(fake.zone(1), (IMPLICIT, 8 * KIB + 512));
    assert_eq!(rig.runs(at(1) + 4 * KIB, 5 * KIB), [(0, 4 * KIB), (2, 512), (0, 512)]);
    rig.manage(OperationKind::ZoneReset, at(1)).unwrap();
    agree(&fake, &rig);
}

#[test]
fn the_zones_of_a_device_do_not_act_out_failures() {
    let (fake, rig) = usual();
    assert!(rig.disk.set_read_only(1).is_err() && rig.disk.set_offline(1).is_err());
    agree(&fake, &rig);
}
