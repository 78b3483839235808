//! What is on the wire (virtio 1.4, section 5.2): numbers and layouts, no logic.

pub(crate) use virtio_core::put_field as put;

pub(crate) use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD as DISCARD, VIRTIO_BLK_T_FLUSH as FLUSH, VIRTIO_BLK_T_GET_ID as GET_ID, VIRTIO_BLK_T_IN as IN,
    VIRTIO_BLK_T_OUT as OUT, VIRTIO_BLK_T_SECURE_ERASE as SECURE_ERASE, VIRTIO_BLK_T_WRITE_ZEROES as WRITE_ZEROES,
    VIRTIO_BLK_T_ZONE_APPEND as ZONE_APPEND, VIRTIO_BLK_T_ZONE_CLOSE as ZONE_CLOSE,
    VIRTIO_BLK_T_ZONE_FINISH as ZONE_FINISH, VIRTIO_BLK_T_ZONE_OPEN as ZONE_OPEN,
    VIRTIO_BLK_T_ZONE_REPORT as ZONE_REPORT, VIRTIO_BLK_T_ZONE_RESET as ZONE_RESET,
    VIRTIO_BLK_T_ZONE_RESET_ALL as ZONE_RESET_ALL, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP as UNMAP,
};

/// Not among the bindings.
pub(crate) const GET_LIFETIME: u32 = 10;

/// The unit of capacity, addresses and lengths, whatever the block size is (BLK-CFG-01).
pub(crate) const SECTOR: u64 = 512;

/// Bytes of a request's header.
pub(crate) const HEADER_LEN: usize = 16;

/// Bytes of the answer to GET_ID.
pub(crate) const ID_LEN: usize = 20;

/// Bytes of the answer to GET_LIFETIME.
pub(crate) const LIFETIME_LEN: usize = 6;

/// Bytes of the answer to an append before the status: where the data went.
pub(crate) const APPEND_SECTOR_LEN: usize = 8;

/// Bytes of the status.
pub(crate) const STATUS_LEN: usize = 1;

/// The last byte of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Ok = 0,
    IoErr = 1,
    Unsupported = 2,
    ZoneInvalidCommand = 3,
    ZoneUnalignedWritePointer = 4,
    ZoneOpenResource = 5,
    ZoneActiveResource = 6,
}

/// The first bytes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) sector: u64,
}

impl Header {
    pub(crate) fn new(bytes: [u8; HEADER_LEN]) -> Header {
        let [k0, k1, k2, k3, _, _, _, _, sector @ ..] = bytes;
        Header { kind: u32::from_le_bytes([k0, k1, k2, k3]), sector: u64::from_le_bytes(sector) }
    }
}

/// Bytes of each segment of a request that concerns ranges of the disk.
pub(crate) const SEGMENT_LEN: usize = 16;

/// One range of the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) sector: u64,
    pub(crate) sectors: u32,
    pub(crate) flags: u32,
}

impl Segment {
    pub(crate) fn new(bytes: [u8; SEGMENT_LEN]) -> Segment {
        let [sector @ .., n0, n1, n2, n3, f0, f1, f2, f3] = bytes;
        Segment {
            sector: u64::from_le_bytes(sector),
            sectors: u32::from_le_bytes([n0, n1, n2, n3]),
            flags: u32::from_le_bytes([f0, f1, f2, f3]),
        }
    }
}

/// Bytes of the configuration space, up to and with the part for zoned devices.
pub(crate) const CONFIG_LEN: usize = 96;

/// Where the fields of the configuration space are. What is not named stays zero (BLK-INIT-04, BLK-INIT-18).
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const CAPACITY: Range<usize> = 0..8;
    pub(crate) const SIZE_MAX: Range<usize> = 8..12;
    pub(crate) const SEG_MAX: Range<usize> = 12..16;
    pub(crate) const CYLINDERS: Range<usize> = 16..18;
    pub(crate) const HEADS: Range<usize> = 18..19;
    pub(crate) const SECTORS: Range<usize> = 19..20;
    pub(crate) const BLK_SIZE: Range<usize> = 20..24;
    pub(crate) const PHYSICAL_BLOCK_EXP: Range<usize> = 24..25;
    pub(crate) const ALIGNMENT_OFFSET: Range<usize> = 25..26;
    pub(crate) const MIN_IO_SIZE: Range<usize> = 26..28;
    pub(crate) const OPT_IO_SIZE: Range<usize> = 28..32;
    pub(crate) const WRITEBACK: Range<usize> = 32..33;
    pub(crate) const NUM_QUEUES: Range<usize> = 34..36;
    pub(crate) const MAX_DISCARD_SECTORS: Range<usize> = 36..40;
    pub(crate) const MAX_DISCARD_SEG: Range<usize> = 40..44;
    pub(crate) const DISCARD_SECTOR_ALIGNMENT: Range<usize> = 44..48;
    pub(crate) const MAX_WRITE_ZEROES_SECTORS: Range<usize> = 48..52;
    pub(crate) const MAX_WRITE_ZEROES_SEG: Range<usize> = 52..56;
    pub(crate) const WRITE_ZEROES_MAY_UNMAP: Range<usize> = 56..57;
    pub(crate) const MAX_SECURE_ERASE_SECTORS: Range<usize> = 60..64;
    pub(crate) const MAX_SECURE_ERASE_SEG: Range<usize> = 64..68;
    pub(crate) const SECURE_ERASE_SECTOR_ALIGNMENT: Range<usize> = 68..72;
    /// All about zones.
    pub(crate) const ZONED: Range<usize> = 72..96;
    pub(crate) const ZONE_SECTORS: Range<usize> = 72..76;
    pub(crate) const MAX_OPEN_ZONES: Range<usize> = 76..80;
    pub(crate) const MAX_ACTIVE_ZONES: Range<usize> = 80..84;
    pub(crate) const MAX_APPEND_SECTORS: Range<usize> = 84..88;
    pub(crate) const WRITE_GRANULARITY: Range<usize> = 88..92;
    pub(crate) const MODEL: Range<usize> = 92..93;
}
