//! The state file: what zones are like, kept for the next time.
//!
//! A header of 64 bytes, then 64 bytes for each zone. All numbers are little-endian. A record of zeros is an empty zone,
//! so that a new file is a header and a hole. A file that is nothing but a hole is one whose making was cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::geometry::Geometry;
use super::record::{RECORD_LEN, Record, checksum};
use crate::backend::zone::{ZoneState, ZonedModel};

const HEADER_LEN: usize = 64;
/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"vzoned\0\x01";
/// Where the header's checksum is.
const SUM_AT: usize = HEADER_LEN - 4;
/// Bytes that are read at once.
const PIECE: usize = 1 << 16;

/// A state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// The system does not let it be opened, read or written.
    #[error("the zones' state file {} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another disk uses it.
    #[error("the zones' state file {} is in use by another disk", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no state file, or one of another version.
    #[error("{} is not a state file of zones, or of another version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is that of a disk with other zones.
    #[error("the zones' state file {} belongs to a disk with other zones: model, size, length, capacity, number of \
        conventional ones and write granularity have to be the same", path.display())]
    OtherZones {
        /// The file.
        path: PathBuf,
    },
    /// It has more or fewer bytes than it should.
    #[error("the zones' state file {} has {len} bytes instead of {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// How many it has.
        len: u64,
        /// How many it should have.
        expected: u64,
    },
    /// What it says of a zone cannot be.
    #[error("what the zones' state file {} says of zone {zone} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The zone's number.
        zone: u32,
    },
}

/// Where a zoned disk keeps what its zones are like: a file, or what takes the place of one.
///
/// Whoever gives one to a disk sees to it that nobody else uses it. All of its methods may wait.
pub trait ZoneStorage: Send + Sync {
    /// Bytes that it has.
    ///
    /// # Errors
    /// What the system says.
    fn size(&mut self) -> io::Result<u64>;

    /// Gives it another length. What is new reads as zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_size(&mut self, len: u64) -> io::Result<()>;

