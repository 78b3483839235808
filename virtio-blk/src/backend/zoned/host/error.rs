//! Why the zones of a device cannot be used.

use std::io;

#[cfg(all(feature = "file", unix))]
use crate::backend::OpenError;

/// A zoned block device of the host cannot be a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostZonesError {
    /// It cannot be opened.
    #[cfg(all(feature = "file", unix))]
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system does not say what its zones are like.
    #[error("the zones of the device are not known: {0}")]
    Io(#[from] io::Error),
    /// Its zones have no length that zones can have.
    #[error("zones of {zone_len} bytes are not multiples of the write granularity {granularity} below 2 TiB")]
    ZoneLen {
        /// Bytes of each zone.
        zone_len: u64,
        /// Bytes that writes have to be multiples of.
        granularity: u32,
    },
    /// What writes have to be multiples of is no power of two from 512 on.
    #[error("{granularity} is not a write granularity: a power of two from 512 on is")]
    Granularity {
        /// What the system says.
        granularity: u64,
    },
    /// It has not as many zones as it has room for, or too many.
    #[error("the device says that it has {zones} zones; {size} bytes have {expected}, and 1048576 are possible")]
    Count {
        /// What the system says.
        zones: u32,
        /// Bytes of the device.
        size: u64,
        /// Zones of the device's length in it.
        expected: u64,
    },
    /// All its zones are conventional ones.
    #[error("all zones of the device are conventional ones")]
    AllConventional,
    /// What it reports of a zone cannot be.
    #[error("what the device reports of zone {zone} cannot be: {fault}")]
    Zone {
        /// The zone's number.
        zone: u32,
        /// What is wrong.
        fault: ZoneFault,
    },
}

/// What cannot be in the report of a zone. Numbers are those of the report: places, lengths and capacities in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneFault {
    /// There is no report of it.
    #[error("nothing is said of it")]
    Missing,
    /// It lies elsewhere, or has another length.
    #[error("it has {len} sectors from sector {start} on")]
    Place {
        /// Where it starts.
        start: u64,
        /// How long it is.
        len: u64,
    },
    /// Nothing can be written to it, more than it is long, or no multiple of the write granularity.
    #[error("its capacity has {capacity} sectors")]
    Capacity {
        /// What can be written to it.
        capacity: u64,
    },
    /// It is of no kind that a disk of this model has.
    #[error("it is of the kind {kind}")]
    Kind {
        /// The kind's number.
        kind: u8,
    },
    /// There is no such state, or not for such a zone.
    #[error("it is in the state {state}")]
    State {
        /// The state's number.
        state: u8,
    },
    /// Its write pointer is not in it, or is off the write granularity.
    #[error("its write pointer is at sector {write_pointer}")]
    Pointer {
        /// Where it is.
        write_pointer: u64,
    },
    /// It was of another kind, or had another capacity, when the device was opened.
    #[error("it has become of another kind or capacity")]
    Changed,
}
