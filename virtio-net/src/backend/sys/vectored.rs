//! One frame per call, to and from guest memory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use virtio_core::memory::RawIoSlice;

use super::super::{Packet, Room};

/// The most pieces that one system call takes.
const MOST_PIECES: usize = 1024;

// A slice of one can be passed as a slice of the other.
const _: () = {
    assert!(size_of::<RawIoSlice>() == size_of::<libc::iovec>());
    assert!(align_of::<RawIoSlice>() == align_of::<libc::iovec>());
    assert!(std::mem::offset_of!(RawIoSlice, len) == std::mem::offset_of!(libc::iovec, iov_len));
};

/// Writes `prefix` and the frame of `packet`, in one call; how many bytes of them. What has more pieces than a call takes is
/// put together in `spare` before.
#[inline]
pub(in crate::backend) fn write_packet(
    mut file: &File,
    prefix: &[u8],
    packet: &mut Packet<'_>,
    spare: &mut Vec<u8>,
) -> io::Result<usize> {
    let pieces = packet.io_slices(prefix)?;
    if pieces.len() <= MOST_PIECES {
        let vectors = pieces.as_ptr().cast::<libc::iovec>();
        let count = libc::c_int::try_from(pieces.len()).map_err(io::Error::other)?;
        // SAFETY: the array has `count` entries of the right layout (asserted above). What they point at is `prefix` or
        // memory that the packet borrows, which keeps it mapped for the whole call, and the kernel only reads it. No
        // reference into guest memory exists: a driver that writes it meanwhile sends a mixture of old and new bytes.
        let written = unsafe { libc::writev(file.as_raw_fd(), vectors, count) };
        return usize::try_from(written).map_err(|_| io::Error::last_os_error());
    }
    spare.clear();
    spare.extend_from_slice(prefix);
    packet.copy_into(spare)?;
    file.write(spare)
}

/// What a call has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Read {
    /// Bytes, those of the prefix included.
    pub(in crate::backend) len: usize,
    /// There was room for no more, so there may have been more.
    pub(in crate::backend) full: bool,
}

/// Reads a frame into `prefix` and the `room` behind it, in one call.
#[inline]
pub(in crate::backend) fn read_packet(file: &File, prefix: &mut [u8], room: &mut Room<'_>) -> io::Result<Read> {
    let pieces = room.io_slices(prefix);
    let pieces = pieces.get(..MOST_PIECES).unwrap_or(pieces);
    let vectors = pieces.as_ptr().cast::<libc::iovec>();
    let count = libc::c_int::try_from(pieces.len()).map_err(io::Error::other)?;
    // SAFETY: the array has `count` entries of the right layout (asserted above). What they point at is `prefix`, lent for
    // writing, or memory that the room borrows, which keeps it mapped for the whole call and has nothing in it but the
    // device's own buffers and what the driver gave to be written: a piece is one of these, or several that follow each
    // other without a gap. No reference into guest memory exists: a driver that writes it meanwhile changes bytes, no more.
    let read = unsafe { libc::readv(file.as_raw_fd(), vectors, count) };
    let len = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    let mut left = len;
    let full = pieces.iter().all(|piece| {
        let fits = piece.len <= left;
        left = left.saturating_sub(piece.len);
        fits
    });
    Ok(Read { len, full })
}
