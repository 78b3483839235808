//! Pieces of guest memory that outlive the look at one descriptor chain.

use std::fmt;
use std::sync::Arc;

use super::MemoryError;
use super::descriptors::{Descriptors, NEXT, WRITE};
use super::io::{Reader, Writer};
use super::table::{Place, Segment};
use super::view::{MemoryView, Pin};

/// A buffer of a descriptor chain, or a piece of one: where the driver says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its device-visible address.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Whether it is for the device to write.
    pub writable: bool,
}

impl Buffer {
    /// A buffer for the device to read.
    pub fn readable(address: u64, len: u32) -> Buffer {
        Buffer { address, len, writable: false }
    }

    /// A buffer for the device to write.
    pub fn writable(address: u64, len: u32) -> Buffer {
        Buffer { address, len, writable: true }
    }
}

/// The pieces of one chain while it is looked at. Reused from chain to chain.
pub(crate) struct SegmentList {
    pin: Arc<Pin>,
    shape: Shape,
    /// The only piece of a chain that has one.
    only: Segment,
    /// Room for pieces; those of any other chain come first. All pieces were found in `pin`'s table, or are holes.
    slots: Vec<Segment>,
    /// Where the readable pieces end, and the writable ones start.
    turn: Extent,
    /// Where the writable pieces end.
    end: Extent,
    /// Whether a writable buffer was added.
    writing: bool,
    /// As `slots`, for readable pieces that came behind writable ones, until the whole chain is there.
    late: Vec<Segment>,
    /// Empty between chains.
    late_end: Extent,
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
struct Extent {
    pieces: usize,
    bytes: u64,
}

impl SegmentList {
    /// A list with room for `capacity` pieces; it grows where that is not enough.
    pub(crate) fn new(view: &MemoryView, capacity: usize) -> SegmentList {
        SegmentList {
            pin: view.pin.clone(),
            shape: Shape::Many,
            only: Segment::hole(0, 0),
            slots: vec![Segment::hole(0, 0); capacity],
            turn: Extent::default(),
            end: Extent::default(),
            writing: false,
            late: Vec::new(),
            late_end: Extent::default(),
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

    /// Makes one buffer the content of the list, if it is as usual: not empty, and wholly in the region of the last one.
    #[inline(always)]
    pub(crate) fn only(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        self.only_in(view.place(), address, len, writable)
    }

    /// The same, in any one region.
    #[inline(never)]
    pub(crate) fn only_elsewhere(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        self.only_in(view.place_of(address), address, len, writable)
    }

    #[inline(always)]
    fn only_in(&mut self, place: Place, address: u64, len: u32, writable: bool) -> bool {
        let Some(piece) = place.whole(address, len) else { return false };
        self.only = piece;
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

    /// Whether a buffer of this direction may follow.
    pub(crate) fn in_order(&self, writable: bool) -> bool {
        writable || !self.writing
    }

    /// Adds any buffer that is not empty. What is not guest memory is added as a hole that cannot be accessed; says
    /// whether there was none.
    pub(crate) fn add(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        let mapped;
        if !self.in_order(writable) {
            // Not a chain that a driver may build, but its parts can be told apart.
            (self.late_end, mapped) = put_buffer(&mut self.late, self.late_end, view, address, len);
            return mapped;
        }
        if writable && !self.writing {
            self.writing = true;
            self.turn = self.end;
        }
        (self.end, mapped) = put_buffer(&mut self.slots, self.end, view, address, len);
        mapped
    }

    /// The chain is complete, and all in it was put by a [`Filling`]; its bytes.
    #[inline(always)]
    pub(crate) fn finish_usual(&mut self) -> u64 {
        if !self.writing {
            self.turn = self.end;
        }
        self.end.bytes
    }

    /// The chain is complete; its bytes.
    pub(crate) fn finish(&mut self) -> u64 {
        self.finish_usual();
        if self.late_end.pieces != 0 {
            self.merge_late();
        }
        self.end.bytes
    }

    /// Moves the late pieces to the end of the readable ones.
    #[cold]
    fn merge_late(&mut self) {
        let late = std::mem::take(&mut self.late_end);
        for piece in self.late.iter().take(late.pieces) {
            self.end = put(&mut self.slots, self.end, *piece);
        }
        if let Some(pieces) = self.slots.get_mut(self.turn.pieces..self.end.pieces) {
            pieces.rotate_right(late.pieces);
        }
        self.turn = Extent { pieces: self.turn.pieces + late.pieces, bytes: self.turn.bytes + late.bytes };
    }

    /// Bytes of all buffers.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match self.shape {
            Shape::Readable | Shape::Writable => self.only.len.into(),
            Shape::Many => self.end.bytes,
        }
    }

    /// Bytes of those that are for the device to write.
    #[inline]
    pub(crate) fn writable_bytes(&self) -> u64 {
        match self.shape {
            Shape::Readable => 0,
            Shape::Writable => self.only.len.into(),
            Shape::Many => self.end.bytes.wrapping_sub(self.turn.bytes),
        }
    }

    /// The pieces in order, and which of them are for the device to write.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        let one = std::slice::from_ref(&self.only);
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
            Shape::Readable => (std::slice::from_ref(&self.only), self.only.len as usize),
            Shape::Writable => (&[][..], 0),
            Shape::Many => (self.slots.get(..self.turn.pieces).unwrap_or_default(), self.turn.bytes as usize),
        };
        Reader::of_len(pieces, std::slice::from_ref(&self.pin), len)
    }

