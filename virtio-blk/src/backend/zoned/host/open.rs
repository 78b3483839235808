//! How a device becomes a zoned disk.

use std::sync::{Arc, Mutex};

use virtio_core::LogLimit;

use super::{Host, HostZonesError, ZoneDevice, check};
use crate::backend::BlockBackend;
use crate::backend::zone::{ZoneType, ZonedCharacteristics, ZonedModel};
use crate::backend::zoned::ZonedBackend;
use crate::backend::zoned::builder::{MOST_ZONES, whole_sectors};
use crate::backend::zoned::disk::Disk;
use crate::backend::zoned::geometry::Geometry;
use crate::backend::zoned::shared::Shared;
use crate::backend::zoned::table::{Limits, Table};
use crate::wire::SECTOR;

/// The most bytes of an append, where the system does not say.
const USUAL_APPEND: u64 = 1 << 20;

/// What the system says of a device, and nobody has checked.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::zoned) struct Facts {
    pub(in crate::backend::zoned) model: ZonedModel,
    pub(in crate::backend::zoned) zone_len: u64,
    pub(in crate::backend::zoned) zones: u32,
    /// Zero for no limit, as for the next.
    pub(in crate::backend::zoned) max_open: u32,
    pub(in crate::backend::zoned) max_active: u32,
    pub(in crate::backend::zoned) granularity: u64,
    /// Zero where it does not say.
    pub(in crate::backend::zoned) max_append_len: u64,
}

/// The disk of `device`, whose data is that of `inner`.
pub(in crate::backend::zoned) fn open(
    inner: Arc<dyn BlockBackend>,
    device: Box<dyn ZoneDevice>,
    facts: &Facts,
) -> Result<ZonedBackend, HostZonesError> {
    let geometry = geometry(inner.size()?, facts)?;
    let managed = facts.model == ZonedModel::HostManaged;
    // BLK-INIT-12, BLK-INIT-13: an open zone is an active one as well. Host-aware devices have a best number, no limit.
    let active = if managed { facts.max_active } else { 0 };
    let open = match if managed { facts.max_open } else { 0 } {
        open if active != 0 => open.min(active),
        open => open,
    };
    let mut disk = Disk::new(Table::new(geometry, Limits { open, active }));
    disk.in_order = true;
    let mut fixed = Vec::new();
    check::read(&*device, &geometry, 0..geometry.zones(), |number, zone| {
        fixed.push((zone.kind, zone.capacity));
        disk.take_over(number, zone);
        Ok(())
    })?;
    let sequential = fixed.iter().filter(|(kind, _)| *kind != ZoneType::Conventional);
    let least = sequential.map(|(_, capacity)| *capacity).min().ok_or(HostZonesError::AllConventional)?;
    let unit = u64::from(geometry.granularity);
    let append = if facts.max_append_len == 0 { USUAL_APPEND.max(unit) } else { facts.max_append_len };
    let characteristics = ZonedCharacteristics {
        model: facts.model,
        zone_len: geometry.zone_len,
        max_open_zones: open,
        max_active_zones: active,
        // BLK-INIT-14
        max_append_len: if managed { append.min(least) / unit * unit } else { 0 },
        write_granularity: geometry.granularity,
    };
    let most_zeroes = inner.capabilities().write_zeroes.map_or(SECTOR, |limits| whole_sectors(limits.max_len));
    let host = Some(Host { device, geometry, fixed, log: LogLimit::default() });
    let (disk, secure_erase, store) = (Mutex::new(disk), None, None);
    let shared = Shared { inner, characteristics, secure_erase, most_zeroes, disk, store, host };
    Ok(ZonedBackend { shared: Arc::new(shared) })
}

fn geometry(size: u64, facts: &Facts) -> Result<Geometry, HostZonesError> {
    let Facts { model, zone_len, zones, granularity: unit, .. } = *facts;
    let granularity = u32::try_from(unit).ok().filter(|unit| unit.is_power_of_two() && u64::from(*unit) >= SECTOR);
    let granularity = granularity.ok_or(HostZonesError::Granularity { granularity: unit })?;
    // The driver is told of their number of sectors in 32 bits.
    if zone_len == 0 || !zone_len.is_multiple_of(unit) || zone_len / SECTOR > u32::MAX.into() {
        return Err(HostZonesError::ZoneLen { zone_len, granularity });
    }
    let expected = size.div_ceil(zone_len);
    if expected != u64::from(zones) || zones == 0 || expected > MOST_ZONES {
        return Err(HostZonesError::Count { zones, size, expected });
    }
    Ok(Geometry { model, size, zone_len, zone_capacity: zone_len, conventional: 0, granularity })
}
