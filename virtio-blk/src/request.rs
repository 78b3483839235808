//! From a descriptor chain to what it asks for, wherever the driver cut it.
//!
//! A request is a header of 16 bytes for the device to read, data in one direction or none, and one status byte, the
//! last that the device may write. Only the two streams of bytes count, never the descriptors (RING-FRAME-01).

use virtio_core::{Chain, ChainFault, Features, Reader, Writer};

use crate::backend::OperationKind;
use crate::features;
use crate::shared::Shared;
use crate::wire::{self, APPEND_SECTOR_LEN, HEADER_LEN, Header, SECTOR, SEGMENT_LEN, STATUS_LEN, Segment, Status};

/// A request that can be answered.
pub(crate) struct Request<'c> {
    /// What follows the header.
    pub(crate) payload: Reader<'c>,
    /// What precedes the status, and for an append the place for its sector.
    pub(crate) answer: Writer<'c>,
    /// The status; for an append, its sector and the status.
    pub(crate) status: Writer<'c>,
}

/// What a request asks for. Offsets are in bytes, and what lies behind them on the disk is in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Read {
        offset: u64,
    },
    Write {
        offset: u64,
    },
    Flush,
    Id,
    Lifetime,
    /// One of the kinds that concern ranges of the disk, which were checked and are in the list.
    Ranges(OperationKind),
    /// One of the kinds that concern zones and move no data but a report.
    Zone {
        kind: OperationKind,
        offset: u64,
    },
    Append {
        offset: u64,
    },
}

/// A range of the disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Chain(#[from] ChainFault),
    #[error("{len} bytes are no header")]
    Header { len: usize },
    #[error("type {kind} is not served")]
    Unsupported { kind: u32 },
    #[error("{len} bytes of data in the wrong direction")]
    Direction { len: usize },
    #[error("there is room for {len} bytes, {need} are needed")]
    Room { len: usize, need: usize },
    #[error("{len} bytes of data are no whole sectors")]
    Partial { len: usize },
    #[error("{len} bytes from sector {sector} on are not on the disk of {sectors} sectors")]
    Range { sector: u64, len: u64, sectors: u64 },
    #[error("the disk is read-only")]
    ReadOnly,
    #[error("{len} bytes are not 1 to {most} segments")]
    Segments { len: usize, most: u32 },
    #[error("a segment of {sectors} sectors is longer than {most}")]
    SegmentLen { sectors: u32, most: u32 },
    #[error("flags {flags:#x}")]
    Flags { flags: u32 },
    #[error("no zone is at sector {sector}")]
    Zone { sector: u64 },
    #[error("{len} bytes cannot be appended at once")]
    AppendLen { len: usize },
    #[error("nothing can be appended")]
    NoAppend,
}

impl Problem {
    /// BLK-OP-13
    pub(crate) fn status(self) -> Status {
        match self {
            // DRV-BLK-16, DRV-BLK-17, BLK-ZONE-01 too: types of features that were not negotiated.
            Problem::Unsupported { .. } | Problem::Flags { .. } | Problem::NoAppend => Status::Unsupported,
            Problem::Zone { .. } | Problem::AppendLen { .. } => Status::ZoneInvalidCommand,
            _ => Status::IoErr,
        }
    }
}

impl<'c> Request<'c> {
    /// Takes a chain apart: what it asks for, and what it is made of. None where there is no byte for a status (DRV-BLK-13).
    /// `ranges` gets those that it names.
    #[inline(always)]
    pub(crate) fn parse(
        chain: &'c Chain<'_>,
        disk: &Shared,
        negotiated: Features,
        ranges: &mut Vec<Range>,
    ) -> Option<(Result<Demand, Problem>, Request<'c>)> {
        let (mut answer, mut status) = chain.writer_and_tail(STATUS_LEN)?;
        let mut payload = chain.reader();
        let demand = Asked { chain, disk, negotiated, answer: answer.remaining() }.demand(&mut payload, ranges);
        if let Ok(Demand::Append { .. }) = demand {
            // There is nothing else in it.
            (answer, status) = chain.writer().split_at(0).ok()?;
        }
        Some((demand, Request { payload, answer, status }))
    }
}

/// What a demand is made of.
struct Asked<'a, 'c> {
    chain: &'a Chain<'c>,
    disk: &'a Shared,
    negotiated: Features,
    /// Bytes before the status.
    answer: usize,
}

