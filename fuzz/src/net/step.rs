//! Steps of programs.

use super::frame::Frame;
use crate::device::Raw;
use crate::input::Input;

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
    Raw(Raw),
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
            4 => Step::Raw(Raw::read(input)),
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
            Step::Raw(raw) => {
                out.push(4);
                raw.write(out);
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
