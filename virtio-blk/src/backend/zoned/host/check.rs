//! What a device reports, looked at before it is believed.

use std::io;
use std::ops::Range;

use super::{HostZonesError, Reported, ZoneDevice, ZoneFault};
use crate::backend::zone::{ZoneState, ZoneType, ZonedModel};
use crate::backend::zoned::geometry::Geometry;
use crate::backend::zoned::table::Zone;
use crate::wire::SECTOR;

/// Why zones are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("what the device reports of zone {zone} cannot be: {fault}")]
    Wrong { zone: u32, fault: ZoneFault },
}

impl From<Trouble> for HostZonesError {
    fn from(trouble: Trouble) -> HostZonesError {
        match trouble {
            Trouble::Io(error) => HostZonesError::Io(error),
            Trouble::Wrong { zone, fault } => HostZonesError::Zone { zone, fault },
        }
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> io::Error {
        match trouble {
            Trouble::Io(error) => error,
            wrong @ Trouble::Wrong { .. } => io::Error::new(io::ErrorKind::InvalidData, wrong.to_string()),
        }
    }
}

/// Has the device report zones, in as many answers as it takes, and gives each to `see`.
pub(super) fn read(
    device: &dyn ZoneDevice,
    geometry: &Geometry,
    zones: Range<u32>,
    mut see: impl FnMut(u32, Zone) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut next = zones.start;
    while next < zones.end {
        let most = zones.end.saturating_sub(next);
        let answer = device.report(geometry.start(next), most)?;
        if answer.is_empty() {
            return Err(Trouble::Wrong { zone: next, fault: ZoneFault::Missing });
        }
        for reported in answer.into_iter().take(most as usize) {
            let zone = check(geometry, next, &reported).map_err(|fault| Trouble::Wrong { zone: next, fault })?;
            see(next, zone)?;
            next = next.saturating_add(1);
        }
    }
    Ok(())
}

/// The zone with this number, if what is reported of it can be.
fn check(geometry: &Geometry, number: u32, reported: &Reported) -> Result<Zone, ZoneFault> {
    let Reported { start, len, capacity, write_pointer, kind, condition } = *reported;
    let (from, to) = (geometry.start(number), geometry.end(number));
    let bytes = |sectors: u64| sectors.checked_mul(SECTOR);
    if bytes(start) != Some(from) || bytes(len) != Some(to.saturating_sub(from)) {
        return Err(ZoneFault::Place { start, len });
    }
    let fits = |bytes: &u64| *bytes <= to.saturating_sub(from) && bytes.is_multiple_of(geometry.granularity.into());
    let capacity_in_bytes = bytes(capacity).filter(|bytes| *bytes > 0).filter(fits);
    let capacity = capacity_in_bytes.ok_or(ZoneFault::Capacity { capacity })?;
    let kind = match (kind, geometry.model) {
        (1, _) => ZoneType::Conventional,
        (2, ZonedModel::HostManaged) => ZoneType::SequentialWriteRequired,
        (3, ZonedModel::HostAware) => ZoneType::SequentialWritePreferred,
        _ => return Err(ZoneFault::Kind { kind }),
    };
    let written = || {
        let pointer = write_pointer.checked_sub(start).and_then(bytes).filter(fits);
        pointer.filter(|pointer| *pointer <= capacity).ok_or(ZoneFault::Pointer { write_pointer })
    };
    let state = [
        ZoneState::NotWritePointer,
        ZoneState::Empty,
        ZoneState::ImplicitlyOpen,
        ZoneState::ExplicitlyOpen,
        ZoneState::Closed,
        ZoneState::ReadOnly,
        ZoneState::Full,
        ZoneState::Offline,
    ]
    .into_iter()
    .find(|state| *state as u8 == condition)
    .ok_or(ZoneFault::State { state: condition })?;
    let conventional = kind == ZoneType::Conventional;
    let pointer = match state {
        ZoneState::NotWritePointer if conventional => 0,
        ZoneState::Empty if !conventional && written()? == 0 => 0,
        ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen | ZoneState::Closed if !conventional => written()?,
        // Where it was written to is not known: the device gives what is there.
        ZoneState::Full if !conventional => capacity,
        ZoneState::ReadOnly | ZoneState::Offline => capacity,
        _ => return Err(ZoneFault::State { state: condition }),
    };
    Ok(Zone { kind, state, capacity, pointer })
}
