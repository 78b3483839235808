//! What is there when a disk is opened again.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::held::Held;
use super::rig::{CAPACITY, KIB, SIZE, ZONE, at, io_error, runs, usual};
use crate::backend::bench::{Bench, perform};
use crate::backend::zone::ZoneState::*;
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::store::sync_directory;
use crate::backend::zoned::{StateFileError, ZoneStorage, ZonedBackend, ZonedBuilder, ZonedError};
use crate::backend::{BlockBackend, BlockQueue, OperationKind, OperationResult};

/// A file of its own for each, gone when this goes.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("virtio-blk-zones-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Place(std::env::temp_dir().join(name))
    }

    fn with(bytes: &[u8]) -> Place {
        let place = Place::new();
        fs::write(&place.0, bytes).unwrap();
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Kept {
    bench: Bench,
    held: Held,
    disk: ZonedBackend,
    queue: Box<dyn BlockQueue>,
}

fn builder(held: &Held, path: &Path) -> ZonedBuilder {
    usual(held.clone()).state_file(path)
}

impl Kept {
    fn open(content: Vec<u8>, path: &Path) -> Kept {
        let held = Held::new(content);
        let disk = builder(&held, path).build().unwrap();
        let queue = disk.open_queue(16).unwrap();
        Kept { bench: Bench::new(), held, disk, queue }
    }

    fn new(path: &Path) -> Kept {
        Kept::open(vec![0xee; SIZE as usize], path)
    }

    /// As it is after a power failure now.
    fn after_power_failure(&self, path: &Path) -> (Place, Kept) {
        let place = Place::with(&fs::read(path).unwrap());
        let kept = Kept::open(self.held.memory.content(), &place.0);
        (place, kept)
    }

    fn append(&mut self, tag: u16, zone: u32, len: u64, durable: bool) -> OperationResult {
        let operation = self.appending(tag, zone, len, durable);
        perform(&mut *self.queue, operation)
    }

    fn appending(&mut self, tag: u16, zone: u32, len: u64, durable: bool) -> Box<crate::backend::Operation> {
        let place = self.bench.memory.place(&vec![zone as u8; len as usize]);
        let kind = OperationKind::ZoneAppend { durable };
        self.bench.operation(tag, kind, at(zone), &[(place, len as u32)])
    }

    fn manage(&mut self, kind: OperationKind, offset: u64) -> OperationResult {
        let operation = self.bench.operation(0, kind, offset, &[]);
        perform(&mut *self.queue, operation)
    }

    fn flush(&mut self) -> OperationResult {
        self.manage(OperationKind::Flush, 0)
    }

    fn runs(&mut self, offset: u64, len: u64) -> Vec<(u8, u64)> {
        let (read, place) = self.bench.read(0, offset, len as u32);
        assert_eq!(perform(&mut *self.queue, read).unwrap(), len);
        runs(&self.bench.memory.bytes(place, len as usize))
    }

    fn states(&self) -> Vec<(crate::backend::zone::ZoneState, u64)> {
        let zone = |zone| self.disk.zone(zone).unwrap();
        (0..8).map(zone).map(|zone| (zone.state, zone.write_pointer - zone.start)).collect()
    }
}

#[test]
fn zones_are_as_they_were_when_the_disk_is_opened_again() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    for zone in 1..=5 {
        kept.append(0, zone, 4 * KIB, false).unwrap();
    }
    kept.manage(OperationKind::ZoneOpen, at(2)).unwrap();
    kept.manage(OperationKind::ZoneFinish, at(3)).unwrap();
    kept.manage(OperationKind::ZoneOpen, at(6)).unwrap();
    kept.disk.set_read_only(4).unwrap();
    kept.disk.set_offline(5).unwrap();
    let content = kept.held.memory.content();
    drop(kept);
    let mut kept = Kept::open(content, &place.0);
    let expected = [
        (NotWritePointer, ZONE),
        (Closed, 4 * KIB),
        (Closed, 4 * KIB),
        (Full, ZONE),
        (ReadOnly, ZONE),
        (Offline, ZONE),
        (Empty, 0),
        (Empty, 0),
    ];
    assert_eq!(kept.states(), expected);
    for zone in 1..=4 {
        assert_eq!(kept.runs(at(zone), ZONE), [(zone as u8, 4 * KIB), (0, ZONE - 4 * KIB)]);
    }
    assert_eq!(kept.runs(0, KIB), [(0xee, KIB)]);
    kept.append(0, 1, 4 * KIB, false).unwrap();
}

