//! Zones: what a disk that has some tells about them (virtio 1.4, section 5.2).

/// How a driver has to treat the zones of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZonedModel {
    /// Sequential zones have to be written at their write pointer. A driver that does not know zones cannot use the disk.
    HostManaged,
    /// Sequential zones may be written anywhere.
    HostAware,
}

/// The zones of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZonedCharacteristics {
    /// How they have to be treated.
    pub model: ZonedModel,
    /// Bytes of each zone; the last may be smaller.
    pub zone_len: u64,
    /// The most zones that can be open; 0 for no limit.
    pub max_open_zones: u32,
    /// The most zones that can be active; 0 for no limit.
    pub max_active_zones: u32,
    /// The most bytes that one append can have; 0 where nothing can be appended.
    pub max_append_len: u64,
    /// Bytes that writes to sequential zones have to be multiples of, and to start at multiples of.
    pub write_granularity: u32,
}

impl ZonedCharacteristics {
    /// Host-managed zones of `zone_len` bytes without limits on open and active ones, written in multiples of 512 bytes, up
    /// to 1 MiB at once when appended.
    pub fn new(zone_len: u64) -> ZonedCharacteristics {
        ZonedCharacteristics {
            model: ZonedModel::HostManaged,
            zone_len,
            max_open_zones: 0,
            max_active_zones: 0,
            max_append_len: zone_len.min(1 << 20),
            write_granularity: 512,
        }
    }
}

/// What kind of zone it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ZoneType {
    /// Written anywhere, without a write pointer.
    Conventional = 1,
    /// Written at its write pointer only.
    SequentialWriteRequired = 2,
    /// Written anywhere, best at its write pointer.
    SequentialWritePreferred = 3,
}

/// What state a zone is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ZoneState {
    /// It has no write pointer: a conventional zone.
    NotWritePointer = 0,
    /// Nothing was written to it.
    Empty = 1,
    /// Opened by a write.
    ImplicitlyOpen = 2,
    /// Opened by a request to do so.
    ExplicitlyOpen = 3,
    /// Partly written, and not open.
    Closed = 4,
    /// It can only be read.
    ReadOnly = 13,
    /// Nothing more can be written to it.
    Full = 14,
    /// It cannot be used.
    Offline = 15,
}

/// One zone, as a report describes it. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneDescriptor {
    /// Bytes that can be written to it when it is empty.
    pub capacity: u64,
    /// Where it starts.
    pub start: u64,
    /// Where the next write goes; without meaning for conventional, read-only, full and offline zones.
    pub write_pointer: u64,
    /// What kind of zone it is.
    pub kind: ZoneType,
    /// What state it is in.
    pub state: ZoneState,
}

/// Bytes of a report before its first descriptor.
pub const REPORT_HEADER_LEN: usize = 64;

/// Bytes of each descriptor in a report.
pub const DESCRIPTOR_LEN: usize = 64;

impl ZoneDescriptor {
    /// As it is in a report: little-endian, in sectors.
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        let sectors =
            [self.capacity, self.start, self.write_pointer].map(|len| (len / crate::wire::SECTOR).to_le_bytes());
        bytes[..24].copy_from_slice(sectors.as_flattened());
        bytes[24] = self.kind as u8;
        bytes[25] = self.state as u8;
        bytes
    }
}

/// The header of a report of `zones` zones.
pub fn report_header(zones: u64) -> [u8; REPORT_HEADER_LEN] {
    let mut bytes = [0; REPORT_HEADER_LEN];
    bytes[..8].copy_from_slice(&zones.to_le_bytes());
    bytes
}
