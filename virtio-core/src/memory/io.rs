//! Reading and writing the buffers of a descriptor chain, wherever the driver cut them.

use std::fmt;
use std::sync::Arc;

use super::buffers::RawIoSlice;
use super::regions::{Host, Segment};
use super::view::Pin;
use super::{MemoryError, copy};

/// What is ahead in a list of pieces.
#[derive(Clone, Copy)]
struct Span<'a> {
    segments: &'a [Segment],
    /// Bytes of the first piece that are behind us.
    offset: u32,
    /// Bytes ahead; never more than the pieces have.
    left: usize,
}

impl<'a> Span<'a> {
    /// All of `segments`, which have `left` bytes together.
    #[inline]
    fn of_len(segments: &'a [Segment], left: usize) -> Span<'a> {
        Span { segments, offset: 0, left }
    }

    /// Goes on by at most `most` bytes within one piece, and returns the bytes passed.
    #[inline]
    fn step(&mut self, most: usize) -> Option<Segment> {
        let piece = self.segments.first()?;
        let rest = piece.len - self.offset;
        let most = most.min(self.left);
        let len = if most < rest as usize { most as u32 } else { rest };
        let passed = Segment {
            address: piece.address.wrapping_add(u64::from(self.offset)),
            host: Host(piece.host.0.wrapping_add(self.offset as usize)),
            len,
        };
        if piece.check().is_err() {
            return Some(Segment { host: Host::NULL, ..passed }).inspect(|_| self.pass(len, rest));
        }
        self.pass(len, rest);
        Some(passed)
    }

    #[inline]
    fn pass(&mut self, len: u32, rest: u32) {
        self.left -= len as usize;
        if len == rest {
            self.segments = &self.segments[1..];
            self.offset = 0;
        } else {
            self.offset += len;
        }
    }

    /// Passes the next `len` bytes where they are within one piece of guest memory, which is what headers and statuses mostly
    /// are. Nothing has been passed otherwise.
    #[inline(always)]
    fn step_whole(&mut self, len: usize) -> Option<Segment> {
        let piece = self.segments.first()?;
        let rest = piece.len - self.offset;
        if len == 0 || len > rest as usize || len > self.left || piece.check().is_err() {
            return None;
        }
        // Not more than `rest`.
        let len = len as u32;
        let passed = Segment {
            address: piece.address.wrapping_add(u64::from(self.offset)),
            host: Host(piece.host.0.wrapping_add(self.offset as usize)),
            len,
        };
        self.pass(len, rest);
        Some(passed)
    }

    fn need(&self, wanted: usize) -> Result<(), MemoryError> {
        if wanted > self.left {
            return Err(MemoryError::Short { wanted, left: self.left });
        }
        Ok(())
    }

    /// Calls `each` with the pieces of the next `len` bytes. On an error nothing has been passed.
    #[inline]
    fn take(&mut self, len: usize, mut each: impl FnMut(Segment)) -> Result<(), MemoryError> {
        self.need(len)?;
        let mut rest = *self;
        let mut todo = len;
        while todo > 0 {
            let Some(piece) = rest.step(todo) else { break };
            piece.check()?;
            each(piece);
            todo -= piece.len as usize;
        }
        *self = rest;
        Ok(())
    }

    fn split(mut self, at: usize) -> Result<(Span<'a>, Span<'a>), MemoryError> {
        self.need(at)?;
        let front = Span { left: at, ..self };
        let mut todo = at;
        while todo > 0 {
            let Some(piece) = self.step(todo) else { break };
            todo -= piece.len as usize;
        }
        Ok((front, self))
    }

    /// The piece, where there is one alone.
    #[inline]
    fn whole(&self) -> Option<Segment> {
        match self.segments {
            [piece] if self.offset == 0 && piece.len as usize == self.left => Some(*piece),
            _ => None,
        }
    }

    #[inline]
    fn pieces(mut self) -> impl Iterator<Item = Segment> {
        std::iter::from_fn(move || (self.left > 0).then(|| self.step(usize::MAX)).flatten())
    }
}

/// The device-readable part of a chain, read from front to back.
///
/// Each byte should be read once: the driver may change it in between.
///
/// Neither Send nor Sync: [`GuestBuffers`](crate::GuestBuffers) take buffers to other threads. No call blocks.
#[derive(Clone)]
pub struct Reader<'a> {
    ahead: Span<'a>,
    /// What keeps the pieces mapped; none where there are none.
    pin: Option<&'a Arc<Pin>>,
}

