//! What the bytes of an input mean. Numbers are little-endian; what is missing at the end is zero.
//!
//! | bytes | |
//! |---|---|
//! | 1 | the regions of memory: see [`crate::memory::shape`] |
//! | 1 | features: see [`Header::features`] |
//! | 2 | the queue size |
//! | 3 × 2 | the low bits of the addresses of descriptor, driver and device area |
//! | 1 | for each of them two bits: its address is as it is, counts down from the end of the address space, or counts from 2^40 |
//! | 1 | from the low bits up: start elsewhere than at the beginning, `decided`, the two wrap counters |
//! | 2 × 2 | where to start: available, used |
//! | 2 | the length of the image |
//! | | the image, which memory holds from address 0 on |
//! | | the script: see [`Step`] |

use virtio_core::{Features, QueuePosition};

/// At most so many steps are run.
pub(crate) const MOST_STEPS: usize = 1024;

/// Bytes, taken from the front.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes(N);
        std::array::from_fn(|i| taken.get(i).copied().unwrap_or(0))
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }
}

/// What an input begins with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) shape: u8,
    pub(crate) features: u8,
    pub(crate) size: u16,
    pub(crate) areas: [u16; 3],
    pub(crate) places: u8,
    pub(crate) start: u8,
    pub(crate) available: u16,
    pub(crate) used: u16,
    pub(crate) image: Vec<u8>,
}

impl Header {
    pub(crate) const EVENT_IDX: u8 = 1;
    pub(crate) const INDIRECT_DESC: u8 = 2;
    pub(crate) const IN_ORDER: u8 = 4;

    pub(crate) fn read(input: &mut Input<'_>) -> Header {
        Header {
            shape: input.u8(),
            features: input.u8(),
            size: input.u16(),
            areas: [input.u16(), input.u16(), input.u16()],
            places: input.u8(),
            start: input.u8(),
            available: input.u16(),
            used: input.u16(),
            image: {
                let len = input.u16();
                input.bytes(len.into()).to_vec()
            },
        }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.shape, self.features]);
        let [descriptors, driver, device] = self.areas;
        for number in [self.size, descriptors, driver, device] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([self.places, self.start]);
        for number in [self.available, self.used, self.image.len() as u16] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.image);
    }

    pub(crate) fn features(&self, packed: bool) -> Features {
        let pick = |yes, feature| if yes { feature } else { Features::NONE };
        Features::VERSION_1
            | pick(packed, Features::RING_PACKED)
            | pick(self.features & Header::EVENT_IDX != 0, Features::EVENT_IDX)
            | pick(self.features & Header::INDIRECT_DESC != 0, Features::INDIRECT_DESC)
            | pick(self.features & Header::IN_ORDER != 0, Features::IN_ORDER)
    }

    /// The addresses of descriptor, driver and device area.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        std::array::from_fn(|i| {
            let low = u64::from(self.areas[i]);
            match self.places >> (2 * i) & 3 {
                1 => u64::MAX - low,
                2 => (1 << 40) + low,
                _ => low,
            }
        })
    }

    pub(crate) fn position(&self, packed: bool) -> Option<QueuePosition> {
        let bit = |bit: u8| self.start & 1 << bit != 0;
        let (available, used, decided) = (self.available, self.used, bit(1));
        if !bit(0) {
            None
        } else if packed {
            Some(QueuePosition::Packed { available, available_wrap: bit(2), used, used_wrap: bit(3), decided })
        } else {
            Some(QueuePosition::Split { available, used, decided })
        }
    }
}

/// What is done with a chain that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Ticket,
    /// As a ticket, whose buffers are held and written later.
    Hold,
    Drop,
    PutBack,
    BadRequest,
    Break,
}

