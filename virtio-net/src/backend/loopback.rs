//! A network that gives back what is sent.

#[cfg(test)]
mod tests;

use std::io;

use virtio_core::{Event, Source, Sources};

use super::frames::{Buffers, Fifo, Frame, MAX_PAIRS, check_pair};
use super::{Capabilities, Interest, NetBackend, NetQueue, Packet, RECEIVE, Received, Room, SEND, SendError};
use crate::Offloads;

/// A network that gives back what is sent: on the pair that sent it, in the same order, with the same work left to do.
///
/// A pair has room for 256 frames or 4 MiB. Where that is full, sending waits until something has been received. What has not
/// been received when the pair is closed is gone.
///
/// Send and Sync. No call waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loopback;

/// Frames of a pair.
const FRAMES: usize = 256;

impl Loopback {
    /// The network.
    pub fn new() -> Loopback {
        Loopback
    }
}

impl NetBackend for Loopback {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pairs: MAX_PAIRS,
            transmit: Offloads::ALL,
            receive: Offloads::ALL,
            steers: true,
            ..Capabilities::default()
        }
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, MAX_PAIRS)?;
        Ok(Box::new(LoopbackQueue {
            frames: Fifo::new(FRAMES),
            lent: None,
            buffers: Buffers::default(),
            filled: Event::new()?,
            found_nothing: true,
            emptied: Event::new()?,
            refused: false,
        }))
    }
}

struct LoopbackQueue {
    frames: Fifo,
    /// What was received last.
    lent: Option<Frame>,
    buffers: Buffers,
    filled: Event,
    /// Whoever receives waits for `filled`.
    found_nothing: bool,
    emptied: Event,
    /// Whoever sends waits for `emptied`.
    refused: bool,
}

impl NetQueue for LoopbackQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        if self.frames.is_full() {
            self.refused = true;
            return Err(SendError::Full);
        }
        let frame = Frame::copy(packet, &mut self.buffers)?;
        if let Err(frame) = self.frames.push(frame) {
            self.buffers.give(frame.bytes);
            self.refused = true;
            return Err(SendError::Full);
        }
        if std::mem::take(&mut self.found_nothing) {
            self.filled.signal();
        }
        Ok(())
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        if let Some(lent) = self.lent.take() {
            self.buffers.give(lent.bytes);
        }
        let Some(frame) = self.frames.pop() else {
            self.found_nothing = true;
            return Ok(Received::Nothing);
        };
        if std::mem::take(&mut self.refused) {
            self.emptied.signal();
        }
        let Frame { header, bytes } = self.lent.insert(frame);
        Ok(Received::Lent { header: *header, frame: bytes })
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        if interest.receive {
            sources.add(Source::Event(self.filled.clone()), RECEIVE);
        }
        if interest.send {
            sources.add(Source::Event(self.emptied.clone()), SEND);
        }
    }
}
