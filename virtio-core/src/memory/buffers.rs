//! Buffers: where a driver says that they are, and pieces of them that outlive the look at one descriptor chain.

use std::fmt;
use std::sync::Arc;

use super::MemoryError;
use super::io::{Reader, Writer};
use super::regions::{RegionMap, Segment};
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
///
/// Send, not Sync: it belongs to one operation. No call blocks. What was taken of it has to be given up before it changes:
///
/// ```compile_fail,E0502
/// # fn reuse(buffers: &mut virtio_core::GuestBuffers) {
/// let slices = buffers.io_slices();
/// buffers.clear();
/// assert_eq!(slices.len(), 1);
/// # }
/// ```
#[derive(Default)]
pub struct GuestBuffers {
    segments: Vec<Segment>,
    slices: Vec<RawIoSlice>,
    /// Where the answer goes, which is no part of the pieces.
    trailer: Vec<Segment>,
    /// What keeps the pieces and the trailer mapped, where there are any.
    pin: Option<Arc<Pin>>,
    len: usize,
    readable: bool,
}

impl GuestBuffers {
    /// No buffers.
    pub fn new() -> GuestBuffers {
        GuestBuffers::default()
    }

    /// Lets go of everything, keeping the allocations.
    #[inline]
    pub fn clear(&mut self) {
        self.segments.clear();
        self.slices.clear();
        self.trailer.clear();
        self.pin = None;
        self.len = 0;
    }

    /// Holds what `reader` has left, in place of what was held.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing is held then.
    #[inline]
    pub fn hold_readable(&mut self, reader: &Reader<'_>) -> Result<(), MemoryError> {
        self.readable = true;
        match reader.whole() {
            Some(piece) => self.hold(std::iter::once(piece), reader.pin()),
            None => self.hold_pieces(reader.pieces(), reader.pin()),
        }
    }

    /// Holds what `writer` has left, in place of what was held.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing is held then.
    #[inline]
    pub fn hold_writable(&mut self, writer: &Writer<'_>) -> Result<(), MemoryError> {
        self.readable = false;
        match writer.whole() {
            Some(piece) => self.hold(std::iter::once(piece), writer.pin()),
            None => self.hold_pieces(writer.pieces(), writer.pin()),
        }
    }

    /// Holds what `writer` has left in addition, behind what is held already: several chains as one. False, and nothing has
    /// changed, where what is held is to be read, or is of another version of guest memory or another queue.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory; nothing has changed then.
    #[inline]
    pub fn hold_more_writable(&mut self, writer: &Writer<'_>) -> Result<bool, MemoryError> {
        if self.pin.is_none() {
            return self.hold_writable(writer).map(|()| true);
        }
        let same = match (&self.pin, writer.pin()) {
            (Some(own), Some(its)) => Arc::ptr_eq(own, its) && !self.readable,
            _ => false,
        };
        if same {
            let (pieces, slices, len) = (self.segments.len(), self.slices.len(), self.len);
            for piece in writer.pieces() {
                if let Err(error) = piece.check() {
                    self.segments.truncate(pieces);
                    self.slices.truncate(slices);
                    self.len = len;
                    return Err(error);
                }
                self.put(piece);
            }
        }
        Ok(same)
    }

    /// Holds what `writer` has left in addition, apart from everything else: the place of an answer that goes behind the data.
    /// To be called behind the others, which let go of it.
    ///
    /// # Errors
    /// [`MemoryError::Unmapped`] where a piece is not guest memory, or not of the version of memory, or the queue, of what is
    /// held; nothing is held then.
    #[inline]
    pub fn hold_trailer(&mut self, writer: &Writer<'_>) -> Result<(), MemoryError> {
        self.trailer.clear();
        match writer.whole() {
            Some(piece) => self.hold_behind(piece, writer.pin()),
            None => writer.pieces().try_for_each(|piece| self.hold_behind(piece, writer.pin())),
        }
    }

    #[inline]
    fn hold_behind(&mut self, piece: Segment, pin: Option<&Arc<Pin>>) -> Result<(), MemoryError> {
        let same = match (&self.pin, pin) {
            (Some(own), Some(its)) => Arc::ptr_eq(own, its),
            (None, Some(its)) => {
                self.pin = Some(its.clone());
                true
            }
            (_, None) => false,
        };
        if !same || piece.check().is_err() {
            self.clear();
            return Err(MemoryError::Unmapped { address: piece.address, len: piece.len.into() });
        }
        self.trailer.push(piece);
        Ok(())
    }

    /// Writes the start of the [trailer](Self::hold_trailer), marking in the log that is current for `view`.
    ///
    /// # Errors
    /// [`MemoryError::Short`] where the trailer has less room; nothing has been written then.
    #[inline]
    pub fn write_trailer(&self, view: &MemoryView, data: &[u8]) -> Result<(), MemoryError> {
        let len = self.trailer.iter().map(|piece| piece.len as usize).sum();
        Writer::of_len(&self.trailer, self.pin.as_ref(), Some(&view.pin), len).write(data)
    }