impl<'a> Reader<'a> {
    /// Of pieces that have `len` bytes together.
    #[inline]
    pub(super) fn of_len(segments: &'a [Segment], pin: Option<&'a Arc<Pin>>, len: usize) -> Reader<'a> {
        Reader { ahead: Span::of_len(segments, len), pin }
    }

    /// Bytes left to read.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.ahead.left
    }

    /// Fills `data`.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less is left, [`MemoryError::Unmapped`] where a piece is not guest memory. The
    /// position has not moved then.
    #[inline(always)]
    pub fn read(&mut self, data: &mut [u8]) -> Result<(), MemoryError> {
        if let Some(piece) = self.ahead.step_whole(data.len()) {
            // SAFETY: the piece is as long as `data`. It was checked when the chain was walked, and stays mapped while the
            // list that this borrows from holds its pin; it is not a hole.
            unsafe { copy::from_guest(piece.host.0, data) };
            return Ok(());
        }
        self.read_pieces(data)
    }

    #[inline(never)]
    fn read_pieces(&mut self, data: &mut [u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        self.ahead.take(data.len(), |piece| {
            let end = done + piece.len as usize;
            // SAFETY: the piece was checked when the chain was walked, and stays mapped while the list that this
            // borrows from holds its pin; it is not a hole.
            unsafe { copy::from_guest(piece.host.0, &mut data[done..end]) };
            done = end;
        })
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], MemoryError> {
        let mut array = [0; N];
        self.read(&mut array)?;
        Ok(array)
    }

    /// Passes over `len` bytes.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less is left.
    pub fn skip(&mut self, len: usize) -> Result<(), MemoryError> {
        self.ahead = self.ahead.split(len)?.1;
        Ok(())
    }

    /// The next `at` bytes, and what follows them.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less is left.
    pub fn split_at(self, at: usize) -> Result<(Reader<'a>, Reader<'a>), MemoryError> {
        let (front, back) = self.ahead.split(at)?;
        Ok((Reader { ahead: front, ..self }, Reader { ahead: back, ..self }))
    }

    /// Adds what is left as the system's vectored calls want it, behind what is in `slices`: to be read only, and not to be
    /// used once what this reader borrows from, the chain or the buffers, has gone.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing is added then.
    #[inline]
    pub fn io_slices(&self, slices: &mut Vec<RawIoSlice>) -> Result<(), MemoryError> {
        let before = slices.len();
        for piece in self.ahead.pieces() {
            if let Err(error) = piece.check() {
                slices.truncate(before);
                return Err(error);
            }
            slices.push(RawIoSlice { base: piece.host.0, len: piece.len as usize });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn pieces(&self) -> impl Iterator<Item = Segment> {
        self.ahead.pieces()
    }

    #[inline]
    pub(super) fn whole(&self) -> Option<Segment> {
        self.ahead.whole()
    }

    pub(super) fn pin(&self) -> Option<&Arc<Pin>> {
        self.pin
    }
}

/// The device-writable part of a chain, written from front to back.
///
/// Neither Send nor Sync, as [`Reader`]. No call blocks.
pub struct Writer<'a> {
    ahead: Span<'a>,
    /// What keeps the pieces mapped; none where there are none.
    pin: Option<&'a Arc<Pin>>,
    /// Where writes are marked, if they are.
    log: Option<&'a Pin>,
}

impl<'a> Writer<'a> {
    /// Of pieces that have `len` bytes together.
    #[inline]
    pub(super) fn of_len(
        segments: &'a [Segment],
        pin: Option<&'a Arc<Pin>>,
        log: Option<&'a Pin>,
        len: usize,
    ) -> Writer<'a> {
        Writer { ahead: Span::of_len(segments, len), pin, log }
    }

    /// Bytes left to write.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.ahead.left
    }

    /// Writes `data`, and marks it dirty unless this is an [unmarked](crate::GuestBuffers::unmarked_writer) writer.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less room is left, [`MemoryError::Unmapped`] where a piece is not guest memory. The
    /// position has not moved then, though bytes ahead of it may have been written.
    #[inline(always)]
    pub fn write(&mut self, data: &[u8]) -> Result<(), MemoryError> {
        if let Some(piece) = self.ahead.step_whole(data.len()) {
            // SAFETY: the piece is as long as `data`. It was checked when the chain was walked, and stays mapped while the
            // list that this borrows from holds its pin; it is not a hole.
            unsafe { copy::to_guest(data, piece.host.0) };
            if let Some(log) = self.log {
                log.mark(piece.address, u64::from(piece.len));
            }
            return Ok(());
        }
        self.write_pieces(data)
    }

    #[inline(never)]
    fn write_pieces(&mut self, data: &[u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        let log = self.log;
        self.ahead.take(data.len(), |piece| {
            let end = done + piece.len as usize;
            // SAFETY: the piece was checked when the chain was walked, and stays mapped while the list that this
            // borrows from holds its pin; it is not a hole.
            unsafe { copy::to_guest(&data[done..end], piece.host.0) };
            if let Some(log) = log {
                log.mark(piece.address, u64::from(piece.len));
            }
            done = end;
        })
    }

    /// Passes over `len` bytes without writing them.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less is left.
    pub fn skip(&mut self, len: usize) -> Result<(), MemoryError> {
        self.ahead = self.ahead.split(len)?.1;
        Ok(())
    }

    /// The next `at` bytes, and what follows them.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where less is left.
    pub fn split_at(self, at: usize) -> Result<(Writer<'a>, Writer<'a>), MemoryError> {
        let (front, back) = self.ahead.split(at)?;
        Ok((Writer { ahead: front, ..self }, Writer { ahead: back, ..self }))
    }

    #[inline]
    pub(super) fn pieces(&self) -> impl Iterator<Item = Segment> {
        self.ahead.pieces()
    }

    #[inline]
    pub(super) fn whole(&self) -> Option<Segment> {
        self.ahead.whole()
    }

    pub(super) fn pin(&self) -> Option<&Arc<Pin>> {
        self.pin
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes left)", self.remaining())
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} bytes left)", self.remaining())
    }
}
