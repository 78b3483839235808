//! The configuration space of a device, and the features that it offers.

use virtio_core::Features;

use super::{BlockBuilder, BuildError};
use crate::backend::zone::{ZonedCharacteristics, ZonedModel};
use crate::backend::{Capabilities, RangeLimits};
use crate::features;
use crate::shared::Limits;
use crate::wire::{CONFIG_LEN, SECTOR, field, put};

/// Descriptors of a request that are not data: its header and its status.
const FRAME: u16 = 2;

/// Bytes of a segment of a zoned device whose embedder did not say: only with such a limit can there be one on appends.
const ZONED_SIZE_MAX: u32 = 1 << 20;

/// What the driver sees of a device.
pub(super) struct Shown {
    pub(super) bytes: Vec<u8>,
    pub(super) offered: Features,
    pub(super) limits: Limits,
    pub(super) zoned: Option<Zoned>,
}

/// What the driver sees of zones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zoned {
    /// The driver has to know about zones.
    pub(crate) managed: bool,
    pub(crate) bytes: [u8; field::ZONED.end - field::ZONED.start],
}

/// A number of a kind that the configuration space has less room for.
fn capped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Sectors of the longest range.
fn longest(limits: RangeLimits) -> u32 {
    capped(limits.max_len / SECTOR)
}

impl BlockBuilder {
    /// Only what works is offered.
    pub(super) fn shown(&self, can: &Capabilities, read_only: bool) -> Result<Shown, BuildError> {
        let mut bytes = vec![0; CONFIG_LEN];
        // BLK-INIT-01, BLK-INIT-02
        let mut offered = features::FLUSH | features::CONFIG_WCE | features::SEG_MAX | features::BLK_SIZE;
        if read_only {
            offered |= features::RO;
        }
        let seg_max = self.requests(can, &mut bytes, &mut offered)?;
        self.shape(can, &mut bytes, &mut offered)?;
        self.count_queues(can, &mut bytes, &mut offered)?;
        let mut limits = self.ranges(can, read_only, &mut bytes, &mut offered)?;
        // BLK-LIFE-01, BLK-LIFE-02
        if self.backend.lifetime()?.is_some() {
            offered |= features::LIFETIME;
        }
        let mut zoned = None;
        // BLK-INIT-05
        if let Some(zones) = can.zoned {
            offered |= features::ZONED | features::SIZE_MAX;
            let size_max = self.size_max.unwrap_or(ZONED_SIZE_MAX);
            put(&mut bytes, field::SIZE_MAX, &size_max.to_le_bytes());
            // BLK-INIT-15
            let most = zones.max_append_len.min(u64::from(seg_max) * u64::from(size_max));
            limits.append_sectors = capped(most / SECTOR);
            zoned = Some(show_zones(&zones, limits.append_sectors)?);
        }
        Ok(Shown { bytes, offered, limits, zoned })
    }

    /// What requests look like. Gives the number of segments.
    fn requests(&self, can: &Capabilities, bytes: &mut [u8], offered: &mut Features) -> Result<u16, BuildError> {
        let block_size = self.block_size.unwrap_or(can.block_size);
        if !block_size.is_power_of_two() || !(512..=65536).contains(&block_size) {
            return Err(BuildError::BlockSize { size: block_size });
        }
        put(bytes, field::BLK_SIZE, &block_size.to_le_bytes());

        let queue_size = self.queue_size;
        if !queue_size.is_power_of_two() || !(4..=32768).contains(&queue_size) {
            return Err(BuildError::QueueSize { size: queue_size });
        }
        // A chain may not be longer than its queue, be it in an indirect table or not.
        let most = queue_size - FRAME;
        let seg_max = self.seg_max.unwrap_or(most);
        if !(1..=most).contains(&seg_max) {
            return Err(BuildError::SegMax { seg_max, most });
        }
        put(bytes, field::SEG_MAX, &u32::from(seg_max).to_le_bytes());

        if let Some(size_max) = self.size_max {
            if size_max < 4096 {
                return Err(BuildError::SizeMax { size_max });
            }
            *offered |= features::SIZE_MAX;
            put(bytes, field::SIZE_MAX, &size_max.to_le_bytes());
        }
        Ok(seg_max)
    }

    /// What the disk looks like.
    fn shape(&self, can: &Capabilities, bytes: &mut [u8], offered: &mut Features) -> Result<(), BuildError> {
        if let Some(topology) = self.topology.or(can.topology) {
            *offered |= features::TOPOLOGY;
            put(bytes, field::PHYSICAL_BLOCK_EXP, &[topology.physical_block_exp]);
            put(bytes, field::ALIGNMENT_OFFSET, &[topology.alignment_offset]);
            put(bytes, field::MIN_IO_SIZE, &topology.min_io_size.to_le_bytes());
            put(bytes, field::OPT_IO_SIZE, &topology.opt_io_size.to_le_bytes());
        }
        if let Some(geometry) = self.geometry {
            *offered |= features::GEOMETRY;
            put(bytes, field::CYLINDERS, &geometry.cylinders.to_le_bytes());
            put(bytes, field::HEADS, &[geometry.heads]);
            put(bytes, field::SECTORS, &[geometry.sectors]);
        }
        Ok(())
    }

