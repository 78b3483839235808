//! What a server has.

use super::ProtocolError;
use super::wire::{self, USUAL_MAX};

/// A disk that a server has, as it described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Export {
    /// In bytes.
    pub(in super::super) size: u64,
    pub(super) flags: u16,
    pub(in super::super) blocks: BlockSizes,
    /// Replies may be structured ones.
    pub(in super::super) structured: bool,
}

/// What requests may look like, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct BlockSizes {
    /// Offsets and lengths are multiples of this power of two.
    pub(in super::super) min: u32,
    /// Smaller ones cost more than they need. A power of two.
    pub(in super::super) preferred: u32,
    /// The most data that a request may move; a multiple of the minimum.
    pub(in super::super) max: u32,
}

impl Default for BlockSizes {
    fn default() -> BlockSizes {
        BlockSizes { min: 1, preferred: 4096, max: USUAL_MAX }
    }
}

impl BlockSizes {
    pub(super) fn new(min: u32, preferred: u32, max: u32) -> Result<BlockSizes, ProtocolError> {
        let powers = min.is_power_of_two() && preferred.is_power_of_two();
        if !powers || min > 1 << 16 || preferred < min || max < min {
            return Err(ProtocolError::BlockSizes { min, preferred, max });
        }
        let most = max.min(USUAL_MAX);
        Ok(BlockSizes { min, preferred, max: most - most % min })
    }
}

impl Export {
    pub(super) fn new(size: u64, flags: u16, blocks: BlockSizes, structured: bool) -> Export {
        let flags = if flags & wire::HAS_FLAGS != 0 { flags } else { 0 };
        Export { size, flags, blocks, structured }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(in super::super) fn read_only(&self) -> bool {
        self.has(wire::READ_ONLY)
    }

    pub(in super::super) fn flush(&self) -> bool {
        self.has(wire::SEND_FLUSH)
    }

    pub(in super::super) fn fua(&self) -> bool {
        self.has(wire::SEND_FUA)
    }

    pub(in super::super) fn trim(&self) -> bool {
        self.has(wire::SEND_TRIM)
    }

    pub(in super::super) fn write_zeroes(&self) -> bool {
        self.has(wire::SEND_WRITE_ZEROES)
    }

    /// A flush on one connection holds for what was written on all of them.
    pub(in super::super) fn multi_conn(&self) -> bool {
        self.has(wire::CAN_MULTI_CONN)
    }

    /// What `next`, found where this was, cannot do that this can, so that it is no replacement; none if it is one.
    pub(in super::super) fn lost_in(&self, next: &Export) -> Option<&'static str> {
        let gone = |flag| self.has(flag) && !next.has(flag);
        if next.size < self.size {
            return Some("it is smaller");
        }
        if next.read_only() && !self.read_only() {
            return Some("it is read-only now");
        }
        if next.blocks.min > self.blocks.min || next.blocks.max < self.blocks.max {
            return Some("its block sizes are narrower");
        }
        let flags = [
            (wire::SEND_FLUSH, "it cannot flush any more"),
            (wire::SEND_FUA, "it cannot write durably any more"),
            (wire::SEND_TRIM, "it cannot trim any more"),
            (wire::SEND_WRITE_ZEROES, "it cannot write zeroes any more"),
            (wire::CAN_MULTI_CONN, "it cannot have several connections any more"),
        ];
        flags.iter().find(|(flag, _)| gone(*flag)).map(|(_, what)| *what)
    }
}
