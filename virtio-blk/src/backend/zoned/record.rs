//! What the state file says of one zone.

use super::geometry::Geometry;
use super::holes::{Holes, MOST};
use crate::backend::zone::ZoneState;
use crate::wire::SECTOR;

/// Bytes of a record. One never goes over the border of a sector, so that a power failure leaves the old or the new one.
pub(super) const RECORD_LEN: usize = 64;
/// Where the checksum is.
const SUM_AT: usize = RECORD_LEN - 4;
/// Where the holes are: 32 bits each for the sectors where they start and end.
const HOLES_AT: usize = 16;
const HOLE_LEN: usize = 8;

/// A zone as it is after a power failure: none is open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) zone: u32,
    pub(super) state: ZoneState,
    pub(super) pointer: u64,
    pub(super) holes: Holes,
}

impl Record {
    pub(super) fn new(zone: u32, state: ZoneState, pointer: u64, holes: Holes) -> Record {
        use ZoneState::{Closed, Empty, ExplicitlyOpen, Full, ImplicitlyOpen, NotWritePointer, Offline, ReadOnly};
        let state = match state {
            Empty | ImplicitlyOpen | ExplicitlyOpen | Closed if pointer == 0 => Empty,
            Empty | ImplicitlyOpen | ExplicitlyOpen | Closed => Closed,
            NotWritePointer | ReadOnly | Full | Offline => state,
        };
        Record { zone, state, pointer, holes }
    }

    pub(super) fn to_bytes(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        if matches!(self.state, ZoneState::Empty | ZoneState::NotWritePointer) {
            // As in a new file.
            return bytes;
        }
        bytes[0] = self.state as u8;
        bytes[8..16].copy_from_slice(&(self.pointer / SECTOR).to_le_bytes());
        let places = bytes[HOLES_AT..].chunks_exact_mut(HOLE_LEN).take(MOST);
        for (place, hole) in places.zip(self.holes.iter()) {
            // A zone has no more sectors than fit 32 bits.
            let [start, end] = [hole.start, hole.end].map(|at| u32::try_from(at / SECTOR).unwrap_or(u32::MAX));
            place[..4].copy_from_slice(&start.to_le_bytes());
            place[4..].copy_from_slice(&end.to_le_bytes());
        }
        let sum = checksum(self.zone, &bytes[..SUM_AT]);
        bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None if that cannot be what is said of this zone.
    pub(super) fn from_bytes(geometry: &Geometry, zone: u32, bytes: &[u8; RECORD_LEN]) -> Option<Record> {
        let none = Holes::default();
        if bytes == &[0; RECORD_LEN] {
            let conventional = geometry.is_conventional(zone);
            let state = if conventional { ZoneState::NotWritePointer } else { ZoneState::Empty };
            return Some(Record { zone, state, pointer: 0, holes: none });
        }
        let (said, sum) = bytes.split_last_chunk::<4>()?;
        if checksum(zone, said) != u32::from_le_bytes(*sum) || geometry.is_conventional(zone) {
            return None;
        }
        let state = [ZoneState::Closed, ZoneState::ReadOnly, ZoneState::Full, ZoneState::Offline]
            .into_iter()
            .find(|state| *state as u8 == bytes[0])?;
        let pointer = u64::from_le_bytes(*bytes[8..].first_chunk()?).checked_mul(SECTOR)?;
        if pointer > geometry.capacity(zone) || (state == ZoneState::Closed && pointer == 0) {
            return None;
        }
        let mut holes = none;
        let mut free_from = 0;
        for place in bytes[HOLES_AT..].chunks_exact(HOLE_LEN).take(MOST) {
            let start = SECTOR * u64::from(u32::from_le_bytes(*place.first_chunk()?));
            let end = SECTOR * u64::from(u32::from_le_bytes(*place.last_chunk()?));
            if (start, end) == (0, 0) {
                continue;
            }
            if start < free_from || start >= end || end > pointer {
                return None;
            }
            holes.add(start..end);
            free_from = end;
        }
        // A zone that has no room left is full, whatever it was.
        let full = state == ZoneState::Closed && pointer == geometry.capacity(zone);
        Some(Record { zone, state: if full { ZoneState::Full } else { state }, pointer, holes })
    }
}

/// FNV-1a, of 32 bits: against accidents, not against malice.
pub(super) fn checksum(zone: u32, bytes: &[u8]) -> u32 {
    let all = zone.to_le_bytes().into_iter().chain(bytes.iter().copied());
    all.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
