//! Frames that a backend keeps: what those in memory have in common.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use super::{Packet, SendError};
use crate::NetHeader;
use crate::wire::{ETHERNET_LEN, MAX_FRAME_LEN};

/// Pairs of a network that does not care how many there are: as many as a device can have.
pub(super) const MAX_PAIRS: u16 = 0x8000;

/// Bytes that a queue of frames keeps, counted as what is allocated for them.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Bytes of buffers: each frame is in the smallest that it fits in.
const SIZES: [usize; 3] = [2 << 10, 16 << 10, MAX_FRAME_LEN];

/// A frame of the backend's own.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: NetHeader,
    /// At least an Ethernet header.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// A copy of what is sent: each byte of it is read once.
    pub(super) fn copy(packet: &Packet<'_>, buffers: &mut Buffers) -> Result<Frame, SendError> {
        check_len(packet.len())?;
        let mut bytes = buffers.take(packet.len());
        match packet.copy_into(&mut bytes) {
            Ok(()) => Ok(Frame { header: *packet.header(), bytes }),
            Err(error) => {
                buffers.give(bytes);
                Err(SendError::Failed(error))
            }
        }
    }
}

/// A second fence: the device sends no other frames.
pub(super) fn check_len(len: usize) -> io::Result<()> {
    if (ETHERNET_LEN..=MAX_FRAME_LEN).contains(&len) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes are no Ethernet frame")))
}

/// That there is such a pair.
pub(super) fn check_pair(pair: u16, pairs: u16) -> io::Result<()> {
    if pair < pairs {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("pair {pair} of {pairs}")))
}

/// Buffers that are used again, so that frames in transit allocate nothing.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: [Vec<Vec<u8>>; SIZES.len()],
    bytes: usize,
}

impl Buffers {
    /// An empty one with room for `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        self.take_used(len).unwrap_or_else(|| {
            let size = SIZES.into_iter().find(|size| *size >= len);
            Vec::with_capacity(size.unwrap_or(len))
        })
    }

    /// The same, if there is one already.
    pub(super) fn take_used(&mut self, len: usize) -> Option<Vec<u8>> {
        let (_, free) = SIZES.iter().zip(&mut self.free).find(|(size, _)| **size >= len)?;
        let buffer = free.pop()?;
        self.bytes = self.bytes.saturating_sub(buffer.capacity());
        Some(buffer)
    }

    /// Takes back one that is not needed any more. What is too much is freed.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = self.bytes.saturating_add(buffer.capacity());
        let fitting = SIZES.iter().zip(&mut self.free).rev().find(|(size, _)| **size <= buffer.capacity());
        if let (Some((_, free)), true) = (fitting, bytes <= MAX_BYTES) {
            buffer.clear();
            free.push(buffer);
            self.bytes = bytes;
        }
    }
}

/// Frames in the order in which they came: a bounded number, of bounded size.
#[derive(Debug)]
pub(super) struct Fifo {
    frames: VecDeque<Frame>,
    bytes: usize,
    most: usize,
}

impl Fifo {
    /// For up to `most` frames and [`MAX_BYTES`] of memory.
    pub(super) fn new(most: usize) -> Fifo {
        Fifo { frames: VecDeque::new(), bytes: 0, most }
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.frames.len() >= self.most || self.bytes >= MAX_BYTES
    }

    /// Adds a frame, or gives it back where there is no room.
    pub(super) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.is_full() {
            return Err(frame);
        }
        self.bytes = self.bytes.saturating_add(frame.bytes.capacity());
        self.frames.push_back(frame);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.bytes.capacity());
        Some(frame)
    }

    /// Forgets all of them, and frees what they take.
    pub(super) fn clear(&mut self) {
        *self = Fifo::new(self.most);
    }
}
