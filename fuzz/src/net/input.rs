//! What the bytes of an input mean. Numbers are little-endian; what is missing at the end is zero.

use virtio_core::Features;
use virtio_net::NetHeader;

use crate::block::input::Header as Rings;
use crate::input::Input;

/// At most so many steps are run.
pub(crate) const MOST_STEPS: usize = 64;

/// What an input begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    /// See the constants.
    pub(crate) network: u8,
    /// See [`Rings::ring`] and what is around it.
    pub(crate) rings: u8,
    /// The features of a network device that the driver takes, of those offered: 0 to 23, and 50 to 81.
    pub(crate) features: [u8; 7],
}

impl Header {
    /// Frames are put into the driver's buffers.
    pub(crate) const FILLS: u8 = 1;
    /// The network steers.
    pub(crate) const STEERS: u8 = 2;
    /// There are limits on the rate.
    pub(crate) const LIMITED: u8 = 4;
    /// There is an MTU of 1500.
    pub(crate) const MTU: u8 = 8;
    /// The network has no offloads.
    pub(crate) const PLAIN: u8 = 16;

    pub(crate) fn read(input: &mut Input<'_>) -> Header {
        Header { network: input.u8(), rings: input.u8(), features: input.array() }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.network, self.rings]);
        bytes.extend(self.features);
    }

    pub(crate) fn has(&self, bit: u8) -> bool {
        self.network & bit != 0
    }

    fn rings(&self) -> Rings {
        Rings { rings: self.rings, ..Rings::default() }
    }

    pub(crate) fn is_packed(&self) -> bool {
        self.rings().is_packed()
    }

    pub(crate) fn pairs(&self) -> u16 {
        self.rings().queues()
    }

    pub(crate) fn queue_size(&self) -> u16 {
        self.rings().queue_size()
    }

    /// The features of rings that the driver takes.
    pub(crate) fn ring(&self) -> Features {
        self.rings().ring()
    }
}

/// The features of a network device that these bytes name.
pub(crate) fn own(features: [u8; 7]) -> Features {
    let [a, b, c, d, e, f, g] = features;
    let low = u128::from(u32::from_le_bytes([a, b, c, 0]));
    let high = u128::from(u32::from_le_bytes([d, e, f, g]));
    Features::from_bits(low | high << 50)
}

/// A frame in the making, with what goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What is in it: see [`Frame::bytes`].
    pub(crate) kind: u8,
    /// Bytes behind the headers.
    pub(crate) len: u16,
    /// Flags and GSO type.
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    /// Where headers end, pieces, checksum, tunnels: as they are, or in steps of 256 with the highest bit.
    pub(crate) numbers: [u8; 6],
}

impl Frame {
    pub(crate) fn read(input: &mut Input<'_>) -> Frame {
        Frame {
            kind: input.u8(),
            len: input.u16(),
            flags: input.u8(),
            gso_type: input.u8(),
            numbers: if input.u8() & 1 == 0 { [54, 100, 34, 16, 0, 0] } else { input.array() },
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend(self.len.to_le_bytes());
        out.extend([self.flags, self.gso_type]);
        if self.numbers == [54, 100, 34, 16, 0, 0] {
            out.push(0);
        } else {
            out.push(1);
            out.extend(self.numbers);
        }
    }

    pub(crate) fn header(&self) -> NetHeader {
        let number = |at: usize| {
            let byte = u16::from(self.numbers[at]);
            if byte & 0x80 == 0 { byte } else { (byte & 0x7f) << 9 | byte }
        };
        NetHeader {
            flags: self.flags,
            gso_type: self.gso_type,
            hdr_len: number(0),
            gso_size: number(1),
            csum_start: number(2),
            csum_offset: number(3),
            outer_th_offset: number(4),
            inner_nh_offset: number(5),
        }
    }

    /// The frame: to the device, somebody else, a group or everybody (two bits), with a tag (one), and then nothing known, IPv4
    /// with TCP or UDP, or IPv6 with TCP (two), whose last port the rest of the bits say.
    pub(crate) fn bytes(&self, most: usize) -> Vec<u8> {
        let mut frame = [OWN, OTHER, [1, 0, 0x5e, 0, 0, 7], [0xff; 6]][usize::from(self.kind & 3)].to_vec();
        frame.extend(OTHER);
        if self.kind & 4 != 0 {
            frame.extend([0x81, 0, 0, self.kind >> 5]);
        }
        let len = usize::from(self.len).min(most);
        match self.kind >> 3 & 3 {
            0 => frame.extend([0x88, 0xb5]),
            3 => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((len as u16).wrapping_add(20).to_be_bytes());
                frame.extend([6, 64]);
                frame.extend([0xfd; 31]);
                frame.extend([
                    1,
                    0,
                    80,
                    0,
                    80 + (self.kind >> 5),
                    0,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0x50,
                    0x18,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
            }
            which => {
                let protocol = if which == 1 { 6 } else { 17 };
                let headers = if which == 1 { 40 } else { 28 };
                frame.extend([8, 0, 0x45, 0]);
                frame.extend((len as u16).wrapping_add(headers).to_be_bytes());
                frame.extend([
                    0,
                    1,
                    0x40,
                    0,
                    64,
                    protocol,
                    0,
                    0,
                    10,
                    0,
                    0,
                    2,
                    10,
                    0,
                    0,
                    1,
                    0,
                    80,
                    0,
                    80 + (self.kind >> 5),
                ]);
                match which {
                    1 => frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]),
                    _ => frame.extend([0, (len + 8) as u8, 0, 0]),
                }
            }
        }
        frame.extend((0..len).map(|at| (at / 251) as u8 ^ (at as u8).wrapping_mul(31) ^ self.kind));
        frame
    }
}

