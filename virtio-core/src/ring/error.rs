//! What can be wrong with a ring, and what with one chain in it.

use super::QueuePosition;

/// The structure of a ring is broken: the queue stops and the device needs a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingFault {
    /// The queue size is zero, too large, or not what the layout allows.
    #[error("{size} is not a queue size here")]
    Size {
        /// The size that the driver chose.
        size: u16,
    },
    /// An area is misaligned, wraps around, or is not one piece of guest memory.
    #[error("the {area} of {len} bytes cannot be at {address:#x}")]
    Area {
        /// Which of the three.
        area: Area,
        /// Its address.
        address: u64,
        /// Its length in bytes.
        len: u32,
    },
    /// The available index moved backwards, or on by more than the queue has room for.
    #[error("the available index went from {seen} to {available} with {in_flight} of {size} chains in flight")]
    Index {
        /// The index that was read.
        available: u16,
        /// Where the device had got to.
        seen: u16,
        /// Chains that the device has and has not given back.
        in_flight: u16,
        /// The queue size.
        size: u16,
    },
    /// The head of a chain is not an index of the descriptor table.
    #[error("chain head {head} in a queue of {size}")]
    Head {
        /// The head that was read.
        head: u16,
        /// The queue size.
        size: u16,
    },
    /// A descriptor's `next` is not an index of its table.
    #[error("descriptor {index} is followed by {next} in a table of {size}")]
    Next {
        /// The descriptor.
        index: u16,
        /// The `next` that was read.
        next: u16,
        /// The table's size.
        size: u32,
    },
    /// The position that a queue is to go on from is none of its layout and size.
    #[error("a queue cannot go on from {position:?}")]
    Position {
        /// What it was given.
        position: QueuePosition,
    },
    /// The first descriptor of a chain is available and a later one is not (packed layout).
    #[error("the descriptor in slot {slot} is not available, but the chain goes on there")]
    Unfinished {
        /// The later one's slot.
        slot: u16,
    },
    /// A chain has more descriptors than the queue, or than it has free, or loops.
    #[error("the chain at {head} has more than {limit} descriptors")]
    Endless {
        /// The chain's head (packed layout: its first slot).
        head: u16,
        /// The most there may be.
        limit: u16,
    },
    /// An indirect descriptor where the driver did not accept them, together with `NEXT`, or in an indirect table.
    #[error("descriptor {index} is indirect where it must not be")]
    Indirect {
        /// The descriptor, in the table that it stands in.
        index: u16,
    },
    /// An indirect table's length is zero or no multiple of 16, or (packed layout) it has more descriptors than a chain may
    /// have.
    #[error("descriptor {index} points at an indirect table of {len} bytes")]
    TableLength {
        /// The descriptor.
        index: u16,
        /// The length in bytes.
        len: u32,
    },
    /// An indirect table is not guest memory.
    #[error("the indirect table at {address:#x} is not guest memory")]
    TableUnmapped {
        /// Where it should be.
        address: u64,
    },
    /// The device could not answer a chain in its own terms.
    #[error("the chain at {head} has no room for an answer")]
    NoAnswer {
        /// The chain's head (packed layout: its buffer id).
        head: u16,
    },
}

/// One of the three parts of a virtqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The descriptor area.
    Descriptor,
    /// The driver area: the available ring, or (packed layout) the driver's event suppression structure.
    Driver,
    /// The device area: the used ring, or (packed layout) the device's event suppression structure.
    Device,
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Area::Descriptor => "descriptor area",
            Area::Driver => "driver area",
            Area::Device => "device area",
        })
    }
}

/// The content of a chain is bad although its structure is complete: its id is known, so it can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A device-readable buffer after a device-writable one. It is left out of the chain.
    #[error("descriptor {index} is device-readable behind a device-writable one")]
    Order {
        /// The descriptor, in the table that it stands in.
        index: u16,
    },
    /// A buffer that is not, or not wholly, guest memory.
    #[error("the buffer of {len} bytes at {address:#x} is not guest memory")]
    Unmapped {
        /// The buffer's address.
        address: u64,
        /// Its length.
        len: u32,
    },
    /// A buffer of no bytes.
    #[error("descriptor {index} has no bytes")]
    Empty {
        /// The descriptor, in the table that it stands in.
        index: u16,
    },
    /// More than 2^32 - 1 bytes in one chain.
    #[error("the chain has {len} bytes")]
    TooLong {
        /// The bytes it has.
        len: u64,
    },
}
