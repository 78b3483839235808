//! Making a zoned disk.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::ZonedBackend;
use super::disk::Disk;
use super::geometry::Geometry;
use super::shared::Shared;
use super::store::{StateFileError, Store, ZoneStorage, open_file};
use super::table::{Limits, Table};
use crate::backend::zone::{ZonedCharacteristics, ZonedModel};
use crate::backend::{BlockBackend, Capabilities, RangeLimits};
use crate::wire::SECTOR;

/// The most zones that a disk can have.
pub(super) const MOST_ZONES: u64 = 1 << 20;

/// A zoned disk in the making. See [`ZonedBackend::builder`].
///
/// Send and Sync. Only [`build`](Self::build) waits: for the storage and the state file.
#[must_use]
pub struct ZonedBuilder {
    inner: Arc<dyn BlockBackend>,
    model: ZonedModel,
    zone_len: u64,
    zone_capacity: Option<u64>,
    conventional: u32,
    limits: Limits,
    max_append_len: Option<u64>,
    write_granularity: Option<u32>,
    /// What errors call it, and the storage itself if it was given.
    state: Option<(PathBuf, Option<Box<dyn ZoneStorage>>)>,
}

/// A zoned disk cannot be made like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZonedError {
    /// The other disk has zones itself.
    #[error("the storage has zones of its own")]
    Zoned,
    /// The other disk could not be asked for its size.
    #[error("the size of the storage is not known: {0}")]
    Backend(#[from] io::Error),
    /// There is no room for a zone.
    #[error("a disk of {size} bytes has no room for a zone written in multiples of {granularity}")]
    TooSmall {
        /// Bytes of the other disk.
        size: u64,
        /// Bytes that writes have to be multiples of.
        granularity: u32,
    },
    /// Zones would be too many.
    #[error("a disk of {size} bytes has {zones} zones of {zone_len} bytes, more than 1048576")]
    TooManyZones {
        /// Bytes of the disk.
        size: u64,
        /// Bytes of each zone.
        zone_len: u64,
        /// How many there would be.
        zones: u64,
    },
    /// The write granularity is no power of two from 512 on.
    #[error("{granularity} is not a write granularity: a power of two from 512 on is")]
    Granularity {
        /// What was asked for.
        granularity: u32,
    },
    /// The length of zones is zero, no multiple of the write granularity, or too long.
    #[error("zones of {zone_len} bytes are not multiples of the write granularity {granularity} below 2 TiB")]
    ZoneLen {
        /// What was asked for.
        zone_len: u64,
        /// Bytes that writes have to be multiples of.
        granularity: u32,
    },
    /// The capacity of zones is zero, no multiple of the write granularity, or more than their length; or less than that
    /// on a host-aware disk.
    #[error(
        "{capacity} bytes cannot be written to a zone of {zone_len} bytes in multiples of {granularity}; on a \
        host-aware disk all of it has to be"
    )]
    Capacity {
        /// What was asked for.
        capacity: u64,
        /// Bytes of each zone.
        zone_len: u64,
        /// Bytes that writes have to be multiples of.
        granularity: u32,
    },
    /// No sequential zone would be left.
    #[error("with {conventional} conventional zones of {zones} no sequential one is left")]
    Conventional {
        /// What was asked for.
        conventional: u32,
        /// How many zones there are.
        zones: u32,
    },
    /// More zones could be open than active, or a host-aware disk has limits.
    #[error(
        "limits of {open} open and {active} active zones are not possible: an open zone is an active one as well, and \
        a host-aware disk has no limits"
    )]
    Limits {
        /// The most open zones.
        open: u32,
        /// The most active zones.
        active: u32,
    },
    /// Appends of that length are no multiples of the write granularity, or are more than a zone's capacity; or the disk is
    /// a host-aware one, to which nothing can be appended.
    #[error(
        "{max_append_len} bytes cannot be appended at once to zones of {capacity} bytes in multiples of {granularity}; \
        on a host-aware disk nothing can be"
    )]
    AppendLen {
        /// What was asked for.
        max_append_len: u64,
        /// Bytes of each zone that can be written.
        capacity: u64,
        /// Bytes that writes have to be multiples of.
        granularity: u32,
    },
    /// A host-aware disk needs storage that can write zeros to a range.
    #[error("a host-aware disk needs storage that can zero ranges")]
    NoZeroes,
    /// The state file cannot be used.
    #[error(transparent)]
    StateFile(#[from] StateFileError),
}

