//! The pieces of one chain while it is looked at.

use std::sync::Arc;

use super::MemoryError;
use super::buffers::Buffer;
use super::filling::Filling;
use super::io::{Reader, Writer};
use super::regions::{Host, Place, Segment};
use super::view::{MemoryView, Pin};

/// The pieces of one chain while it is looked at. Reused from chain to chain.
pub(crate) struct SegmentList {
    pin: Arc<Pin>,
    shape: Shape,
    /// The piece of a single chain.
    single: Segment,
    /// Room for pieces; those of any other chain come first. All pieces were found in `pin`'s map, or are holes.
    slots: Vec<Segment>,
    /// Where the readable pieces end, and the writable ones start.
    turn: Extent,
    /// Where the writable pieces end.
    end: Extent,
    /// Whether a writable buffer was added.
    writing: bool,
}

/// Where the pieces of a chain are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One, for the device to read.
    Readable,
    /// One, for the device to write.
    Writable,
    /// Any number, in the slots.
    Many,
}

/// A place in a list of pieces: how many there are before it, and of how many bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) pieces: usize,
    pub(super) bytes: u64,
}

impl SegmentList {
    /// A list with room for `capacity` pieces; it grows where that is not enough.
    pub(crate) fn new(view: &MemoryView, capacity: usize) -> SegmentList {
        SegmentList {
            pin: view.pin.clone(),
            shape: Shape::Many,
            single: Segment::hole(0, 0),
            slots: vec![Segment::hole(0, 0); capacity],
            turn: Extent::default(),
            end: Extent::default(),
            writing: false,
        }
    }

    /// Empties the list.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.shape = Shape::Many;
        (self.turn, self.end, self.writing) = Default::default();
    }

    /// Takes over a view that was refreshed, and empties the list.
    pub(crate) fn renew(&mut self, view: &MemoryView) {
        self.clear();
        self.pin = view.pin.clone();
    }

    /// Makes one buffer the content of the list, if it is plain: not empty, and wholly in the region of the last one.
    #[inline(always)]
    pub(crate) fn put_single(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        debug_assert!(Arc::ptr_eq(&view.pin, &self.pin), "the list's pieces belong to another version");
        self.put_single_in(view.place(), address, len, writable)
    }

    /// The same, in any one region.
    #[inline(never)]
    pub(crate) fn put_single_elsewhere(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        self.put_single_in(view.place_of(address), address, len, writable)
    }

    #[inline(always)]
    fn put_single_in(&mut self, place: Place, address: u64, len: u32, writable: bool) -> bool {
        let Some(piece) = place.whole(address, len) else { return false };
        self.single = piece;
        self.shape = if writable { Shape::Writable } else { Shape::Readable };
        true
    }

    /// Goes on with filling the list with pieces found in `view`, which must be of the list's own version.
    #[inline(always)]
    pub(crate) fn fill(&mut self, view: &MemoryView) -> Filling<'_> {
        debug_assert!(Arc::ptr_eq(&view.pin, &self.pin), "the list's pieces belong to another version");
        let SegmentList { slots, turn, end, writing, .. } = self;
        Filling { place: view.place(), now: *end, slots, turn, end, writing }
    }

    /// Adds any buffer that is not empty, to the part that is being filled: in several pieces where it lies in several
    /// regions. What is not guest memory is added as a hole that cannot be accessed; says whether there was none.
    pub(crate) fn add(&mut self, view: &MemoryView, mut address: u64, len: u32) -> bool {
        let mut left = len;
        while let Some(piece) = view.find(address, left) {
            self.put(piece);
            left -= piece.len;
            if left == 0 {
                return true;
            }
            address = address.wrapping_add(u64::from(piece.len));
            // Not around the end of the address space: nothing can be at its last address that is longer than a byte.
            if address == 0 {
                address = u64::MAX;
                break;
            }
        }
        self.put(Segment::hole(address, left));
        false
    }

    fn put(&mut self, piece: Segment) {
        match self.slots.get_mut(self.end.pieces) {
            Some(slot) => *slot = piece,
            None => self.grow(piece),
        }
        self.end = Extent { pieces: self.end.pieces + 1, bytes: self.end.bytes + u64::from(piece.len) };
    }

    #[cold]
    fn grow(&mut self, piece: Segment) {
        self.slots.push(piece);
        self.slots.resize(self.slots.capacity(), Segment::hole(0, 0));
    }

    /// The chain is complete; its bytes.
    #[inline(always)]
    pub(crate) fn finish(&mut self) -> u64 {
        if !self.writing {
            self.turn = self.end;
        }
        self.end.bytes
    }

    /// Bytes of all buffers.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match self.shape {
            Shape::Readable | Shape::Writable => self.single.len.into(),
            Shape::Many => self.end.bytes,
        }
    }

    /// Bytes of those that are for the device to write.
    #[inline]
    pub(crate) fn writable_bytes(&self) -> u64 {
        match self.shape {
            Shape::Readable => 0,
            Shape::Writable => self.single.len.into(),
            Shape::Many => self.end.bytes.wrapping_sub(self.turn.bytes),
        }
    }

    /// The pieces in order, and which of them are for the device to write.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        let one = std::slice::from_ref(&self.single);
        match self.shape {
            Shape::Readable => Pieces { pieces: one, next: 0, turn: 1 },
            Shape::Writable => Pieces { pieces: one, next: 0, turn: 0 },
            Shape::Many => Pieces {
                pieces: self.slots.get(..self.end.pieces).unwrap_or_default(),
                next: 0,
                turn: self.turn.pieces,
            },
        }
    }

    /// The device-readable part.
    #[inline]
    pub(crate) fn reader(&self) -> Reader<'_> {
        let (pieces, len) = match self.shape {
            Shape::Readable => (std::slice::from_ref(&self.single), self.single.len as usize),
            Shape::Writable => (&[][..], 0),
            Shape::Many => (self.slots.get(..self.turn.pieces).unwrap_or_default(), to_usize(self.turn.bytes)),
        };
        Reader::of_len(pieces, Some(&self.pin), len)
    }

    /// The device-writable part.
    #[inline]
    pub(crate) fn writer(&self) -> Writer<'_> {
        self.writer_of(self.writable(), to_usize(self.writable_bytes()))
    }

    /// The device-writable part without the last `tail` bytes, and these; none where there are not that many.
    #[inline]
    pub(crate) fn writer_and_tail(&self, tail: usize) -> Option<(Writer<'_>, Writer<'_>)> {
        let before = to_usize(self.writable_bytes()).checked_sub(tail)?;
        // Mostly the tail is a buffer of its own.
        match self.writable().split_last() {
            Some((last, front)) if last.len as usize == tail => {
                Some((self.writer_of(front, before), self.writer_of(std::slice::from_ref(last), tail)))
            }
            _ => self.writer().split_at(before).ok(),
        }
    }

    #[inline]
    fn writable(&self) -> &[Segment] {
        match self.shape {
            Shape::Readable => &[],
            Shape::Writable => std::slice::from_ref(&self.single),
            Shape::Many => self.slots.get(self.turn.pieces..self.end.pieces).unwrap_or_default(),
        }
    }

    /// Of pieces that have `len` bytes together.
    #[inline]
    fn writer_of<'a>(&'a self, pieces: &'a [Segment], len: usize) -> Writer<'a> {
        Writer::of_len(pieces, Some(&self.pin), Some(&*self.pin), len)
    }
}

