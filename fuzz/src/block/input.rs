//! What the bytes of an input mean. Numbers are little-endian; what is missing at the end is zero.

use crate::device::{Raw, Rings};
use crate::input::Input;

/// At most so many steps are run.
pub(crate) const MOST_STEPS: usize = 64;

/// What an input begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    /// See [`super::disk::Disk::new`].
    pub(crate) disk: u8,
    pub(crate) rings: Rings,
    /// The features of a block device that the driver takes, of those offered.
    pub(crate) features: u32,
    /// What to do about errors of the storage, and when: see [`super::device`].
    pub(crate) policies: u8,
    pub(crate) limits: u8,
}

impl Header {
    pub(crate) fn read(input: &mut Input<'_>) -> Header {
        Header {
            disk: input.u8(),
            rings: Rings::read(input),
            features: u32::from_le_bytes(input.array()),
            policies: input.u8(),
            limits: input.u8(),
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.disk & 128 != 0
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.disk, self.rings.0]);
        bytes.extend(self.features.to_le_bytes());
        bytes.extend([self.policies, self.limits]);
    }
}

/// A range of a request for ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sector: u8,
    pub(crate) sectors: u8,
    pub(crate) flags: u8,
}

/// A request in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// See the constants.
    pub(crate) how: u8,
    /// The type: see [`Ask::kind`].
    pub(crate) kind: u8,
    pub(crate) sector: u8,
    /// Bytes of data, in units of [`Ask::UNIT`] or single ones: see [`Ask::len`].
    pub(crate) len: u8,
    /// Where what the device reads, and what it writes, is cut; nowhere but behind the header and before the status if
    /// it is 0.
    pub(crate) cuts: [u8; 2],
    pub(crate) segments: Vec<Segment>,
}

impl Ask {
    pub(crate) const SECOND_QUEUE: u8 = 1;
    pub(crate) const INDIRECT: u8 = 2;
    /// Show it to the device at once.
    pub(crate) const SHOW: u8 = 4;
    /// A sector that is nowhere near the disk.
    pub(crate) const FAR: u8 = 8;
    /// The data has an odd number of bytes.
    pub(crate) const ODD: u8 = 16;
    /// A piece of the header is missing.
    pub(crate) const SHORT: u8 = 32;
    /// There is data in the other direction.
    pub(crate) const BOTH: u8 = 64;
    /// There is nothing that the device may write.
    pub(crate) const MUTE: u8 = 128;

    pub(crate) fn has(&self, bit: u8) -> bool {
        self.how & bit != 0
    }

    /// The request's type: a known one, or any.
    pub(crate) fn kind(&self) -> u32 {
        const KINDS: [u32; 17] = [0, 1, 4, 8, 10, 11, 13, 14, 15, 16, 18, 20, 22, 24, 26, 0, 1];
        KINDS.get(usize::from(self.kind)).copied().unwrap_or_else(|| u32::from(self.kind) * 0x0101_0101)
    }

    pub(crate) fn sector(&self) -> u64 {
        match self.has(Ask::FAR) {
            false => u64::from(self.sector),
            true => u64::MAX >> (self.sector % 64),
        }
    }

    /// Bytes of data.
    pub(crate) fn len(&self) -> usize {
        match self.has(Ask::ODD) {
            false => 512 * usize::from(self.len % 9),
            true => usize::from(self.len),
        }
    }

    /// Whether it has a list of ranges.
    pub(crate) fn has_segments(&self) -> bool {
        matches!(self.kind(), 11 | 13 | 14)
    }
}

/// One step of a program: a byte that says which, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask(Ask),
    Raw(Raw),
    /// Shows the device what was added, and lets it work.
    Kick {
        lane: u8,
    },
    /// Ends an operation of a slow disk.
    Finish {
        which: u8,
        how: u8,
    },
    /// Resets the device, and starts it with these features.
    Reset {
        features: u32,
    },
    QueueReset {
        lane: u8,
    },
    WriteConfig {
        offset: u8,
        value: u8,
        len: u8,
    },
    /// Changes the size that the driver sees, or that the storage has.
    Resize {
        sectors: u8,
        what: u8,
    },
    Pause,
    /// Ends a pause.
    Unpause,
    /// Goes on after a stop.
    Resume,
    Break {
        lane: u8,
    },
    /// Writes anywhere in what the driver has used of memory, rings included.
    Poke {
        address: u16,
        bytes: [u8; 4],
    },
    /// Puts memory in the place of itself.
    Replace,
    /// A zone fails.
    FailZone {
        zone: u8,
        offline: bool,
    },
    /// Saves the device, and goes on with another one.
    Move,
}

impl Step {
    pub(crate) fn read(input: &mut Input<'_>) -> Option<Step> {
        if input.is_empty() {
            return None;
        }
        Some(match input.u8() % 32 {
            1 => Step::Raw(Raw::read(input)),
            2 | 16..18 => Step::Kick { lane: input.u8() % 2 },
            3 | 18..22 => Step::Finish { which: input.u8(), how: input.u8() },
            4 => Step::Reset { features: u32::from_le_bytes(input.array()) },
            5 => Step::QueueReset { lane: input.u8() % 2 },
            6 => Step::WriteConfig { offset: input.u8(), value: input.u8(), len: input.u8() },
            7 => Step::Resize { sectors: input.u8(), what: input.u8() },
            8 => Step::Pause,
            9 => Step::Unpause,
            10 => Step::Resume,
            11 => Step::Break { lane: input.u8() % 2 },
            12 => Step::Poke { address: input.u16(), bytes: input.array() },
            13 => Step::Replace,
            14 => Step::FailZone { zone: input.u8(), offline: input.u8() & 1 != 0 },
            15 => Step::Move,
            _ => {
                let mut ask = Ask {
                    how: input.u8(),
                    kind: input.u8(),
                    sector: input.u8(),
                    len: input.u8(),
                    cuts: input.array(),
                    segments: Vec::new(),
                };
                if ask.has_segments() {
                    let mut segment = || Segment { sector: input.u8(), sectors: input.u8(), flags: input.u8() };
                    ask.segments = (0..ask.len % 6).map(|_| segment()).collect();
                }
                Step::Ask(ask)
            }
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Step::Ask(ask) => {
                out.extend([0, ask.how, ask.kind, ask.sector, ask.len, ask.cuts[0], ask.cuts[1]]);
                out.extend(ask.segments.iter().flat_map(|each| [each.sector, each.sectors, each.flags]));
            }
            Step::Raw(raw) => {
                out.push(1);
                raw.write(out);
            }
            Step::Kick { lane } => out.extend([2, *lane]),
            Step::Finish { which, how } => out.extend([3, *which, *how]),
            Step::Reset { features } => {
                out.push(4);
                out.extend(features.to_le_bytes());
            }
            Step::QueueReset { lane } => out.extend([5, *lane]),
            Step::WriteConfig { offset, value, len } => out.extend([6, *offset, *value, *len]),
            Step::Resize { sectors, what } => out.extend([7, *sectors, *what]),
            Step::Pause => out.push(8),
            Step::Unpause => out.push(9),
            Step::Resume => out.push(10),
            Step::Break { lane } => out.extend([11, *lane]),
            Step::Poke { address, bytes } => {
                out.push(12);
                out.extend(address.to_le_bytes());
                out.extend(bytes);
            }
            Step::Replace => out.push(13),
            Step::FailZone { zone, offline } => out.extend([14, *zone, u8::from(*offline)]),
            Step::Move => out.push(15),
        }
    }
}
