//! What is on the wire (virtio 1.4, section 5.2): numbers and layouts, no logic.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO,
    VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_TOPOLOGY,
};
use virtio_core::Features;

pub(crate) use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_FLUSH as FLUSH, VIRTIO_BLK_T_GET_ID as GET_ID, VIRTIO_BLK_T_IN as IN, VIRTIO_BLK_T_OUT as OUT,
};

/// The unit of capacity, addresses and lengths, whatever the block size is (BLK-CFG-01).
pub(crate) const SECTOR: u64 = 512;

/// Bytes of a request's header.
pub(crate) const HEADER_LEN: usize = 16;

/// Bytes of the answer to GET_ID.
pub(crate) const ID_LEN: usize = 20;

/// The last byte of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Ok = 0,
    IoErr = 1,
    Unsupported = 2,
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

pub(crate) const SIZE_MAX: Features = Features::bit(VIRTIO_BLK_F_SIZE_MAX);
pub(crate) const SEG_MAX: Features = Features::bit(VIRTIO_BLK_F_SEG_MAX);
pub(crate) const RO: Features = Features::bit(VIRTIO_BLK_F_RO);
pub(crate) const BLK_SIZE: Features = Features::bit(VIRTIO_BLK_F_BLK_SIZE);
pub(crate) const FLUSH_FEATURE: Features = Features::bit(VIRTIO_BLK_F_FLUSH);
pub(crate) const TOPOLOGY: Features = Features::bit(VIRTIO_BLK_F_TOPOLOGY);
pub(crate) const CONFIG_WCE: Features = Features::bit(VIRTIO_BLK_F_CONFIG_WCE);
pub(crate) const MQ: Features = Features::bit(VIRTIO_BLK_F_MQ);

/// The names of feature bits, those of later parts of the specification included.
pub(crate) fn feature_name(bit: u32) -> Option<&'static str> {
    Some(match bit {
        1 => "SIZE_MAX",
        2 => "SEG_MAX",
        4 => "GEOMETRY",
        5 => "RO",
        6 => "BLK_SIZE",
        9 => "FLUSH",
        10 => "TOPOLOGY",
        11 => "CONFIG_WCE",
        12 => "MQ",
        13 => "DISCARD",
        14 => "WRITE_ZEROES",
        15 => "LIFETIME",
        16 => "SECURE_ERASE",
        17 => "ZONED",
        _ => return None,
    })
}

/// Bytes of the configuration space, up to and with the part for zoned devices.
pub(crate) const CONFIG_LEN: usize = 96;

/// Where the fields of the configuration space are. What is not named stays zero (BLK-INIT-04, BLK-INIT-07).
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const CAPACITY: Range<usize> = 0..8;
    pub(crate) const SIZE_MAX: Range<usize> = 8..12;
    pub(crate) const SEG_MAX: Range<usize> = 12..16;
    pub(crate) const BLK_SIZE: Range<usize> = 20..24;
    pub(crate) const PHYSICAL_BLOCK_EXP: Range<usize> = 24..25;
    pub(crate) const ALIGNMENT_OFFSET: Range<usize> = 25..26;
    pub(crate) const MIN_IO_SIZE: Range<usize> = 26..28;
    pub(crate) const OPT_IO_SIZE: Range<usize> = 28..32;
    pub(crate) const WRITEBACK: Range<usize> = 32..33;
    pub(crate) const NUM_QUEUES: Range<usize> = 34..36;
}

/// Puts a field's bytes, little-endian ones, where it is.
pub(crate) fn put(bytes: &mut [u8], field: std::ops::Range<usize>, value: &[u8]) {
    if let Some(place) = bytes.get_mut(field).filter(|place| place.len() == value.len()) {
        place.copy_from_slice(value);
    }
}