    /// The device-writable part.
    #[inline]
    pub(crate) fn writer(&self) -> Writer<'_> {
        let pieces = match self.shape {
            Shape::Readable => &[][..],
            Shape::Writable => std::slice::from_ref(&self.only),
            Shape::Many => self.slots.get(self.turn.pieces..self.end.pieces).unwrap_or_default(),
        };
        Writer::of_len(pieces, std::slice::from_ref(&self.pin), Some(&*self.pin), self.writable_bytes() as usize)
    }
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
        if let [only] = self.pieces
            && self.next == 0
        {
            return each(init, buffer(only, self.turn == 0));
        }
        let (readable, writable) = self.pieces.split_at_checked(self.turn).unwrap_or_default();
        let readable = readable.iter().skip(self.next).fold(init, |so_far, piece| each(so_far, buffer(piece, false)));
        let passed = self.next.saturating_sub(self.turn);
        writable.iter().skip(passed).fold(readable, |so_far, piece| each(so_far, buffer(piece, true)))
    }
}

/// A list while the pieces of a chain are put into it.
///
/// What changes with every buffer is held here, where the compiler can keep it in registers; [`stop`](Self::stop) gives
/// it back to the list.
pub(crate) struct Filling<'a> {
    /// The region of the last look-up.
    place: Place,
    slots: &'a mut [Segment],
    /// Where the pieces end that were put.
    now: Extent,
    turn: &'a mut Extent,
    end: &'a mut Extent,
    writing: &'a mut bool,
}

/// What came behind a run of usual descriptors.
pub(crate) enum Behind {
    /// Nothing: the chain's last is among them, and this is it.
    Last((u64, u64)),
    /// Something that is not as usual, and was read but not added.
    Odd((u64, u64)),
}

