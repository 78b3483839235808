//! An interface in a network of its own, and the frames that go through it.

use std::fs::File;
use std::io::{self, Write};

use super::super::frames::{Direction, HEADER, Traffic};
use super::sys;
use crate::contest::Missing;

/// The device's address.
pub(super) const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// An address that is nobody's: the kernel drops what is for it as soon as it looks at it.
const FOREIGN: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Bytes of the headers of Ethernet, IPv4 and TCP.
const HEADERS: u16 = 14 + 20 + 20;
/// Bytes of data in a segment of TCP, with what Linux has of options.
const SEGMENT: u16 = 1448;

/// How long frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Size {
    /// As long as Ethernet has them: 1514 bytes.
    Mtu,
    /// As many segments as go into 64 KiB, in one.
    Tso,
}

impl Size {
    /// Bytes of data.
    fn data(self) -> u16 {
        match self {
            Size::Mtu => 1460,
            Size::Tso => 45 * SEGMENT,
        }
    }

    /// What is negotiated with the tap.
    fn offloads(self) -> libc::c_uint {
        match self {
            Size::Mtu => libc::TUN_F_CSUM,
            Size::Tso => libc::TUN_F_CSUM | libc::TUN_F_TSO4,
        }
    }

    /// Segments of a TCP connection, the way Linux hands them to its driver and posts buffers for them.
    pub(in crate::net) fn traffic(self, direction: Direction) -> Traffic {
        let to = if direction == Direction::Receive { OWN } else { FOREIGN };
        let mut frame = [&to[..], &[2, 0, 0, 0, 0, 3, 0x08, 0x00]].concat();
        frame.extend([0x45, 0]);
        frame.extend((HEADERS - 14 + self.data()).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x03, 0xe8, 0x07, 0xd0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend((0..self.data()).map(|i| (i as u8).wrapping_mul(7) ^ (i >> 8) as u8));
        // The checksum at 16 from 34 is left to do.
        let mut header = [0; HEADER as usize];
        (header[0], header[6], header[8]) = (1, 34, 16);
        match self {
            Size::Mtu => Traffic { direction, batch: 64, header, frame, room: 1536, first: u32::MAX },
            Size::Tso => {
                header[1] = 1;
                header[2..4].copy_from_slice(&HEADERS.to_le_bytes());
                header[4..6].copy_from_slice(&SEGMENT.to_le_bytes());
                // Buffers are pages. What is sent is headers, and data in pieces of 32 KiB.
                let room = if direction == Direction::Receive { 4096 } else { 32 << 10 };
                Traffic { direction, batch: 8, header, frame, room, first: HEADER + u32::from(HEADERS) }
            }
        }
    }
}

/// What sends by the interface.
pub(super) struct Host {
    socket: File,
    /// A header and a frame.
    bytes: Vec<u8>,
    batch: u32,
}

impl Host {
    /// Has the tap hold a batch of frames.
    pub(super) fn feed(&mut self) {
        for _ in 0..self.batch {
            let written = self.socket.write(&self.bytes).expect("the host sends");
            assert_eq!(written, self.bytes.len(), "a whole frame");
        }
    }
}

/// Makes an interface in a network of its own, and `with` it what is to be made there.
pub(super) fn make<T: Send>(
    size: Size,
    direction: Direction,
    with: impl FnOnce(File) -> io::Result<T> + Send,
) -> Result<(T, Host), Missing> {
    // A thread that sees nothing else; what it opens stays where it is.
    let run = || {
        let missing = |what: &'static str| move |error| Missing(format!("{what}: {error}"));
        sys::leave_the_host().map_err(missing("a network namespace of its own, which only root can make"))?;
        for which in ["default", "all"] {
            // Or the host says something by itself at times.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
        let tap = sys::make_tap(size.offloads()).map_err(missing(sys::TUN))?;
        let socket = sys::host_side().map_err(missing("a packet socket"))?;
        let made = with(tap).map_err(missing("the tap"))?;
        let Traffic { header, frame, batch, .. } = size.traffic(direction);
        // Without the number of buffers.
        let bytes = [&header[..10], &frame].concat();
        Ok((made, Host { socket, bytes, batch }))
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