    /// Fills `bytes` with what is there from `offset` on.
    ///
    /// # Errors
    /// What the system says, and where there is less than that.
    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` from `offset` on. After a power failure each sector of 512 bytes is as it was before, or as
    /// it was after one of the writes since the last [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the system says. Some of it may have been written.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Everything that was written, and the length, are on stable storage after this.
    ///
    /// # Errors
    /// What the system says. What was written since the last time may be lost then.
    fn sync(&mut self) -> io::Result<()>;
}

impl ZoneStorage for File {
    fn size(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }

    fn set_size(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(bytes)
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// An open state file.
pub(super) struct Store {
    pub(super) file: Box<dyn ZoneStorage>,
    /// Something was written since the last sync.
    pub(super) unsynced: bool,
    /// That a zone is not active was written since the last sync.
    pub(super) freed: bool,
    /// A sync failed: nothing can be promised any more, because the system reports lost data but once.
    lost: bool,
}

fn header(geometry: &Geometry) -> [u8; HEADER_LEN] {
    let Geometry { model, size, zone_len, zone_capacity, conventional, granularity } = *geometry;
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&size.to_le_bytes());
    bytes[16..24].copy_from_slice(&zone_len.to_le_bytes());
    bytes[24..32].copy_from_slice(&zone_capacity.to_le_bytes());
    bytes[32..36].copy_from_slice(&conventional.to_le_bytes());
    bytes[36..40].copy_from_slice(&granularity.to_le_bytes());
    bytes[40] = match model {
        ZonedModel::HostManaged => 1,
        ZonedModel::HostAware => 2,
    };
    let sum = checksum(0, &bytes[..SUM_AT]);
    bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn place(zone: u32) -> u64 {
    HEADER_LEN as u64 + u64::from(zone) * RECORD_LEN as u64
}

/// What is there in a range, piece by piece. A piece has whole records if the range has.
fn pieces(file: &mut dyn ZoneStorage, range: Range<u64>) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    range.clone().step_by(PIECE).map(move |at| {
        let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(PIECE)];
        file.fill(at, &mut bytes).map(|()| bytes)
    })
}

/// Whether nothing was ever written there.
fn is_hole(file: &mut dyn ZoneStorage, len: u64) -> io::Result<bool> {
    for bytes in pieces(file, 0..len) {
        if bytes?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens the state file at `path`, or makes an empty one. It is this process's alone.
pub(super) fn open_file(path: &Path) -> Result<File, StateFileError> {
    let failed = |source| StateFileError::Io { path: path.into(), source };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StateFileError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    if file.metadata().map_err(failed)?.len() == 0 {
        sync_directory(path).map_err(failed)?;
    }
    Ok(file)
}

/// A new file's name is on stable storage after this. A file that was synced may have none after a power failure.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.canonicalize()?.parent() {
        Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

impl Store {
    /// Reads what is kept in `file`, which errors call `path`, and makes a state file of it where there is nothing.
    /// `restore` gets what it says of each zone.
    pub(super) fn open(
        path: &Path,
        mut file: Box<dyn ZoneStorage>,
        geometry: &Geometry,
        mut restore: impl FnMut(Record),
    ) -> Result<Store, StateFileError> {
        let failed = |source| StateFileError::Io { path: path.into(), source };
        let (len, expected) = (file.size().map_err(failed)?, place(geometry.zones()));
        let mut found = [0; HEADER_LEN];
        if len >= HEADER_LEN as u64 {
            file.fill(0, &mut found).map_err(failed)?;
        }
        if len == 0 || (len == expected && found == [0; HEADER_LEN] && is_hole(&mut *file, len).map_err(failed)?) {
            // The header last: where it is, all the rest is.
            file.set_size(expected).map_err(failed)?;
            file.put(0, &header(geometry)).map_err(failed)?;
            file.sync().map_err(failed)?;
            return Ok(Store { file, unsynced: false, freed: false, lost: false });
        }
        let sum = checksum(0, &found[..SUM_AT]).to_le_bytes();
        if found[..8] != MAGIC || found[SUM_AT..] != sum {
            return Err(StateFileError::Foreign { path: path.into() });
        }
        if found != header(geometry) {
            return Err(StateFileError::OtherZones { path: path.into() });
        }
        if len != expected {
            return Err(StateFileError::Length { path: path.into(), len, expected });
        }
        let mut zones = 0..geometry.zones();
        for bytes in pieces(&mut *file, HEADER_LEN as u64..len) {
            for (record, zone) in bytes.map_err(failed)?.as_chunks().0.iter().zip(&mut zones) {
                let record = Record::from_bytes(geometry, zone, record);
                restore(record.ok_or_else(|| StateFileError::Damaged { path: path.into(), zone })?);
            }
        }
        // Who wrote it may have been killed before it was synced.
        Ok(Store { file, unsynced: true, freed: true, lost: false })
    }

    /// Writes what is said of some zones, in the order of their numbers.
    pub(super) fn write(&mut self, records: &[Record]) -> io::Result<()> {
        self.unsynced |= !records.is_empty();
        self.freed |= records.iter().any(|record| record.state != ZoneState::Closed);
        let mut bytes = Vec::new();
        for run in records.chunk_by(|record, next| record.zone.checked_add(1) == Some(next.zone)) {
            let Some(first) = run.first() else {
                continue;
            };
            bytes.clear();
            run.iter().for_each(|record| bytes.extend_from_slice(&record.to_bytes()));
            self.file.put(place(first.zone), &bytes)?;
        }
        Ok(())
    }

    /// Everything that was written is on stable storage after this.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("what the zones' state file had to keep was lost before"));
        }
        if self.unsynced {
            self.file.sync().inspect_err(|_| self.lost = true)?;
            (self.unsynced, self.freed) = (false, false);
        }
        Ok(())
    }
}