impl Filling<'_> {
    /// Adds a buffer that is as usual: not empty, and wholly in the region of the last one. Says whether it was; if not,
    /// nothing has happened.
    #[inline(always)]
    pub(crate) fn put(&mut self, (address, rest): (u64, u64)) -> bool {
        let Some(piece) = self.place.whole(address, rest as u32) else { return false };
        let Some(slot) = self.slots.get_mut(self.now.pieces) else { return false };
        *slot = piece;
        self.now = Extent { pieces: self.now.pieces + 1, bytes: self.now.bytes + u64::from(piece.len) };
        true
    }

    /// Adds the buffers of a chain from `current` on, which is descriptor number `index` of a table, for as long as they are
    /// as usual, in ascending order in the table, and the writable behind the readable ones. How many were added, and what
    /// came behind them.
    ///
    /// `usual` is what the second half of a descriptor has above `SHIFT`, where `MASK` is set, if it is device-readable and
    /// followed by its neighbour: flags in the lower 16 bits, and what grows by `STEP` from one descriptor to the next.
    #[inline(always)]
    pub(crate) fn put_run<const SHIFT: u32, const MASK: u32, const STEP: u32>(
        &mut self,
        table: &Descriptors<'_>,
        index: u32,
        (mut address, mut rest): (u64, u64),
        mut usual: u32,
    ) -> (u32, Behind) {
        let (place, before) = (self.place, self.now);
        let mut ahead = table.from(index + 1);
        let room = self.slots.get_mut(before.pieces..).unwrap_or_default();
        let most = (ahead.left() as usize).min(room.len());
        let (mut slot, mut left, mut bytes) = (room.as_mut_ptr(), most, before.bytes);
        while left != 0 {
            let oddity = (rest >> SHIFT) as u32 & MASK ^ usual;
            if oddity != 0 {
                if *self.writing || oddity as u16 & !NEXT != WRITE {
                    break;
                }
                *self.writing = true;
                *self.turn = Extent { pieces: before.pieces + most - left, bytes };
                usual |= u32::from(WRITE);
                if oddity as u16 != WRITE || oddity >> 16 != 0 {
                    break;
                }
            }
            let Some(piece) = place.whole(address, rest as u32) else { break };
            // SAFETY: this borrows the room, and `left` counts the slots that are left of it.
            unsafe { slot.write(piece) };
            // SAFETY: as above; perhaps behind the last.
            slot = unsafe { slot.add(1) };
            bytes += u64::from(piece.len);
            usual = usual.wrapping_add(STEP);
            left -= 1;
            // SAFETY: `left` has counted the descriptors too.
            (address, rest) = unsafe { ahead.next_unchecked() };
        }
        let passed = most - left;
        self.now = Extent { pieces: before.pieces + passed, bytes };
        let last = ((rest >> SHIFT) as u32 & MASK ^ usual) as u16 == NEXT && self.put((address, rest));
        if last {
            return (passed as u32 + 1, Behind::Last((address, rest)));
        }
        (passed as u32, Behind::Odd((address, rest)))
    }

    /// Whether what is put is for the device to write.
    #[inline(always)]
    pub(crate) fn is_writing(&self) -> bool {
        *self.writing
    }

    /// What is put from now on is for the device to write.
    #[inline(always)]
    pub(crate) fn turn(&mut self) {
        *self.writing = true;
        *self.turn = self.now;
    }

    /// Gives the list back what was put.
    #[inline(always)]
    pub(crate) fn stop(self) {
        *self.end = self.now;
    }
}

/// Puts a piece into the list that ends at `end`; the new end.
#[inline(always)]
fn put(slots: &mut Vec<Segment>, end: Extent, piece: Segment) -> Extent {
    match slots.get_mut(end.pieces) {
        Some(slot) => *slot = piece,
        None => grow(slots, piece),
    }
    Extent { pieces: end.pieces + 1, bytes: end.bytes + u64::from(piece.len) }
}

#[cold]
fn grow(slots: &mut Vec<Segment>, piece: Segment) {
    slots.push(piece);
    slots.resize(slots.capacity(), Segment::hole(0, 0));
}

/// Puts a buffer into the list that ends at `end`: in several pieces where it lies in several regions, with a hole where
/// it is not guest memory. The new end, and whether all is guest memory.
fn put_buffer(
    slots: &mut Vec<Segment>,
    mut end: Extent,
    view: &MemoryView,
    mut address: u64,
    mut left: u32,
) -> (Extent, bool) {
    while let Some(piece) = view.find(address, left) {
        end = put(slots, end, piece);
        left -= piece.len;
        if left == 0 {
            return (end, true);
        }
        address = address.wrapping_add(u64::from(piece.len));
        // Not around the end of the address space: nothing can be at its last address that is longer than a byte.
        if address == 0 {
            address = u64::MAX;
            break;
        }
    }
    (put(slots, end, Segment::hole(address, left)), false)
}

impl Segment {
    /// A piece of a chain that is not guest memory.
    fn hole(address: u64, len: u32) -> Segment {
        Segment { address, host: std::ptr::null_mut(), len }
    }

    /// The error for using a hole; none for guest memory.
    #[inline]
    pub(super) fn check(&self) -> Result<(), MemoryError> {
        if self.host.is_null() {
            return Err(MemoryError::Unmapped { address: self.address, len: u64::from(self.len) });
        }
        Ok(())
    }
}

