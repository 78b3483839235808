//! From a descriptor chain to what it asks for, wherever the driver cut it.
//!
//! A request is a header of 16 bytes for the device to read, data in one direction or none, and one status byte, the
//! last that the device may write. Only the two streams of bytes count, never the descriptors (RING-FRAME-01).

use virtio_core::{Chain, ChainFault, Reader, Writer};

use crate::shared::Shared;
use crate::wire::{self, HEADER_LEN, Header, SECTOR, Status};

/// A request that can be answered.
pub(crate) struct Request<'c> {
    pub(crate) demand: Result<Demand, Problem>,
    /// What follows the header.
    pub(crate) payload: Reader<'c>,
    /// What precedes the status.
    pub(crate) answer: Writer<'c>,
    pub(crate) status: Writer<'c>,
}

/// What a request asks for. Offsets are in bytes, and what lies behind them on the disk is in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Read { offset: u64 },
    Write { offset: u64 },
    Flush,
    Id,
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
    #[error("{len} bytes of data are no whole sectors")]
    Partial { len: usize },
    #[error("{len} bytes from sector {sector} on are not on the disk of {sectors} sectors")]
    Range { sector: u64, len: usize, sectors: u64 },
    #[error("the disk is read-only")]
    ReadOnly,
}

impl Problem {
    /// BLK-OP-13
    pub(crate) fn status(self) -> Status {
        match self {
            // DRV-BLK-16, DRV-BLK-17, BLK-ZONE-01 too: types of features that were not negotiated.
            Problem::Unsupported { .. } => Status::Unsupported,
            _ => Status::IoErr,
        }
    }
}

impl<'c> Request<'c> {
    /// Takes a chain apart. None where there is no byte for a status (DRV-BLK-13).
    pub(crate) fn parse(chain: &'c Chain<'_>, disk: &Shared) -> Option<Request<'c>> {
        let writable = chain.writer();
        let before = writable.remaining().checked_sub(1)?;
        let (answer, status) = writable.split_at(before).ok()?;
        let mut payload = chain.reader();
        let demand = demand(chain, &mut payload, &answer, disk);
        Some(Request { demand, payload, answer, status })
    }
}

fn demand(chain: &Chain<'_>, payload: &mut Reader<'_>, answer: &Writer<'_>, disk: &Shared) -> Result<Demand, Problem> {
    if let Some(fault) = chain.fault() {
        return Err(Problem::Chain(fault));
    }
    // DRV-BLK-12
    let short = Problem::Header { len: payload.remaining() };
    let header = Header::new(payload.read_array::<HEADER_LEN>().map_err(|_| short)?);
    match header.kind {
        wire::IN => {
            // DRV-BLK-14
            nothing(payload.remaining())?;
            Ok(Demand::Read { offset: range(header.sector, answer.remaining(), disk)? })
        }
        wire::OUT => {
            // BLK-OP-03, BLK-OP-04: whatever the driver negotiated.
            if disk.read_only {
                return Err(Problem::ReadOnly);
            }
            // DRV-BLK-14
            nothing(answer.remaining())?;
            Ok(Demand::Write { offset: range(header.sector, payload.remaining(), disk)? })
        }
        wire::FLUSH => {
            // DRV-BLK-05: the sector does not matter. DRV-BLK-16: nor does it whether FLUSH was negotiated.
            nothing(payload.remaining())?;
            nothing(answer.remaining())?;
            Ok(Demand::Flush)
        }
        wire::GET_ID => {
            nothing(payload.remaining())?;
            Ok(Demand::Id)
        }
        kind => Err(Problem::Unsupported { kind }),
    }
}

/// There must be no data here.
fn nothing(len: usize) -> Result<(), Problem> {
    if len == 0 { Ok(()) } else { Err(Problem::Direction { len }) }
}

/// Where on the disk `len` bytes from `sector` on start, if they are there.
fn range(sector: u64, len: usize, disk: &Shared) -> Result<u64, Problem> {
    // DRV-BLK-06
    if !(len as u64).is_multiple_of(SECTOR) {
        return Err(Problem::Partial { len });
    }
    // DRV-BLK-04, BLK-CFG-01. The capacity may change at any time: what was checked here may lie behind the end when
    // it gets to the backend, whose transfer is short then.
    let sectors = disk.capacity();
    let end = sector.checked_add(len as u64 / SECTOR).filter(|end| *end <= sectors);
    end.and_then(|_| sector.checked_mul(SECTOR)).ok_or(Problem::Range { sector, len, sectors })
}