impl ZonedBuilder {
    pub(super) fn new(inner: Arc<dyn BlockBackend>) -> ZonedBuilder {
        ZonedBuilder {
            inner,
            model: ZonedModel::HostManaged,
            zone_len: 256 << 20,
            zone_capacity: None,
            conventional: 0,
            limits: Limits::default(),
            max_append_len: None,
            write_granularity: None,
            state: None,
        }
    }

    /// How drivers have to treat its zones: host-managed unless said otherwise.
    pub fn model(mut self, model: ZonedModel) -> ZonedBuilder {
        self.model = model;
        self
    }

    /// Bytes of each zone; 256 MiB unless said otherwise. The last one may be smaller. Linux wants a power of two.
    pub fn zone_len(mut self, len: u64) -> ZonedBuilder {
        self.zone_len = len;
        self
    }

    /// Bytes of each sequential zone that can be written: all of them unless said otherwise.
    pub fn zone_capacity(mut self, len: u64) -> ZonedBuilder {
        self.zone_capacity = Some(len);
        self
    }

    /// How many zones from the first on are conventional ones: none unless said otherwise.
    pub fn conventional(mut self, zones: u32) -> ZonedBuilder {
        self.conventional = zones;
        self
    }

    /// The most zones that can be open; 0, which it is unless said otherwise, for no limit.
    pub fn max_open(mut self, zones: u32) -> ZonedBuilder {
        self.limits.open = zones;
        self
    }

    /// The most zones that can be active; 0, which it is unless said otherwise, for no limit.
    pub fn max_active(mut self, zones: u32) -> ZonedBuilder {
        self.limits.active = zones;
        self
    }

    /// The most bytes that can be appended at once; 0 if nothing can be. A zone's capacity or 1 MiB, whichever is less,
    /// unless said otherwise. Linux wants to be able to append.
    pub fn max_append_len(mut self, len: u64) -> ZonedBuilder {
        self.max_append_len = Some(len);
        self
    }

    /// Bytes that writes to sequential zones have to be multiples of, and to begin at multiples of: a power of two from
    /// 512 on; the block size of the other disk unless said otherwise. Host-aware zones take all sectors.
    pub fn write_granularity(mut self, len: u32) -> ZonedBuilder {
        self.write_granularity = Some(len);
        self
    }

    /// Keeps in this file what state zones are in, for the next time; makes it if it does not exist, or is empty. The file
    /// is locked: a second disk cannot use it.
    ///
    /// Pointers are written when a flush or a durable write ends, and then are on stable storage as its data is; other
    /// changes of zones when they end. After a power failure or a crash a zone is as it was then, and none is open. What
    /// was being written at the time of a flush may be anything afterwards, as on any disk. Where the file cannot be
    /// written, what relies on it fails, though the zone has changed; after a sync of it failed, every later one does.
    pub fn state_file(mut self, path: impl Into<PathBuf>) -> ZonedBuilder {
        self.state = Some((path.into(), None));
        self
    }

    /// The same in a file that is open already, or in what takes the place of one, which errors call `name`. To keep
    /// others away from it, and to have a new file's directory synced, is left to the caller.
    pub fn state_storage(mut self, name: impl Into<PathBuf>, storage: impl ZoneStorage + 'static) -> ZonedBuilder {
        self.state = Some((name.into(), Some(Box::new(storage))));
        self
    }

    /// Makes the disk.
    ///
    /// # Errors
    /// [`ZonedError`].
    pub fn build(self) -> Result<ZonedBackend, ZonedError> {
        let capabilities = self.inner.capabilities();
        if capabilities.zoned.is_some() {
            return Err(ZonedError::Zoned);
        }
        let geometry = self.geometry(&capabilities)?;
        let characteristics = self.characteristics(&geometry)?;
        let mut disk = Disk::new(Table::new(geometry, self.limits));
        let store = match self.state {
            Some((path, storage)) => {
                let storage = match storage {
                    Some(storage) => storage,
                    None => Box::new(open_file(&path)?),
                };
                Some(Mutex::new(Store::open(&path, storage, &geometry, |record| disk.restore(record))?))
            }
            None => None,
        };
        let most_zeroes = match capabilities.write_zeroes {
            Some(limits) => whole_sectors(limits.max_len),
            None if self.model == ZonedModel::HostAware => return Err(ZonedError::NoZeroes),
            None => SECTOR,
        };
        let secure_erase = capabilities.secure_erase.and_then(|limits| erasure(limits, geometry.zone_len));
        let inner = self.inner;
        let disk = Mutex::new(disk);
        let shared = Shared { inner, characteristics, secure_erase, most_zeroes, disk, store, host: None };
        Ok(ZonedBackend { shared: Arc::new(shared) })
    }