impl Asked<'_, '_> {
    #[inline(always)]
    fn demand(&self, payload: &mut Reader<'_>, ranges: &mut Vec<Range>) -> Result<Demand, Problem> {
        if let Some(fault) = self.chain.fault() {
            return Err(Problem::Chain(fault));
        }
        // DRV-BLK-12
        let short = Problem::Header { len: payload.remaining() };
        let header = Header::new(payload.read_array::<HEADER_LEN>().map_err(|_| short)?);
        match header.kind {
            wire::IN => {
                // DRV-BLK-14
                nothing(payload.remaining())?;
                Ok(Demand::Read { offset: self.data_range(header.sector, self.answer)? })
            }
            wire::OUT => {
                self.may_change()?;
                // DRV-BLK-14
                nothing(self.answer)?;
                Ok(Demand::Write { offset: self.data_range(header.sector, payload.remaining())? })
            }
            wire::FLUSH => {
                // DRV-BLK-05: the sector does not matter. DRV-BLK-16: nor does it whether FLUSH was negotiated.
                nothing(payload.remaining())?;
                nothing(self.answer)?;
                Ok(Demand::Flush)
            }
            wire::GET_ID => {
                nothing(payload.remaining())?;
                Ok(Demand::Id)
            }
            wire::GET_LIFETIME if self.negotiated.contains(features::LIFETIME) => {
                nothing(payload.remaining())?;
                self.room(wire::LIFETIME_LEN)?;
                Ok(Demand::Lifetime)
            }
            kind => self.seldom(kind, header.sector, payload, ranges),
        }
    }

    #[inline(never)]
    fn seldom(
        &self,
        kind: u32,
        sector: u64,
        payload: &mut Reader<'_>,
        ranges: &mut Vec<Range>,
    ) -> Result<Demand, Problem> {
        let feature = match kind {
            wire::DISCARD => features::DISCARD,
            wire::WRITE_ZEROES => features::WRITE_ZEROES,
            wire::SECURE_ERASE => features::SECURE_ERASE,
            // BLK-ZONE-01, DRV-BLK-17
            _ => features::ZONED,
        };
        // DRV-BLK-16
        if !self.negotiated.contains(feature) {
            return Err(Problem::Unsupported { kind });
        }
        let zone = |kind| {
            nothing(payload.remaining())?;
            nothing(self.answer)?;
            self.may_change()?;
            Ok(Demand::Zone { kind, offset: self.zone(sector)? })
        };
        match kind {
            wire::DISCARD => self.ranges(OperationKind::Discard, payload, ranges),
            wire::WRITE_ZEROES => {
                // BLK-STABLE-01: as for writes.
                let durable = !self.disk.writeback();
                self.ranges(OperationKind::WriteZeroes { unmap: false, durable }, payload, ranges)
            }
            wire::SECURE_ERASE => self.ranges(OperationKind::SecureErase, payload, ranges),
            wire::ZONE_REPORT => {
                nothing(payload.remaining())?;
                // DRV-BLK-21
                self.room(crate::backend::zone::REPORT_HEADER_LEN)?;
                Ok(Demand::Zone { kind: OperationKind::ZoneReport, offset: self.zone(sector)? })
            }
            wire::ZONE_OPEN => zone(OperationKind::ZoneOpen),
            wire::ZONE_CLOSE => zone(OperationKind::ZoneClose),
            wire::ZONE_FINISH => zone(OperationKind::ZoneFinish),
            wire::ZONE_RESET => zone(OperationKind::ZoneReset),
            wire::ZONE_RESET_ALL => {
                // DRV-BLK-18
                if sector != 0 {
                    return Err(Problem::Zone { sector });
                }
                zone(OperationKind::ZoneResetAll)
            }
            wire::ZONE_APPEND => self.append(sector, payload.remaining()),
            kind => Err(Problem::Unsupported { kind }),
        }
    }

    fn append(&self, sector: u64, len: usize) -> Result<Demand, Problem> {
        self.may_change()?;
        if self.answer != APPEND_SECTOR_LEN {
            return Err(Problem::Room { len: self.answer, need: APPEND_SECTOR_LEN });
        }
        // BLK-ZONE-14, BLK-ZONE-15, DRV-BLK-19
        match self.disk.limits.append_sectors {
            0 => return Err(Problem::NoAppend),
            most if len as u64 > u64::from(most) * SECTOR => return Err(Problem::AppendLen { len }),
            _ => {}
        }
        if len == 0 || !(len as u64).is_multiple_of(SECTOR) {
            return Err(Problem::AppendLen { len });
        }
        Ok(Demand::Append { offset: self.zone(sector)? })
    }

