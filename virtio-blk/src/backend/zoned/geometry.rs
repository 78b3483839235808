//! Where zones are.

use std::ops::Range;

use crate::backend::zone::{ZoneType, ZonedModel};

/// How a disk is cut into zones. Checked by the builder: no length is zero, and there are zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) model: ZonedModel,
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Bytes of each zone; the last may be smaller (BLK-INIT-11).
    pub(super) zone_len: u64,
    /// Bytes of each zone that can be written.
    pub(super) zone_capacity: u64,
    /// The first so many zones are conventional ones.
    pub(super) conventional: u32,
    /// Bytes that writes to sequential zones are multiples of.
    pub(super) granularity: u32,
}

impl Geometry {
    pub(super) fn zones(&self) -> u32 {
        // The builder refuses more.
        u32::try_from(self.size.div_ceil(self.zone_len)).unwrap_or(u32::MAX)
    }

    /// The zone that holds the byte at `offset`; none behind the disk's end.
    pub(super) fn zone_at(&self, offset: u64) -> Option<u32> {
        let zone = offset.checked_div(self.zone_len).filter(|_| offset < self.size)?;
        u32::try_from(zone).ok()
    }

    /// The zone that starts at `offset`.
    pub(super) fn zone_from(&self, offset: u64) -> Option<u32> {
        self.zone_at(offset).filter(|zone| self.start(*zone) == offset)
    }

    /// The zones that a range of the disk touches; none for an empty range, or one that goes beyond the disk.
    pub(super) fn zones_of(&self, range: &Range<u64>) -> Option<Range<u32>> {
        let first = self.zone_at(range.start)?;
        let last = self.zone_at(range.end.checked_sub(1)?)?;
        (first <= last && !range.is_empty()).then(|| first..last.saturating_add(1))
    }

    pub(super) fn start(&self, zone: u32) -> u64 {
        self.zone_len.saturating_mul(zone.into()).min(self.size)
    }

    pub(super) fn end(&self, zone: u32) -> u64 {
        self.start(zone).saturating_add(self.zone_len).min(self.size)
    }

    /// Bytes that can be written to it when it is empty.
    pub(super) fn capacity(&self, zone: u32) -> u64 {
        let len = self.end(zone).saturating_sub(self.start(zone));
        if self.is_conventional(zone) { len } else { len.min(self.zone_capacity) }
    }

    pub(super) fn kind(&self, zone: u32) -> ZoneType {
        match self.model {
            _ if self.is_conventional(zone) => ZoneType::Conventional,
            ZonedModel::HostManaged => ZoneType::SequentialWriteRequired,
            ZonedModel::HostAware => ZoneType::SequentialWritePreferred,
        }
    }

    pub(super) fn is_conventional(&self, zone: u32) -> bool {
        zone < self.conventional
    }
}