    fn count_queues(&self, can: &Capabilities, bytes: &mut [u8], offered: &mut Features) -> Result<(), BuildError> {
        let (queues, most) = (self.queues, can.max_queues);
        match queues {
            0 => return Err(BuildError::NoQueues),
            _ if queues > most => return Err(BuildError::TooManyQueues { queues, most }),
            1 => {}
            _ => {
                // BLK-CFG-02
                *offered |= features::MQ;
                put(bytes, field::NUM_QUEUES, &queues.to_le_bytes());
            }
        }
        Ok(())
    }

    /// What may be done with ranges of the disk. A disk that can only be read offers nothing of it.
    fn ranges(
        &self,
        can: &Capabilities,
        read_only: bool,
        bytes: &mut [u8],
        offered: &mut Features,
    ) -> Result<Limits, BuildError> {
        let mut limits = Limits { segments: u32::from(self.segments), ..Limits::default() };
        if self.segments == 0 {
            return Err(BuildError::NoSegments);
        }
        if read_only {
            return Ok(limits);
        }
        let segments = limits.segments.to_le_bytes();
        let alignment = |limits: RangeLimits| (limits.alignment / SECTOR as u32).max(1);
        // DRV-BLK-02: a driver must not have both that and host-managed zones.
        let managed = can.zoned.is_some_and(|zones| zones.model == ZonedModel::HostManaged);
        if let Some(discard) = can.discard.filter(|_| self.options.discard && !managed) {
            *offered |= features::DISCARD;
            limits.discard = longest(discard);
            put(bytes, field::MAX_DISCARD_SECTORS, &limits.discard.to_le_bytes());
            put(bytes, field::MAX_DISCARD_SEG, &segments);
            put(bytes, field::DISCARD_SECTOR_ALIGNMENT, &alignment(discard).to_le_bytes());
        }
        if let Some(zeroes) = can.write_zeroes {
            *offered |= features::WRITE_ZEROES;
            limits.write_zeroes = longest(zeroes);
            put(bytes, field::MAX_WRITE_ZEROES_SECTORS, &limits.write_zeroes.to_le_bytes());
            put(bytes, field::MAX_WRITE_ZEROES_SEG, &segments);
        }
        if let Some(erase) = can.secure_erase {
            *offered |= features::SECURE_ERASE;
            limits.secure_erase = longest(erase);
            // BLK-ZONE-23: zones are erased as a whole.
            let zone = can.zoned.map_or(1, |zones| capped(zones.zone_len / SECTOR));
            let alignment = alignment(erase).next_multiple_of(zone.max(1));
            put(bytes, field::MAX_SECURE_ERASE_SECTORS, &limits.secure_erase.to_le_bytes());
            put(bytes, field::MAX_SECURE_ERASE_SEG, &segments);
            put(bytes, field::SECURE_ERASE_SECTOR_ALIGNMENT, &alignment.to_le_bytes());
        }
        Ok(limits)
    }
}

/// BLK-INIT-09, BLK-INIT-10, BLK-INIT-12, BLK-INIT-13, BLK-INIT-14, BLK-INIT-17
fn show_zones(zones: &ZonedCharacteristics, append_sectors: u32) -> Result<Zoned, BuildError> {
    let sectors = zones.zone_len / SECTOR;
    if sectors == 0 || sectors > u64::from(u32::MAX) || !zones.zone_len.is_multiple_of(SECTOR) {
        return Err(BuildError::Zones { what: "the length of a zone" });
    }
    if zones.write_granularity < 512 || !zones.write_granularity.is_power_of_two() {
        return Err(BuildError::Zones { what: "the granularity of writes" });
    }
    let mut all = [0; CONFIG_LEN];
    let managed = zones.model == ZonedModel::HostManaged;
    put(&mut all, field::ZONE_SECTORS, &capped(sectors).to_le_bytes());
    put(&mut all, field::MAX_OPEN_ZONES, &zones.max_open_zones.to_le_bytes());
    put(&mut all, field::MAX_ACTIVE_ZONES, &zones.max_active_zones.to_le_bytes());
    put(&mut all, field::MAX_APPEND_SECTORS, &append_sectors.to_le_bytes());
    put(&mut all, field::WRITE_GRANULARITY, &zones.write_granularity.to_le_bytes());
    put(&mut all, field::MODEL, &[if managed { 1 } else { 2 }]);
    let mut bytes = [0; field::ZONED.end - field::ZONED.start];
    bytes.copy_from_slice(&all[field::ZONED]);
    Ok(Zoned { managed, bytes })
}