/// One step of a script: a byte that says which, and its arguments. Those of the driver come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes bytes anywhere in the first 64 KiB.
    Write {
        address: u16,
        bytes: Vec<u8>,
    },
    /// Adds to a 16-bit number in memory.
    Add {
        address: u16,
        amount: u16,
    },
    /// Makes a descriptor available, as a good driver would. Split: the head of a chain. Packed: its id, with
    /// the other fields of its next descriptor.
    Offer {
        id: u16,
        address: u16,
        len: u16,
        flags: u8,
    },
    /// Puts other regions in the place of memory, or the same ones in another place.
    Replace {
        shape: u8,
    },
    /// Starts or ends a dirty log.
    Log {
        on: bool,
    },
    /// Takes a chain, reads and writes up to so many bytes of it, and says so many were written.
    Pop {
        end: End,
        read: u16,
        write: u16,
        len: u16,
    },
    /// Completes one of the tickets.
    Finish {
        which: u8,
        len: u16,
    },
    Publish,
    Arm,
    Disarm,
    Refresh,
    Stop,
    Start,
    /// Saves the ring and goes on with a new one.
    Restore,
    /// Allows so many chains.
    Grant {
        chains: u8,
    },
}

impl Step {
    const ENDS: [End; 8] =
        [End::Complete, End::Ticket, End::Hold, End::Drop, End::PutBack, End::BadRequest, End::Break, End::Complete];

    /// Whether the device has no part in it.
    pub(crate) fn is_driver(&self) -> bool {
        matches!(self, Step::Write { .. } | Step::Add { .. } | Step::Offer { .. })
    }

    pub(crate) fn read(input: &mut Input<'_>) -> Option<Step> {
        if input.is_empty() {
            return None;
        }
        Some(match input.u8() % 16 {
            0 => Step::Write {
                address: input.u16(),
                bytes: {
                    let len = input.u8();
                    input.bytes(len.into()).to_vec()
                },
            },
            1 => Step::Add { address: input.u16(), amount: input.u16() },
            2 => Step::Offer { id: input.u16(), address: input.u16(), len: input.u16(), flags: input.u8() },
            3 => Step::Replace { shape: input.u8() },
            4 => Step::Log { on: input.u8() & 1 != 0 },
            5 | 15 => Step::Pop {
                end: Step::ENDS[usize::from(input.u8() % 8)],
                read: input.u16(),
                write: input.u16(),
                len: input.u16(),
            },
            6 => Step::Finish { which: input.u8(), len: input.u16() },
            7 => Step::Publish,
            8 => Step::Arm,
            9 => Step::Disarm,
            10 => Step::Refresh,
            11 => Step::Stop,
            12 => Step::Start,
            13 => Step::Restore,
            _ => Step::Grant { chains: input.u8() },
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, numbers: &[&[u8]]| {
            out.push(kind);
            out.extend(numbers.concat());
        };
        match self {
            Step::Write { address, bytes } => put(0, &[&address.to_le_bytes(), &[bytes.len() as u8], bytes]),
            Step::Add { address, amount } => put(1, &[&address.to_le_bytes(), &amount.to_le_bytes()]),
            Step::Offer { id, address, len, flags } => {
                put(2, &[&id.to_le_bytes(), &address.to_le_bytes(), &len.to_le_bytes(), &[*flags]]);
            }
            Step::Replace { shape } => put(3, &[&[*shape]]),
            Step::Log { on } => put(4, &[&[u8::from(*on)]]),
            Step::Pop { end, read, write, len } => {
                let end = Step::ENDS.iter().position(|each| each == end).unwrap_or(0) as u8;
                put(5, &[&[end], &read.to_le_bytes(), &write.to_le_bytes(), &len.to_le_bytes()]);
            }
            Step::Finish { which, len } => put(6, &[&[*which], &len.to_le_bytes()]),
            Step::Publish => put(7, &[]),
            Step::Arm => put(8, &[]),
            Step::Disarm => put(9, &[]),
            Step::Refresh => put(10, &[]),
            Step::Stop => put(11, &[]),
            Step::Start => put(12, &[]),
            Step::Restore => put(13, &[]),
            Step::Grant { chains } => put(14, &[&[*chains]]),
        }
    }
}