/// Bytes of a chain as this machine counts them. One of 32 bits does not get to what is behind its 4 GiB: such a chain
/// has a fault anyway.
#[inline(always)]
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The pieces of a chain, one by one.
pub(crate) struct Pieces<'a> {
    pieces: &'a [Segment],
    next: usize,
    /// Where those begin that are for the device to write.
    turn: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Buffer;

    #[inline(always)]
    fn next(&mut self) -> Option<Buffer> {
        let piece = self.pieces.get(self.next)?;
        let writable = self.next >= self.turn;
        self.next += 1;
        Some(Buffer { address: piece.address, len: piece.len, writable })
    }

    #[inline(always)]
    fn fold<T, F: FnMut(T, Buffer) -> T>(self, init: T, mut each: F) -> T {
        let buffer = |piece: &Segment, writable| Buffer { address: piece.address, len: piece.len, writable };
        // Most chains that are short are a single buffer.
        if let [single] = self.pieces
            && self.next == 0
        {
            return each(init, buffer(single, self.turn == 0));
        }
        let (readable, writable) = self.pieces.split_at_checked(self.turn).unwrap_or_default();
        let readable = readable.iter().skip(self.next).fold(init, |so_far, piece| each(so_far, buffer(piece, false)));
        let passed = self.next.saturating_sub(self.turn);
        writable.iter().skip(passed).fold(readable, |so_far, piece| each(so_far, buffer(piece, true)))
    }
}

impl Segment {
    /// A piece of a chain that is not guest memory.
    fn hole(address: u64, len: u32) -> Segment {
        Segment { address, host: Host::NULL, len }
    }

    /// The error for using a hole; none for guest memory.
    #[inline]
    pub(super) fn check(&self) -> Result<(), MemoryError> {
        if self.host.0.is_null() {
            return Err(MemoryError::Unmapped { address: self.address, len: u64::from(self.len) });
        }
        Ok(())
    }
}
