//! A state file of zones out of arbitrary bytes, and a device on the disk that has it.
//!
//! | bytes | |
//! |---|---|
//! | 1 | from the low bits up: the file is what follows; host-aware zones, a conventional zone, zones that cannot be filled, limits on zones |
//! | | a file: 2 bytes for its length, and what it contains |
//! | | else, what is changed in a new file: 1 byte for the number of [records](Change), and these |
//! | | a program for a block device, with its header: see [`crate::block::input`] |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_blk::MemoryBackend;
use virtio_blk::backend::zone::{ZoneDescriptor, ZoneState, ZonedModel};
use virtio_blk::backend::{ZonedBackend, ZonedError};

use crate::block::disk::{Disk, SIZE, ZONE_LEN, check_zones};
use crate::block::input::Header;
use crate::block::{self, Outcome, seeds};
use crate::device::Rings;
use crate::input::Input;
use crate::seeds::Seed;

/// Bytes of the file's header, and of each record.
const UNIT: usize = 64;
const ZONES: usize = SIZE / ZONE_LEN as usize;

/// What a record is to say: 1 byte each but for the pointer's 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) zone: u8,
    pub(crate) state: u8,
    /// In sectors.
    pub(crate) pointer: u16,
    /// The sum is wrong.
    pub(crate) bad: u8,
    /// Start and end in sectors, with their number before them.
    pub(crate) holes: Vec<[u8; 2]>,
}

impl Change {
    fn read(input: &mut Input<'_>) -> Change {
        let (zone, state, pointer, bad) = (input.u8(), input.u8(), input.u16(), input.u8());
        let count = input.u8() % 6;
        Change { zone, state, pointer, bad, holes: (0..count).map(|_| input.array()).collect() }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.zone, self.state]);
        out.extend(self.pointer.to_le_bytes());
        out.extend([self.bad, self.holes.len() as u8]);
        out.extend(self.holes.as_flattened());
    }

    fn apply(&self, file: &mut [u8]) {
        let zone = usize::from(self.zone) % ZONES;
        let Some(record) = file.get_mut(UNIT * (zone + 1)..UNIT * (zone + 2)) else { return };
        record.fill(0);
        record[0] = self.state;
        record[8..10].copy_from_slice(&self.pointer.to_le_bytes());
        for (place, [start, end]) in record[16..UNIT - 4].chunks_exact_mut(8).zip(&self.holes) {
            (place[0], place[4]) = (*start, *end);
        }
        let sum = checksum(zone as u32, &record[..UNIT - 4]) ^ u32::from(self.bad);
        record[UNIT - 4..].copy_from_slice(&sum.to_le_bytes());
    }
}

/// FNV-1a.
fn checksum(zone: u32, bytes: &[u8]) -> u32 {
    let all = zone.to_le_bytes().into_iter().chain(bytes.iter().copied());
    all.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A file of its own, in memory where there is a place for that; gone when this goes.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("virtio-fuzz-zones-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        Place(folder.join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // There may be none.
        let _ = fs::remove_file(&self.0);
    }
}

/// What the zones are like.
#[derive(Clone, Copy)]
struct Shape(u8);

impl Shape {
    fn has(self, bit: u8) -> bool {
        self.0 & 1 << bit != 0
    }

    fn open(self, place: &Place, inner: &MemoryBackend) -> Result<ZonedBackend, ZonedError> {
        let builder = ZonedBackend::builder(inner.clone()).zone_len(ZONE_LEN).state_file(&place.0);
        let builder = builder.conventional(u32::from(self.has(2)));
        match (self.has(1), self.has(3), self.has(4)) {
            (true, _, _) => builder.model(ZonedModel::HostAware),
            (false, true, false) => builder.zone_capacity(3072),
            (false, false, true) => builder.max_open(1).max_active(2),
            (false, true, true) => builder.zone_capacity(3072).max_open(2).max_active(3),
            (false, false, false) => builder,
        }
        .build()
    }
}

/// What a file was good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneOutcome {
    /// What a device did on the disk; none where the file was refused.
    pub device: Option<Outcome>,
    /// Zones that were neither empty nor conventional ones when the disk was opened.
    pub zones: u32,
}

