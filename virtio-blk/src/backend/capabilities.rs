//! What a disk can do.

use super::zone::ZonedCharacteristics;

/// What a disk is like and can do besides reading, writing and flushing. The device offers the driver what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Bytes of the blocks that it works in most easily; a power of two from 512 on.
    pub block_size: u32,
    /// It can only be read: the device offers RO, and never submits what [changes](super::OperationKind::changes) it.
    pub read_only: bool,
    /// Hints on how to lay out requests.
    pub topology: Option<Topology>,
    /// How much can be discarded at once; `None` if nothing can be.
    pub discard: Option<RangeLimits>,
    /// How much can be zeroed at once; `None` if nothing can be but by writing zeros.
    pub write_zeroes: Option<RangeLimits>,
    /// Zeroing may give back storage. May change at run time: [`BlockHandle::refresh`](crate::BlockHandle::refresh).
    pub zeroes_may_unmap: bool,
    /// How much can be erased securely at once; `None` if nothing can be.
    pub secure_erase: Option<RangeLimits>,
    /// Its zones, if it has some.
    pub zoned: Option<ZonedCharacteristics>,
    /// The most queues that it can serve.
    pub max_queues: u16,
    /// One long operation costs it less than several short ones, so that adjacent ones should be merged.
    pub merge: bool,
}

impl Default for Capabilities {
    /// A disk that is read and written in sectors of 512 bytes, by any number of queues.
    fn default() -> Capabilities {
        Capabilities {
            block_size: 512,
            read_only: false,
            topology: None,
            discard: None,
            write_zeroes: None,
            zeroes_may_unmap: false,
            secure_erase: None,
            zoned: None,
            max_queues: u16::MAX,
            merge: false,
        }
    }
}

/// How much of a disk an operation may discard, zero or erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// The most bytes in one operation; the device says so to the driver, and refuses more. Whole sectors, and no more than
    /// 2^32 - 1 of them: what is above is left out.
    pub max_len: u64,
    /// Bytes of what ranges should be multiples of: a hint. A multiple of 512.
    pub alignment: u32,
}

impl RangeLimits {
    /// As much as a request can ask for.
    pub const NONE: RangeLimits = RangeLimits { max_len: u64::MAX, alignment: 512 };
}

/// Hints on how to lay out requests, in blocks of the device's block size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Blocks in a physical block, as a power of two: 3 for 4096 bytes in blocks of 512.
    pub physical_block_exp: u8,
    /// The first block that starts a physical one.
    pub alignment_offset: u8,
    /// The smallest request that is no waste.
    pub min_io_size: u16,
    /// The best size of long requests; 0 if there is none.
    pub opt_io_size: u32,
}

/// How much of its life a storage has behind it (virtio 1.4, section 5.2.6), as flash storage tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// How many of the reserved blocks are used up: 0 for unknown, 1 for less than 80 %, 2 for 80 %, 3 for 90 %.
    pub pre_eol_info: u16,
    /// Wear of SLC cells in tenths: 0 for unknown, 1 for up to a tenth, 11 for beyond the estimated life.
    pub type_a: u16,
    /// The same of MLC cells.
    pub type_b: u16,
}

impl Lifetime {
    /// With 0, for unknown, in place of what the specification has no meaning for (BLK-LIFE-03).
    pub(crate) fn meaningful(self) -> Lifetime {
        let upto = |value: u16, most: u16| if value <= most { value } else { 0 };
        Lifetime {
            pre_eol_info: upto(self.pre_eol_info, 3),
            type_a: upto(self.type_a, 11),
            type_b: upto(self.type_b, 11),
        }
    }
}