/// The device's address.
pub(crate) const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];

/// One step of a program: a byte that says which, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sends a frame, cut in two places.
    Send {
        how: u8,
        frame: Frame,
        cuts: [u8; 2],
    },
    /// Gives buffers of that size, so many.
    Post {
        how: u8,
        len: u16,
        count: u8,
    },
    /// A frame comes by the network.
    Arrive {
        how: u8,
        frame: Frame,
    },
    /// A command of the control queue.
    Command {
        how: u8,
        class: u8,
        command: u8,
        data: Vec<u8>,
        room: u8,
    },
    /// A chain of any buffers: place and length of each.
    Raw {
        how: u8,
        buffers: Vec<(u8, u16)>,
    },
    /// Shows the device what was added, and lets it work.
    Kick {
        lane: u8,
    },
    /// Resets the device, and starts it with these features.
    Reset {
        features: [u8; 7],
    },
    QueueReset {
        lane: u8,
    },
    Pause,
    /// Ends a pause.
    Unpause,
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
    /// The link goes up or down: the embedder's wish (bit 0), and the network's state (bit 1).
    Link {
        up: u8,
    },
    /// The network takes so many frames more, or fails.
    Room {
        lane: u8,
        frames: u8,
    },
    /// Saves the device, and goes on with another one.
    Move,
    /// Asks the driver to announce itself.
    Announce,
}

impl Step {
    pub(crate) const SECOND_PAIR: u8 = 1;
    pub(crate) const INDIRECT: u8 = 2;
    /// Show it to the device at once.
    pub(crate) const SHOW: u8 = 4;
    /// A piece of the header is missing.
    pub(crate) const SHORT: u8 = 8;

    pub(crate) fn read(input: &mut Input<'_>) -> Option<Step> {
        if input.is_empty() {
            return None;
        }
        Some(match input.u8() % 32 {
            1 | 17..20 => Step::Post { how: input.u8(), len: input.u16(), count: input.u8() },
            2 | 20..24 => Step::Arrive { how: input.u8(), frame: Frame::read(input) },
            3 | 24..28 => Step::Command {
                how: input.u8(),
                class: input.u8(),
                command: input.u8(),
                data: {
                    let len = input.u8();
                    input.bytes(len.into()).to_vec()
                },
                room: input.u8(),
            },
            4 => {
                let (how, count) = (input.u8(), input.u8() % 5 + 1);
                Step::Raw { how, buffers: (0..count).map(|_| (input.u8(), input.u16())).collect() }
            }
            5 => Step::Kick { lane: input.u8() },
            6 => Step::Reset { features: input.array() },
            7 => Step::QueueReset { lane: input.u8() },
            8 => Step::Pause,
            9 => Step::Unpause,
            10 => Step::Break { lane: input.u8() },
            11 => Step::Poke { address: input.u16(), bytes: input.array() },
            12 => Step::Replace,
            13 => Step::Link { up: input.u8() },
            14 => Step::Room { lane: input.u8(), frames: input.u8() },
            15 => Step::Move,
            16 => Step::Announce,
            _ => Step::Send { how: input.u8(), frame: Frame::read(input), cuts: input.array() },
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Step::Send { how, frame, cuts } => {
                out.extend([0, *how]);
                frame.write(out);
                out.extend(cuts);
            }
            Step::Post { how, len, count } => {
                out.extend([1, *how]);
                out.extend(len.to_le_bytes());
                out.push(*count);
            }
            Step::Arrive { how, frame } => {
                out.extend([2, *how]);
                frame.write(out);
            }
            Step::Command { how, class, command, data, room } => {
                out.extend([3, *how, *class, *command, data.len() as u8]);
                out.extend(data);
                out.push(*room);
            }
            Step::Raw { how, buffers } => {
                out.extend([4, *how, buffers.len() as u8 - 1]);
                for (place, len) in buffers {
                    out.push(*place);
                    out.extend(len.to_le_bytes());
                }
            }
            Step::Kick { lane } => out.extend([5, *lane]),
            Step::Reset { features } => {
                out.push(6);
                out.extend(features);
            }
            Step::QueueReset { lane } => out.extend([7, *lane]),
            Step::Pause => out.push(8),
            Step::Unpause => out.push(9),
            Step::Break { lane } => out.extend([10, *lane]),
            Step::Poke { address, bytes } => {
                out.push(11);
                out.extend(address.to_le_bytes());
                out.extend(bytes);
            }
            Step::Replace => out.push(12),
            Step::Link { up } => out.extend([13, *up]),
            Step::Room { lane, frames } => out.extend([14, *lane, *frames]),
            Step::Move => out.push(15),
            Step::Announce => out.push(16),
        }
    }
}