#[test]
fn what_a_flush_or_a_durable_write_has_promised_outlives_a_power_failure() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    for durable in [false, true] {
        kept.append(0, 1, 4 * KIB, durable).unwrap();
        let (_copy, again) = kept.after_power_failure(&place.0);
        // All of it, if anything.
        assert_eq!(again.states()[1], if durable { (Closed, 8 * KIB) } else { (Empty, 0) });
    }
    kept.append(0, 2, CAPACITY / 8, false).unwrap();
    kept.append(0, 2, CAPACITY / 8, false).unwrap();
    kept.flush().unwrap();
    kept.append(0, 2, CAPACITY / 8, false).unwrap();
    let (_copy, mut again) = kept.after_power_failure(&place.0);
    assert_eq!(again.states()[2], (Closed, CAPACITY / 4));
    assert_eq!(again.runs(at(2), ZONE), [(2, CAPACITY / 4), (0, ZONE - CAPACITY / 4)]);
}

#[test]
fn what_is_being_written_during_a_flush_is_not_taken_for_written() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    kept.append(0, 1, 4 * KIB, false).unwrap();
    for tag in [1, 2] {
        kept.held.hold(tag);
        let append = kept.appending(tag, 1, 4 * KIB, false);
        kept.queue.submit(append);
    }
    kept.flush().unwrap();
    let (_copy, again) = kept.after_power_failure(&place.0);
    assert_eq!(again.states()[1], (Closed, 4 * KIB));
    // The later one is there, and what is in the place of the earlier one is anything.
    kept.held.let_go(2);
    assert!(crate::backend::bench::finish(&mut *kept.queue, 1)[0].result.is_ok());
    kept.flush().unwrap();
    let (_copy, again) = kept.after_power_failure(&place.0);
    assert_eq!(again.states()[1], (Closed, 12 * KIB));
    kept.held.let_go(1);
    assert!(crate::backend::bench::finish(&mut *kept.queue, 1)[0].result.is_ok());
}

#[test]
fn changes_of_zones_are_in_the_file_when_they_have_ended() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    for zone in 1..=7 {
        kept.append(0, zone, 4 * KIB, true).unwrap();
    }
    let step = |kept: &mut Kept, kind, offset, zone: usize, state| {
        kept.manage(kind, offset).unwrap();
        let (_copy, again) = kept.after_power_failure(&place.0);
        assert_eq!(again.states()[zone].0, state, "{kind:?}");
    };
    step(&mut kept, OperationKind::ZoneReset, at(1), 1, Empty);
    step(&mut kept, OperationKind::ZoneFinish, at(2), 2, Full);
    let erase = kept.bench.range(0, OperationKind::SecureErase, at(3), ZONE);
    perform(&mut *kept.queue, erase).unwrap();
    let (_copy, again) = kept.after_power_failure(&place.0);
    assert_eq!([2, 3, 4].map(|zone| again.states()[zone].0), [Full, Empty, Closed]);
    step(&mut kept, OperationKind::ZoneResetAll, 0, 7, Empty);
    let (_copy, again) = kept.after_power_failure(&place.0);
    assert!(again.states()[1..].iter().all(|state| *state == (Empty, 0)));
}

#[test]
fn what_could_not_be_written_cannot_be_read_later_either() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    for tag in 1..=3 {
        kept.held.hold(tag);
        let append = kept.appending(tag, 1, 4 * KIB, false);
        kept.queue.submit(append);
    }
    kept.held.fail(2);
    [1, 2, 3].into_iter().for_each(|tag| kept.held.let_go(tag));
    assert_eq!(crate::backend::bench::finish(&mut *kept.queue, 3).iter().filter(|done| done.result.is_ok()).count(), 2);
    kept.flush().unwrap();
    let (_copy, mut again) = kept.after_power_failure(&place.0);
    assert_eq!(again.states()[1], (Closed, 12 * KIB));
    assert_eq!(again.runs(at(1), 4 * KIB), [(1, 4 * KIB)]);
    let (read, _) = again.bench.read(0, at(1) + 4 * KIB, 512);
    io_error(perform(&mut *again.queue, read));
}

#[test]
fn a_state_file_serves_one_disk() {
    let place = Place::new();
    let kept = Kept::new(&place.0);
    let error = builder(&kept.held, &place.0).build().unwrap_err();
    assert!(matches!(error, ZonedError::StateFile(StateFileError::InUse { .. })), "{error}");
    let (held, clone) = (kept.held.clone(), kept.disk.clone());
    drop(kept);
    assert!(builder(&held, &place.0).build().is_err(), "a clone still uses it");
    drop(clone);
    builder(&held, &place.0).build().unwrap();
}