    /// Reads the segments of a request, and checks all of them before any is acted on.
    fn ranges(
        &self,
        kind: OperationKind,
        payload: &mut Reader<'_>,
        ranges: &mut Vec<Range>,
    ) -> Result<Demand, Problem> {
        self.may_change()?;
        nothing(self.answer)?;
        let len = payload.remaining();
        let (most, longest) = (self.disk.limits.segments, self.disk.limits.longest(kind));
        // DRV-BLK-07, DRV-BLK-09
        let count = len / SEGMENT_LEN;
        if count == 0 || !len.is_multiple_of(SEGMENT_LEN) || count as u64 > u64::from(most) {
            return Err(Problem::Segments { len, most });
        }
        let (mut unmap, mut bad) = (true, None);
        ranges.clear();
        for _ in 0..count {
            let segment = Segment::new(payload.read_array().map_err(|_| Problem::Segments { len, most })?);
            // BLK-OP-05, BLK-OP-06, DRV-BLK-11: unmap is known to write zeroes alone.
            let known = if let OperationKind::WriteZeroes { .. } = kind { wire::UNMAP } else { 0 };
            if segment.flags & !known != 0 {
                return Err(Problem::Flags { flags: segment.flags });
            }
            // All segments are done alike: what may be unmapped need not be.
            unmap &= segment.flags == wire::UNMAP;
            // DRV-BLK-10
            if segment.sectors > longest {
                bad = bad.or(Some(Problem::SegmentLen { sectors: segment.sectors, most: longest }));
                continue;
            }
            let len = u64::from(segment.sectors) * SECTOR;
            match self.range(segment.sector, len) {
                Ok(offset) if len != 0 => ranges.push(Range { offset, len }),
                Ok(_) => {}
                Err(problem) => bad = bad.or(Some(problem)),
            }
        }
        if let Some(problem) = bad {
            return Err(problem);
        }
        Ok(Demand::Ranges(match kind {
            OperationKind::WriteZeroes { durable, .. } => {
                OperationKind::WriteZeroes { unmap: unmap && self.disk.may_unmap(), durable }
            }
            kind => kind,
        }))
    }

    /// Where a zone is meant.
    fn zone(&self, sector: u64) -> Result<u64, Problem> {
        // DRV-BLK-18
        let inside = sector < self.disk.capacity() || (sector == 0 && self.disk.capacity() == 0);
        sector.checked_mul(SECTOR).filter(|_| inside).ok_or(Problem::Zone { sector })
    }

    /// Where on the disk `len` bytes of data from `sector` on start, if they are there.
    fn data_range(&self, sector: u64, len: usize) -> Result<u64, Problem> {
        // DRV-BLK-06
        if !(len as u64).is_multiple_of(SECTOR) {
            return Err(Problem::Partial { len });
        }
        self.range(sector, len as u64)
    }

    /// The same for whole sectors.
    fn range(&self, sector: u64, len: u64) -> Result<u64, Problem> {
        // DRV-BLK-04, BLK-CFG-01. The capacity may change at any time: what was checked here may lie behind the end when
        // it gets to the backend, whose transfer is short then.
        let sectors = self.disk.capacity();
        let end = sector.checked_add(len / SECTOR).filter(|end| *end <= sectors);
        end.and_then(|_| sector.checked_mul(SECTOR)).ok_or(Problem::Range { sector, len, sectors })
    }

    /// BLK-OP-03, BLK-OP-04: whatever the driver negotiated.
    fn may_change(&self) -> Result<(), Problem> {
        if self.disk.read_only { Err(Problem::ReadOnly) } else { Ok(()) }
    }

    /// There has to be room for so many bytes.
    fn room(&self, need: usize) -> Result<(), Problem> {
        if self.answer < need { Err(Problem::Room { len: self.answer, need }) } else { Ok(()) }
    }
}

/// There must be no data here.
fn nothing(len: usize) -> Result<(), Problem> {
    if len == 0 { Ok(()) } else { Err(Problem::Direction { len }) }
}