/// A pointer and a length with the layout of the C library's `struct iovec`.
///
/// A backend's system calls take slices of these. The memory is guest memory: it may change at any time, and is mapped
/// only while the [`GuestBuffers`] that it came from lives.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawIoSlice {
    /// Where it starts.
    pub base: *mut u8,
    /// Its length in bytes.
    pub len: usize,
}

// SAFETY: a bare pointer; using it is up to unsafe code that argues for itself.
unsafe impl Send for RawIoSlice {}
// SAFETY: as above.
unsafe impl Sync for RawIoSlice {}

/// Pieces of guest memory that an operation in flight holds on to.
///
/// Filled from the [`Reader`] or [`Writer`] of a chain; the memory then stays mapped while this lives, whatever happens
/// to the chain or to guest memory's layout. Reused from operation to operation, it allocates nothing once it has
/// grown.
#[derive(Default)]
pub struct GuestBuffers {
    segments: Vec<Segment>,
    slices: Vec<RawIoSlice>,
    pins: Vec<Arc<Pin>>,
    len: usize,
    readable: bool,
}

impl GuestBuffers {
    /// No buffers.
    pub fn new() -> GuestBuffers {
        GuestBuffers::default()
    }

    /// Lets go of everything, keeping the allocations.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.slices.clear();
        self.pins.clear();
        self.len = 0;
    }

    /// Holds what `reader` has left, in place of what was held.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing is held then.
    pub fn hold_readable(&mut self, reader: &Reader<'_>) -> Result<(), MemoryError> {
        self.clear();
        self.readable = true;
        self.append(reader.pieces(), reader.pins())
    }

    /// Holds what `writer` has left, in place of what was held.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing is held then.
    pub fn hold_writable(&mut self, writer: &Writer<'_>) -> Result<(), MemoryError> {
        self.clear();
        self.readable = false;
        self.append(writer.pieces(), writer.pins())
    }

    fn append(&mut self, pieces: impl Iterator<Item = Segment>, pins: &[Arc<Pin>]) -> Result<(), MemoryError> {
        for piece in pieces {
            if let Err(error) = piece.check() {
                self.clear();
                return Err(error);
            }
            self.slices.push(RawIoSlice { base: piece.host, len: piece.len as usize });
            self.len += piece.len as usize;
            self.segments.push(piece);
        }
        for pin in pins {
            if !self.pins.iter().any(|held| Arc::ptr_eq(held, pin)) {
                self.pins.push(pin.clone());
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the driver gave these pieces for the device to write.
    pub fn is_writable(&self) -> bool {
        !self.readable
    }

    /// The pieces as the system's vectored calls want them. They must not be used once this has been cleared or
    /// dropped, and only be written where [`is_writable`](Self::is_writable).
    pub fn io_slices(&self) -> &[RawIoSlice] {
        &self.slices
    }

    /// Reads the pieces. What is read of writable pieces is whatever the driver, or the device before, left there.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.segments, &self.pins)
    }

    /// Writes the pieces, marking in the log that is current for `view`; an empty writer where they are not writable.
    pub fn writer<'a>(&'a self, view: &'a MemoryView) -> Writer<'a> {
        let segments = if self.readable { &[][..] } else { &self.segments[..] };
        Writer::new(segments, &self.pins, Some(&view.pin))
    }

    /// Writes the pieces without marking them, for a backend that has no view: whoever gave it the buffers calls
    /// [`mark_written`](Self::mark_written) when it has finished. An empty writer where they are not writable.
    pub fn unmarked_writer(&self) -> Writer<'_> {
        let segments = if self.readable { &[][..] } else { &self.segments[..] };
        Writer::new(segments, &self.pins, None)
    }

    /// Marks the first `len` bytes as written, in the log that is current for `view`: for data that a system call put
    /// there. To be called when the operation has completed, before the driver is told.
    pub fn mark_written(&self, view: &MemoryView, len: usize) {
        if !view.pin.table.marks || self.readable {
            return;
        }
        let mut left = len as u64;
        for piece in &self.segments {
            let now = left.min(u64::from(piece.len));
            if now == 0 {
                return;
            }
            view.pin.table.mark(piece.address, now);
            left -= now;
        }
    }
}

impl fmt::Debug for GuestBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.readable { "readable" } else { "writable" };
        write!(f, "GuestBuffers({} {kind} bytes in {} pieces)", self.len, self.segments.len())
    }
}