#[track_caller]
fn refused(bytes: &[u8]) -> StateFileError {
    let place = Place::with(bytes);
    match builder(&Held::new(vec![0; SIZE as usize]), &place.0).build().expect_err("it is no state file of this disk") {
        ZonedError::StateFile(error) => error,
        other => panic!("{other}"),
    }
}

/// The bytes of a state file that has something to say.
fn sample() -> Vec<u8> {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    for zone in 1..=4 {
        kept.append(0, zone, 4 * KIB, true).unwrap();
    }
    drop(kept);
    fs::read(&place.0).unwrap()
}

#[test]
fn files_that_are_none_of_this_disk_are_refused() {
    let good = sample();
    assert_eq!(good.len(), 64 + 8 * 64);
    assert!(matches!(refused(b"a disk image"), StateFileError::Foreign { .. }));
    for (len, other) in [(64 + 8 * 64, 64 + 8 * 64 - 1), (64 + 8 * 64, 64), (64 + 8 * 64 + 512, 0), (64, 0)] {
        let mut bytes = vec![0; len];
        bytes.get_mut(other).filter(|_| other != 0).into_iter().for_each(|byte| *byte = 1);
        assert!(matches!(refused(&bytes), StateFileError::Foreign { .. }), "{len} bytes, but for {other} zeros");
    }
    assert!(matches!(refused(&good[..100]), StateFileError::Length { len: 100, expected: 576, .. }));
    assert!(matches!(refused(&[&good[..], &[0; 64]].concat()), StateFileError::Length { len: 640, .. }));
    let record = |zone: usize| 64 * (zone + 1)..64 * (zone + 2);
    // What is said of one zone is not said of another, nor of one that has no state.
    for (from, to, zone) in [(1, 2, 2), (1, 0, 0), (2, 7, 7)] {
        let mut bytes = good.clone();
        bytes.copy_within(record(from), record(to).start);
        assert!(matches!(refused(&bytes), StateFileError::Damaged { zone: damaged, .. } if damaged == zone));
    }
    let place = Place::with(&good);
    let changes: [fn(ZonedBuilder) -> ZonedBuilder; 6] = [
        |builder| builder.zone_len(2 * ZONE),
        |builder| builder.zone_capacity(ZONE),
        |builder| builder.conventional(2),
        |builder| builder.write_granularity(1024),
        |builder| builder.model(ZonedModel::HostAware).zone_capacity(ZONE).max_append_len(0),
        |builder| builder.write_granularity(64 << 10).zone_capacity(ZONE).max_append_len(0),
    ];
    for change in changes {
        let error = change(builder(&Held::new(vec![0; SIZE as usize]), &place.0)).build().unwrap_err();
        assert!(matches!(error, ZonedError::StateFile(StateFileError::OtherZones { .. })), "{error}");
    }
    let missing = std::env::temp_dir().join("no-such-directory").join("zones");
    for path in [missing, std::env::temp_dir()] {
        let error = builder(&Held::new(vec![0; SIZE as usize]), &path).build().unwrap_err();
        assert!(matches!(error, ZonedError::StateFile(StateFileError::Io { .. })), "{error}");
    }
}

#[test]
fn a_file_whose_making_was_cut_off_is_a_new_one() {
    for bytes in [&[][..], &[0; 64 + 8 * 64]] {
        let place = Place::with(bytes);
        let kept = Kept::new(&place.0);
        assert!(kept.states()[1..].iter().all(|state| *state == (Empty, 0)));
        drop(kept);
        Kept::new(&place.0);
        assert_eq!(fs::read(&place.0).unwrap()[..7], *b"vzoned\0");
    }
}

#[test]
fn the_directory_of_a_new_file_is_synced_wherever_it_is() {
    let place = Place::with(&[]);
    for path in [Path::new("Cargo.toml"), Path::new("./src/lib.rs"), &place.0] {
        sync_directory(path).unwrap();
    }
    assert!(sync_directory(Path::new("no-such-directory/zones")).is_err());
}

#[test]
fn storage_that_was_given_is_used_as_a_file_is() {
    let place = Place::new();
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&place.0).unwrap();
    let disk = |held: &Held| usual(held.clone()).state_storage("zones of a", open()).build();
    let held = Held::new(vec![0; SIZE as usize]);
    let first = disk(&held).unwrap();
    first.set_offline(3).unwrap();
    drop(first);
    assert_eq!(disk(&held).unwrap().zone(3).unwrap().state, Offline);
    fs::write(&place.0, "a disk image").unwrap();
    let error = disk(&held).unwrap_err();
    assert_eq!(error.to_string(), "zones of a is not a state file of zones, or of another version");
}

