//! Zones that a block device of the host has.
//!
//! The rules are those of every zoned disk; the table begins with what the device reports. Commands go to the device as well,
//! while nothing else goes on in their zones. Writes to a zone go one after the other, and appends with them: Linux gives
//! programs no append. After something failed, and for every report, the device is asked again: it is right, whatever the
//! table says.

#![cfg_attr(not(all(feature = "file", target_os = "linux")), allow(dead_code, unused_imports))] // no such devices

mod check;
mod command;
#[cfg(all(feature = "file", target_os = "linux"))]
mod device;
mod error;
mod open;

use std::io;
use std::ops::Range;

use log::Level;
use virtio_core::LogLimit;

use super::geometry::Geometry;
use super::table::Zone;
use crate::backend::zone::ZoneType;
use crate::backend::{OperationError, ZoneError};
use check::Trouble;
pub use error::{HostZonesError, ZoneFault};
pub(super) use open::{Facts, open};

/// One zone as a device reports it, in sectors. Nothing of it has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) capacity: u64,
    pub(super) write_pointer: u64,
    pub(super) kind: u8,
    pub(super) condition: u8,
}

/// What a device is told to do with zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Open,
    Close,
    Finish,
    Reset,
}

/// A device with zones, apart from its data. Every call waits for the device.
pub(super) trait ZoneDevice: Send + Sync {
    /// Describes zones from the one that holds the byte at `offset` on: at most `most` of them, and not necessarily all.
    fn report(&self, offset: u64, most: u32) -> io::Result<Vec<Reported>>;

    /// Does something to all zones in a range. A reset of the whole device leaves alone what cannot be reset.
    fn command(&self, command: Command, range: &Range<u64>) -> io::Result<()>;

    /// Which rule was broken, where an error of a command or a write says that.
    fn rule(&self, error: &io::Error) -> Option<ZoneError>;
}

/// A device, and how its zones have to be.
pub(super) struct Host {
    device: Box<dyn ZoneDevice>,
    geometry: Geometry,
    /// What stays of each zone: its kind and capacity.
    fixed: Vec<(ZoneType, u64)>,
    log: LogLimit,
}

impl Host {
    /// What these zones are like now.
    pub(super) fn look(&self, zones: Range<u32>) -> io::Result<Vec<(u32, Zone)>> {
        let mut seen = Vec::with_capacity(zones.len());
        check::read(&*self.device, &self.geometry, zones, |number, zone| {
            if self.fixed.get(number as usize) != Some(&(zone.kind, zone.capacity)) {
                return Err(Trouble::Wrong { zone: number, fault: ZoneFault::Changed });
            }
            seen.push((number, zone));
            Ok(())
        })?;
        Ok(seen)
    }

    /// What an error of the device means.
    pub(super) fn explain(&self, error: io::Error) -> OperationError {
        match self.device.rule(&error) {
            Some(rule) => rule.into(),
            None => error.into(),
        }
    }

    /// Something that a driver may cause again and again.
    pub(super) fn warn(&self, error: &io::Error) {
        self.log.log(Level::Warn, format_args!("the zones of the host's device cannot be read again: {error}"));
    }
}