    fn geometry(&self, inner: &Capabilities) -> Result<Geometry, ZonedError> {
        let granularity = self.write_granularity.unwrap_or(inner.block_size);
        let unit = u64::from(granularity);
        if !granularity.is_power_of_two() || unit < SECTOR {
            return Err(ZonedError::Granularity { granularity });
        }
        let zone_len = self.zone_len;
        // The driver is told of their number of sectors in 32 bits.
        if zone_len == 0 || !zone_len.is_multiple_of(unit) || zone_len / SECTOR > u32::MAX.into() {
            return Err(ZonedError::ZoneLen { zone_len, granularity });
        }
        let capacity = self.zone_capacity.unwrap_or(zone_len);
        let part = capacity != zone_len && self.model == ZonedModel::HostAware;
        if capacity == 0 || capacity > zone_len || !capacity.is_multiple_of(unit) || part {
            return Err(ZonedError::Capacity { capacity, zone_len, granularity });
        }
        let all = self.inner.size()?;
        let size = all / unit * unit;
        if size == 0 {
            return Err(ZonedError::TooSmall { size: all, granularity });
        }
        let zones = size.div_ceil(zone_len);
        if zones > MOST_ZONES {
            return Err(ZonedError::TooManyZones { size, zone_len, zones });
        }
        let (model, conventional) = (self.model, self.conventional);
        let geometry = Geometry { model, size, zone_len, zone_capacity: capacity, conventional, granularity };
        if conventional >= geometry.zones() {
            return Err(ZonedError::Conventional { conventional, zones: geometry.zones() });
        }
        Ok(geometry)
    }

    /// BLK-INIT-10, BLK-INIT-12, BLK-INIT-13, BLK-INIT-14, BLK-INIT-17
    fn characteristics(&self, geometry: &Geometry) -> Result<ZonedCharacteristics, ZonedError> {
        let Limits { open, active } = self.limits;
        let aware = self.model == ZonedModel::HostAware;
        if (active != 0 && open > active) || (aware && (open, active) != (0, 0)) {
            return Err(ZonedError::Limits { open, active });
        }
        let (capacity, granularity) = (geometry.zone_capacity, geometry.granularity);
        let unit = u64::from(granularity);
        let usual = if aware { 0 } else { capacity.min(unit.max(1 << 20)) / unit * unit };
        let max_append_len = self.max_append_len.unwrap_or(usual);
        if max_append_len > capacity || !max_append_len.is_multiple_of(unit) || (aware && max_append_len != 0) {
            return Err(ZonedError::AppendLen { max_append_len, capacity, granularity });
        }
        Ok(ZonedCharacteristics {
            model: self.model,
            zone_len: geometry.zone_len,
            max_open_zones: open,
            max_active_zones: active,
            max_append_len,
            write_granularity: granularity,
        })
    }
}

/// A length in whole sectors, one of them at least.
pub(super) fn whole_sectors(len: u64) -> u64 {
    (len / SECTOR * SECTOR).max(SECTOR)
}

/// BLK-ZONE-23: whole zones are erased. None where so much cannot be erased at once, or not be said.
fn erasure(limits: RangeLimits, zone_len: u64) -> Option<RangeLimits> {
    let alignment = u32::try_from(zone_len).ok()?;
    let max_len = limits.max_len / zone_len * zone_len;
    let aligned = u64::from(limits.alignment) == 0 || zone_len.is_multiple_of(limits.alignment.into());
    (max_len > 0 && aligned).then_some(RangeLimits { max_len, alignment })
}

impl fmt::Debug for ZonedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZonedBuilder({:?} zones of {} bytes)", self.model, self.zone_len)
    }
}