/// A state file that counts how often it is synced.
struct Counted(File, Arc<AtomicU32>);

impl ZoneStorage for Counted {
    fn size(&mut self) -> io::Result<u64> {
        self.0.size()
    }

    fn set_size(&mut self, len: u64) -> io::Result<()> {
        self.0.set_size(len)
    }

    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.fill(offset, bytes)
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.put(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
}

#[test]
fn what_a_killed_process_has_written_is_synced_by_the_next_flush() {
    let place = Place::with(&sample());
    let (file, syncs) = (File::options().read(true).write(true).open(&place.0).unwrap(), Arc::new(AtomicU32::new(0)));
    let held = Held::new(vec![0; SIZE as usize]);
    let disk = usual(held.clone()).state_storage("zones", Counted(file, Arc::clone(&syncs))).build().unwrap();
    let mut kept = Kept { bench: Bench::new(), queue: disk.open_queue(4).unwrap(), held, disk };
    for _ in 0..2 {
        kept.flush().unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 1);
    }
}

proptest! {
    #[test]
    fn a_damaged_state_file_is_refused(at in 0..320_usize, bit in 0..8) {
        let mut bytes = sample();
        // Neither the first record, which is one of zeros, nor what follows the last that is not.
        let at = if (64..128).contains(&at) { at + 64 } else { at };
        bytes[at] ^= 1_u8 << bit;
        refused(&bytes);
    }

    /// Whatever is in the file: an error, or zones that can be.
    #[test]
    fn hostile_records_harm_nothing(records in prop::collection::vec(prop::array::uniform32(any::<u8>()), 8)) {
        let mut bytes = sample();
        for (zone, record) in records.iter().enumerate() {
            let place = &mut bytes[64 * (zone + 1)..][..64];
            // Small numbers are more to the point.
            place.fill(0);
            place[0] = [0, 4, 13, 14, 15, record[0]][usize::from(record[0]) % 6];
            place[8] = record[1] % 130;
            place[15] = if record[2] < 8 { 0xff } else { 0 };
            for (byte, value) in place[16..48].chunks_exact_mut(4).zip(&record[3..]) {
                byte[0] = value % 100;
            }
            let sum = crate::backend::zoned::record::checksum(zone as u32, &place[..60]);
            place[60..].copy_from_slice(&sum.to_le_bytes());
        }
        let place = Place::with(&bytes);
        let held = Held::new(vec![0xee; SIZE as usize]);
        if let Ok(disk) = builder(&held, &place.0).build() {
            let mut kept = Kept { bench: Bench::new(), queue: disk.open_queue(4).unwrap(), held, disk };
            for zone in 1..8 {
                let (state, pointer) = kept.states()[zone as usize];
                prop_assert!(state == Offline || pointer <= ZONE);
                let (read, _) = kept.bench.read(0, at(zone), 512);
                let _ = perform(&mut *kept.queue, read);
                let _ = kept.append(0, zone, 512, true);
                let _ = kept.manage(OperationKind::ZoneReset, at(zone));
            }
        }
    }
}

#[test]
fn a_state_file_that_cannot_be_written_fails_what_relies_on_it() {
    let place = Place::new();
    let mut kept = Kept::new(&place.0);
    let swap = |kept: &Kept, file: Box<dyn ZoneStorage>| {
        std::mem::replace(&mut kept.disk.shared.store.as_ref().unwrap().lock().unwrap().file, file)
    };
    let good = swap(&kept, Box::new(File::open(&place.0).unwrap()));
    kept.append(0, 1, 4 * KIB, false).expect("it promises nothing");
    io_error(kept.append(0, 1, 4 * KIB, true));
    io_error(kept.flush());
    io_error(kept.manage(OperationKind::ZoneFinish, at(2)));
    assert!(kept.disk.set_offline(3).is_err());
    drop(swap(&kept, good));
    kept.flush().unwrap();
    let (_copy, again) = kept.after_power_failure(&place.0);
    assert_eq!(again.states()[1..4], [(Closed, 8 * KIB), (Full, ZONE), (Offline, ZONE)]);
    // A pipe cannot be synced; what was to be on stable storage then may be lost.
    let (_reader, writer) = std::io::pipe().unwrap();
    let good = swap(&kept, Box::new(File::from(OwnedFd::from(writer))));
    kept.disk.shared.store.as_ref().unwrap().lock().unwrap().unsynced = true;
    io_error(kept.flush());
    drop(swap(&kept, good));
    io_error(kept.flush());
    assert_eq!(kept.append(0, 1, 4 * KIB, false).unwrap(), at(1) + 8 * KIB, "the disk goes on");
}