    #[inline(never)]
    fn hold_pieces(
        &mut self,
        pieces: impl Iterator<Item = Segment>,
        pin: Option<&Arc<Pin>>,
    ) -> Result<(), MemoryError> {
        self.hold(pieces, pin)
    }

    #[inline]
    fn hold(&mut self, pieces: impl Iterator<Item = Segment>, pin: Option<&Arc<Pin>>) -> Result<(), MemoryError> {
        self.clear();
        // First what keeps the pieces mapped: at no time is there a piece without it.
        self.pin = pin.cloned();
        for piece in pieces {
            if let Err(error) = piece.check() {
                self.clear();
                return Err(error);
            }
            self.put(piece);
        }
        Ok(())
    }

    #[inline]
    fn put(&mut self, piece: Segment) {
        self.slices.push(RawIoSlice { base: piece.host.0, len: piece.len as usize });
        self.len += piece.len as usize;
        self.segments.push(piece);
    }

    /// Holds what `other` holds, too, behind what is held already. False, and nothing has changed, where the two are of
    /// different directions, or of different versions of guest memory or of different queues.
    #[must_use = "where it is false, nothing was added"]
    pub fn append(&mut self, other: &GuestBuffers) -> bool {
        let same = match (&self.pin, &other.pin) {
            (Some(own), Some(its)) => Arc::ptr_eq(own, its) && self.readable == other.readable,
            (None, _) | (_, None) => false,
        };
        if same {
            self.segments.extend_from_slice(&other.segments);
            self.slices.extend_from_slice(&other.slices);
            self.len += other.len;
        }
        same
    }

    /// Lets go of all but the first `len` bytes; of nothing where there are no more.
    pub fn truncate(&mut self, len: usize) {
        let (mut count, mut left) = (0, len);
        for (segment, slice) in self.segments.iter_mut().zip(&mut self.slices) {
            if left == 0 {
                break;
            }
            let now = left.min(slice.len);
            // No longer than the piece was, which is the length of a `u32`.
            segment.len = u32::try_from(now).unwrap_or(segment.len);
            slice.len = now;
            left -= now;
            count += 1;
        }
        self.segments.truncate(count);
        self.slices.truncate(count);
        self.len = len - left;
    }

    /// Takes away what is behind the first `at` bytes, which stays held by what is returned.
    #[must_use = "what is not kept is let go of"]
    pub fn split_off(&mut self, at: usize) -> GuestBuffers {
        let mut tail = GuestBuffers { readable: self.readable, ..GuestBuffers::new() };
        // The pieces were checked when they were taken hold of, and there are that many bytes.
        if let Ok((_, rest)) = self.reader().split_at(at.min(self.len)) {
            let _ = tail.hold(rest.pieces(), rest.pin());
        }
        self.truncate(at);
        tail
    }

    /// The version of memory that the pieces were found in, where there are any.
    #[inline]
    pub(super) fn map(&self) -> Option<&RegionMap> {
        self.pin.as_ref().map(|pin| &*pin.map)
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
        Reader::of_len(&self.segments, self.pin.as_ref(), self.len)
    }

    /// Writes the pieces, marking in the log that is current for `view`; an empty writer where they are not writable.
    pub fn writer<'a>(&'a self, view: &'a MemoryView) -> Writer<'a> {
        let segments = if self.readable { &[][..] } else { &self.segments[..] };
        Writer::of_len(segments, self.pin.as_ref(), Some(&view.pin), if self.readable { 0 } else { self.len })
    }

    /// Writes the pieces without marking them, for a backend that has no view: whoever gave it the buffers calls
    /// [`mark_written`](Self::mark_written) when it has finished. An empty writer where they are not writable.
    pub fn unmarked_writer(&self) -> Writer<'_> {
        let segments = if self.readable { &[][..] } else { &self.segments[..] };
        Writer::of_len(segments, self.pin.as_ref(), None, if self.readable { 0 } else { self.len })
    }

    /// Marks the first `len` bytes as written, in the log that is current for `view`: for data that a system call put
    /// there. To be called when the operation has completed, before the driver is told.
    #[inline]
    pub fn mark_written(&self, view: &MemoryView, len: usize) {
        if view.pin.map.marks && !self.readable {
            self.mark(view, len);
        }
    }

    #[cold]
    fn mark(&self, view: &MemoryView, len: usize) {
        let mut left = len as u64;
        for piece in &self.segments {
            let now = left.min(u64::from(piece.len));
            if now == 0 {
                return;
            }
            view.pin.map.mark(piece.address, now);
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
