//! The state file: what zones are like, kept for the next time.
//!
//! A header of 64 bytes, then 64 bytes for each zone. All numbers are little-endian. A record of zeros is an empty zone,
//! so that a new file is a header and a hole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::geometry::Geometry;
use super::record::{RECORD_LEN, Record, checksum};
use crate::backend::zone::ZonedModel;

const HEADER_LEN: usize = 64;
/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"vzoned\0\x01";
/// Where the header's checksum is.
const SUM_AT: usize = HEADER_LEN - 4;

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

/// An open state file.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) file: File,
    /// Something was written since the last sync.
    pub(super) unsynced: bool,
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

impl Store {
    /// Opens the state file at `path`, or makes one where there is none; an empty file is a new one. `restore` gets
    /// what it says of each zone.
    pub(super) fn open(
        path: &Path,
        geometry: &Geometry,
        mut restore: impl FnMut(Record),
    ) -> Result<Store, StateFileError> {
        let failed = |source| StateFileError::Io { path: path.into(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateFileError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let (len, expected) = (file.metadata().map_err(failed)?.len(), place(geometry.zones()));
        if len == 0 {
            file.write_all(&header(geometry)).map_err(failed)?;
            file.set_len(expected).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            return Ok(Store { file, unsynced: false, lost: false });
        }
        let mut bytes = BufReader::new(&mut file);
        let mut found = [0; HEADER_LEN];
        let foreign = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StateFileError::Foreign { path: path.into() },
            _ => failed(error),
        };
        bytes.read_exact(&mut found).map_err(foreign)?;
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
        for zone in 0..geometry.zones() {
            let mut record = [0; RECORD_LEN];
            bytes.read_exact(&mut record).map_err(failed)?;
            let record = Record::from_bytes(geometry, zone, &record);
            restore(record.ok_or_else(|| StateFileError::Damaged { path: path.into(), zone })?);
        }
        Ok(Store { file, unsynced: false, lost: false })
    }

    /// Writes what is said of some zones, in the order of their numbers.
    pub(super) fn write(&mut self, records: &[Record]) -> io::Result<()> {
        self.unsynced |= !records.is_empty();
        let mut bytes = Vec::new();
        for run in records.chunk_by(|record, next| record.zone.checked_add(1) == Some(next.zone)) {
            let Some(first) = run.first() else {
                continue;
            };
            bytes.clear();
            run.iter().for_each(|record| bytes.extend_from_slice(&record.to_bytes()));
            self.file.seek(SeekFrom::Start(place(first.zone)))?;
            self.file.write_all(&bytes)?;
        }
        Ok(())
    }

    /// Everything that was written is on stable storage after this.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("what the zones' state file had to keep was lost before"));
        }
        if self.unsynced {
            self.file.sync_data().inspect_err(|_| self.lost = true)?;
            self.unsynced = false;
        }
        Ok(())
    }
}
