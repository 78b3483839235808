//! A network on which the same frame comes again and again.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use virtio_core::Sources;

use super::frames::{MAX_PAIRS, check_len, check_pair};
use super::{Capabilities, Interest, NetBackend, NetQueue, Packet, Received, Room, SendError};
use crate::{NetHeader, Offloads};

/// A network on which the same frame comes as often as it is taken, for measurements. What is sent is not looked at.
///
/// ```
/// use virtio_net::{Generator, NetBackend};
/// let thousand = Generator::new().limit(1000);
/// assert_eq!(thousand.frame().len(), 64);
/// let mut queue = thousand.open_queue(0)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Cheap to clone. Send and Sync. No call waits.
#[derive(Clone)]
pub struct Generator {
    frame: Arc<[u8]>,
    header: NetHeader,
    limit: u64,
    receive: Offloads,
}

impl Generator {
    /// A UDP datagram of 64 bytes with its Ethernet header, to everybody: from port 9 to port 9, by which it is discarded.
    pub fn new() -> Generator {
        Generator { frame: Arc::new(DISCARD), header: NetHeader::default(), limit: u64::MAX, receive: Offloads::NONE }
    }

    /// This frame, with what is left to do with it. `receive`: what has to be left to the driver for that.
    ///
    /// # Errors
    /// It is shorter than an Ethernet header, or longer than a frame can be.
    pub fn of(frame: &[u8], header: NetHeader, receive: Offloads) -> io::Result<Generator> {
        check_len(frame.len())?;
        Ok(Generator { frame: frame.into(), header, limit: u64::MAX, receive })
    }

    /// Frames that each pair of queues gets, from when it is opened on; without end unless this is set.
    #[must_use]
    pub fn limit(self, frames: u64) -> Generator {
        Generator { limit: frames, ..self }
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl Default for Generator {
    fn default() -> Generator {
        Generator::new()
    }
}

impl NetBackend for Generator {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pairs: MAX_PAIRS,
            transmit: Offloads::ALL,
            receive: self.receive,
            steers: true,
            ..Capabilities::default()
        }
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, MAX_PAIRS)?;
        Ok(Box::new(GeneratorQueue { frame: Arc::clone(&self.frame), header: self.header, left: self.limit }))
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Generator { frame, header, limit, receive } = self;
        write!(f, "Generator({} bytes, {header:?}, {limit} times, {receive:?})", frame.len())
    }
}

struct GeneratorQueue {
    frame: Arc<[u8]>,
    header: NetHeader,
    left: u64,
}

impl NetQueue for GeneratorQueue {
    fn send(&mut self, _packet: &mut Packet<'_>) -> Result<(), SendError> {
        Ok(())
    }

    #[inline]
    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(Received::Nothing) };
        self.left = left;
        Ok(Received::Lent { header: self.header, frame: &self.frame })
    }

    fn sources(&self, _interest: Interest, _sources: &mut Sources) {
        // Whoever has room takes frames until there are no more: there is nothing to wait for.
    }
}

/// From 10.0.0.1 to everybody, discard to discard, with a complete header checksum and none of UDP.
const DISCARD: [u8; 64] = {
    #[rustfmt::skip]
    let headers = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0,
        0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0x70, 0xbb, 10, 0, 0, 1, 255, 255, 255, 255,
        0, 9, 0, 9, 0, 30, 0, 0,
    ];
    let mut frame = [0; 64];
    let mut at = 0;
    while at < headers.len() {
        frame[at] = headers[at];
        at += 1;
    }
    frame
};
