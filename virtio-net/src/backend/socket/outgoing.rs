//! Frames that were taken, and are not sent yet.

use std::collections::VecDeque;
use std::io;

use super::super::Packet;
use crate::wire::MAX_FRAME_LEN;

/// Bytes that are kept, at most.
const CAPACITY: usize = 256 << 10;
/// From so many bytes on they are worth a call by themselves.
const ENOUGH: usize = 64 << 10;
/// Frames that are kept, at most.
const MOST_FRAMES: usize = 1024;

/// Frames one behind the other, each with its length before it or without.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// Where what was not sent begins.
    start: usize,
    /// Bytes of each frame that was not sent, or not all of it.
    frames: VecDeque<usize>,
    /// Bytes of the first one that were sent.
    part: usize,
}

impl Outgoing {
    /// Whether a frame of so many bytes fits in.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let there = self.bytes.len() - self.start;
        self.frames.len() < MOST_FRAMES && there.saturating_add(len) <= CAPACITY
    }

    /// Copies a frame, with its length before it if `prefix`.
    pub(super) fn put(&mut self, packet: &Packet<'_>, prefix: bool) -> io::Result<()> {
        let len = packet.len();
        if len > MAX_FRAME_LEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let before = self.bytes.len();
        if prefix {
            self.bytes.extend_from_slice(&(len as u32).to_be_bytes()); // up to MAX_FRAME_LEN
        }
        if let Err(error) = packet.copy_into(&mut self.bytes) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.frames.push_back(self.bytes.len() - before);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn is_enough(&self) -> bool {
        self.bytes.len() - self.start >= ENOUGH
    }

    /// All that was not sent.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The length of each frame of it, where no frame was sent in part.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().copied()
    }

    /// So many bytes were sent.
    pub(super) fn advance(&mut self, sent: usize) {
        let sent = sent.min(self.bytes.len() - self.start);
        self.start += sent;
        self.part += sent;
        while let Some(first) = self.frames.front()
            && self.part >= *first
        {
            self.part -= first;
            self.frames.pop_front();
        }
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start >= CAPACITY {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// So many frames were sent.
    pub(super) fn advance_frames(&mut self, count: usize) {
        self.advance(self.frames.iter().take(count).sum());
    }

    /// Drops all; how many frames.
    pub(super) fn clear(&mut self) -> usize {
        let lost = self.frames.len();
        self.bytes.clear();
        self.frames.clear();
        (self.start, self.part) = (0, 0);
        lost
    }
}
