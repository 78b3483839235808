//! Pieces of guest memory that outlive the look at one descriptor chain.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use super::MemoryError;
use super::io::{Reader, Writer};
use super::table::Segment;
use super::view::{MemoryView, Pin};

/// The pieces of one chain while it is looked at. Reused from chain to chain.
pub(crate) struct SegmentList {
    pin: Arc<Pin>,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
}

impl SegmentList {
    /// A list with room for `capacity` pieces of each direction.
    pub(crate) fn new(view: &MemoryView, capacity: usize) -> SegmentList {
        SegmentList {
            pin: view.pin.clone(),
            readable: Vec::with_capacity(capacity),
            writable: Vec::with_capacity(capacity),
        }
    }

    /// Empties the list.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.readable.clear();
        self.writable.clear();
    }

    /// Takes over a view that was refreshed. The list must be empty.
    pub(crate) fn renew(&mut self, view: &MemoryView) {
        self.clear();
        self.pin = view.pin.clone();
    }

    /// Adds a buffer. What is not guest memory is added as a hole that cannot be accessed; says whether there was one.
    #[inline]
    pub(crate) fn push(&mut self, view: &MemoryView, address: u64, len: u32, writable: bool) -> bool {
        debug_assert!(Arc::ptr_eq(&view.pin, &self.pin), "the list's pieces belong to another version");
        let list = if writable { &mut self.writable } else { &mut self.readable };
        match view.pin.table.piece(address, len, &view.hint) {
            Some(piece) if piece.len == len => {
                list.push(piece);
                true
            }
            Some(piece) => push_spanning(list, &view.pin, piece, len),
            None => {
                list.push(Segment::hole(address, len));
                false
            }
        }
    }

    /// Whether a writable piece has been added.
    #[inline]
    pub(crate) fn has_writable(&self) -> bool {
        !self.writable.is_empty()
    }

    /// The device-readable part.
    #[inline]
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.readable, std::slice::from_ref(&self.pin))
    }

    /// The device-writable part.
    #[inline]
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer::new(&self.writable, std::slice::from_ref(&self.pin), Some(&self.pin))
    }
}

/// A buffer that lies in several regions.
#[cold]
fn push_spanning(list: &mut Vec<Segment>, pin: &Pin, first: Segment, len: u32) -> bool {
    list.push(first);
    let (mut address, mut left) = (first.address, len);
    let mut last = first;
    let hint = Cell::new(0);
    loop {
        address = address.wrapping_add(u64::from(last.len));
        left -= last.len;
        if left == 0 {
            return true;
        }
        match pin.table.piece(address, left, &hint) {
            // Address zero is only reached by wrapping around.
            Some(piece) if address != 0 => {
                list.push(piece);
                last = piece;
            }
            _ => {
                list.push(Segment::hole(address, left));
                return false;
            }
        }
    }
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

    /// Adds what `writer` has left behind the writable pieces held already; for messages that fill several chains.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory, or readable pieces are held; nothing is held then.
    pub fn append_writable(&mut self, writer: &Writer<'_>) -> Result<(), MemoryError> {
        if self.readable && !self.segments.is_empty() {
            let error = MemoryError::Unmapped { address: self.segments[0].address, len: 0 };
            self.clear();
            return Err(error);
        }
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
