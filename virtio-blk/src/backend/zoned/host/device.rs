//! Zoned block devices of Linux.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Command, Facts, HostZonesError, Reported, ZoneDevice, open};
use crate::backend::file::{Disk, Sysfs};
use crate::backend::sys::{self, ReportedZone, ZoneCommand};
use crate::backend::zoned::ZonedBackend;
use crate::backend::{BlockBackend, FileOptions, OpenError, ZoneError};
use crate::wire::SECTOR;

/// A block device that is open.
struct BlockDevice(Arc<Disk>);

impl ZoneDevice for BlockDevice {
    fn report(&self, offset: u64, most: u32) -> io::Result<Vec<Reported>> {
        let reported = |zone: ReportedZone| {
            let ReportedZone { start, len, capacity, write_pointer, kind, condition, .. } = zone;
            Reported { start, len, capacity, write_pointer, kind, condition }
        };
        let zones = sys::report_zones(self.0.file(), offset / SECTOR, most)?;
        Ok(zones.into_iter().map(reported).collect())
    }

    fn command(&self, command: Command, range: &Range<u64>) -> io::Result<()> {
        let command = match command {
            Command::Open => ZoneCommand::Open,
            Command::Close => ZoneCommand::Close,
            Command::Finish => ZoneCommand::Finish,
            Command::Reset => ZoneCommand::Reset,
        };
        let sectors = range.end.saturating_sub(range.start) / SECTOR;
        sys::manage_zones(self.0.file(), command, range.start / SECTOR, sectors)
    }

    fn rule(&self, error: &io::Error) -> Option<ZoneError> {
        match error.raw_os_error() {
            Some(libc::ETOOMANYREFS) => Some(ZoneError::OpenResource),
            Some(libc::EOVERFLOW) => Some(ZoneError::ActiveResource),
            _ => None,
        }
    }
}

impl ZonedBackend {
    /// Opens a zoned block device of the host, host-managed or host-aware, for reading and writing: the disk has the zones
    /// of the device, with their states and write pointers, and what the driver does to them is done to the device. Only on
    /// Linux.
    ///
    /// All I/O is direct: writes by the page cache have no order, which zones need. Where guest memory is not aligned,
    /// data is copied. Writes to one zone go to the device one after the other, appends too, as programs cannot append;
    /// writes to several zones go side by side in several queues. The device has the last word: after a command, a failed
    /// write, and for each report it is asked for its zones again. Behind a write pointer everything reads as zeros; what is in
    /// a zone that was finished early is up to the device. Nobody else may use the device.
    ///
    /// Its queues block for as long as the device takes. A call of Linux before 5.15 may need CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// [`HostZonesError`], if it cannot be opened, has no zones, or reports what cannot be.
    pub fn open(path: impl AsRef<Path>) -> Result<ZonedBackend, HostZonesError> {
        FileOptions::new().open_zoned(path)
    }
}

impl FileOptions {
    /// Opens a zoned block device of the host with these options: see [`ZonedBackend::open`]. It is direct in any case, and
    /// nothing is erased securely.
    ///
    /// # Errors
    /// [`HostZonesError`].
    pub fn open_zoned(&self, path: impl AsRef<Path>) -> Result<ZonedBackend, HostZonesError> {
        let path = path.as_ref();
        let inner = self.open_for_zones(path)?;
        let disk = Arc::clone(inner.disk());
        let none = || OpenError::NoZones { path: path.to_owned() };
        let sysfs = Sysfs::of(&disk.file().metadata()?).ok_or_else(none)?;
        let model = sysfs.zoned().ok_or_else(none)?;
        let number = |name| sysfs.queue(name).unwrap_or(0);
        let limit = |name| u32::try_from(number(name)).unwrap_or(0);
        let granularity = match number("zone_write_granularity") {
            // An older system.
            0 => number("physical_block_size"),
            granularity => granularity,
        };
        let block = u64::from(inner.capabilities().block_size);
        let facts = Facts {
            model,
            zone_len: SECTOR * u64::from(sys::zone_sectors(disk.file())?),
            zones: sys::zone_count(disk.file())?,
            max_open: limit("max_open_zones"),
            max_active: limit("max_active_zones"),
            granularity: granularity.max(block),
            max_append_len: number("zone_append_max_bytes"),
        };
        open(Arc::new(inner), Box::new(BlockDevice(disk)), &facts)
    }
}
