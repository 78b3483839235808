//! A stream that is cut into frames.

use std::ops::Range;

use crate::wire::MAX_FRAME_LEN;

/// Bytes of the length before each frame.
const PREFIX_LEN: usize = 4;
/// Bytes that are received at once, at most.
const CAPACITY: usize = 256 << 10;
/// Where less room is left than that, what is there goes to the front: there is always room for the rest of a frame.
const LEAST_ROOM: usize = PREFIX_LEN + MAX_FRAME_LEN;

const _: () = assert!(CAPACITY > 2 * LEAST_ROOM);

/// A length that no frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are the length of no frame")]
pub(super) struct BadLength(pub(super) u32);

/// What was received and not delivered yet.
#[derive(Debug)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new() -> Incoming {
        Incoming { buffer: vec![0; CAPACITY], start: 0, end: 0 }
    }

    /// Room for more. No frame that was [taken](Self::take) is there any more.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < LEAST_ROOM {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put into the room.
    pub(super) fn fill(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.len());
    }

    /// Takes the next frame out, if all of it is there.
    pub(super) fn take(&mut self) -> Result<Option<Range<usize>>, BadLength> {
        let there = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((prefix, rest)) = there.split_first_chunk::<PREFIX_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix);
        match usize::try_from(len) {
            Ok(len @ 1..=MAX_FRAME_LEN) if len <= rest.len() => {
                let start = self.start + PREFIX_LEN;
                self.start = start + len;
                Ok(Some(start..self.start))
            }
            Ok(1..=MAX_FRAME_LEN) => Ok(None),
            _ => Err(BadLength(len)),
        }
    }

    pub(super) fn frame(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }
}