/// Runs an input.
pub(crate) fn run(data: &[u8]) -> io::Result<ZoneOutcome> {
    let mut input = Input::new(data);
    let shape = Shape(input.u8());
    let (place, inner) = (Place::new(), MemoryBackend::zeroed(SIZE));
    if shape.has(0) {
        let len = input.u16();
        fs::write(&place.0, input.bytes(len.into()))?;
    } else {
        drop(shape.open(&place, &inner).expect("a new file"));
        let mut file = fs::read(&place.0)?;
        (0..input.u8() % 12).for_each(|_| Change::read(&mut input).apply(&mut file));
        fs::write(&place.0, file)?;
    }
    let before = fs::read(&place.0)?;
    let Ok(disk) = shape.open(&place, &inner) else {
        assert_eq!(fs::read(&place.0)?, before, "a file that is refused stays as it is");
        return Ok(ZoneOutcome::default());
    };
    check_zones(&disk);
    let plain = |zone: &ZoneDescriptor| matches!(zone.state, ZoneState::Empty | ZoneState::NotWritePointer);
    let zones = all(&disk).iter().filter(|zone| !plain(zone)).count() as u32;
    let header = Header::read(&mut input);
    let device = block::run_on(Disk::over(disk.clone()), header, &mut input);
    check_zones(&disk);
    let expected: Vec<_> = all(&disk).into_iter().map(closed).collect();
    drop(disk);
    let disk = shape.open(&place, &inner).expect("the file that the disk has left");
    assert_eq!(all(&disk), expected, "zones are as they were");
    Ok(ZoneOutcome { device: Some(device), zones })
}

/// The file, in words.
pub(crate) fn describe(input: &mut Input<'_>) -> String {
    let shape = Shape(input.u8());
    if shape.has(0) {
        let len = input.u16();
        return format!("{:#x} {:x?}\n", shape.0, input.bytes(len.into()));
    }
    let changes: Vec<_> = (0..input.u8() % 12).map(|_| Change::read(input)).collect();
    format!("{:#x} {changes:x?}\n", shape.0)
}

fn all(disk: &ZonedBackend) -> Vec<ZoneDescriptor> {
    (0..disk.zones()).filter_map(|zone| disk.zone(zone)).collect()
}

/// A zone as it is when the disk is opened again.
fn closed(zone: ZoneDescriptor) -> ZoneDescriptor {
    use ZoneState::{Closed, Empty, ExplicitlyOpen, ImplicitlyOpen};
    let state = match zone.state {
        ImplicitlyOpen | ExplicitlyOpen if zone.write_pointer == zone.start => Empty,
        ImplicitlyOpen | ExplicitlyOpen => Closed,
        state => state,
    };
    ZoneDescriptor { state, ..zone }
}

/// Good and bad files.
pub(crate) fn seeds() -> Vec<Seed> {
    let (closed, read_only, full, offline) = (4, 13, 14, 15);
    let change = |zone, state, pointer| Change { zone, state, pointer, ..Change::default() };
    let good = vec![
        change(1, closed, 2),
        change(2, full, 8),
        change(3, read_only, 3),
        change(4, offline, 0),
        Change { holes: vec![[0, 1], [2, 3]], ..change(5, closed, 4) },
    ];
    let files = [
        ("new", 0, Vec::new()),
        ("good", 0, good.clone()),
        ("good", 2 | 4, good),
        ("kept", 4, vec![change(1, closed, 1), change(2, closed, 6)]),
        ("kept", 8 | 16, vec![change(1, closed, 1), change(2, closed, 6)]),
        ("damaged", 0, vec![Change { bad: 1, ..change(1, closed, 2) }]),
        ("damaged", 0, vec![change(1, closed, 9)]),
        ("damaged", 0, vec![Change { holes: vec![[1, 3], [2, 4]], ..change(1, closed, 5) }]),
        ("damaged", 4, vec![change(0, closed, 1)]),
        ("damaged", 0, vec![change(1, 2, 1)]),
    ];
    let header = Header { rings: Rings(0xc0 | Rings::INDIRECT_DESC), features: u32::MAX, ..Header::default() };
    let program = seeds::bytes(&header, &[seeds::zones(), seeds::plain()].concat());
    let seed = |(name, shape, changes): (&'static str, u8, Vec<Change>)| {
        let mut bytes = vec![shape, changes.len() as u8];
        changes.iter().for_each(|change| change.write(&mut bytes));
        bytes.extend(&program);
        (name, bytes)
    };
    let raw = |file: &[u8]| [&[1][..], &(file.len() as u16).to_le_bytes(), file, &program].concat();
    let others = [("raw", raw(&[])), ("foreign", raw(b"vzoned\0\x01"))];
    files.into_iter().map(seed).chain(others).collect()
}
