//! The system calls that move data between a file and guest memory, and those that the standard library does not have.

#![allow(unsafe_code)]

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod zones;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use virtio_core::memory::RawIoSlice;

use super::{Operation, OperationKind};

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::*;
#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(target_os = "linux")]
pub(super) use zones::*;

/// The most pieces that one system call takes.
const MOST_PIECES: usize = 1024;

// A slice of one can be passed as a slice of the other.
const _: () = {
    assert!(size_of::<RawIoSlice>() == size_of::<libc::iovec>());
    assert!(align_of::<RawIoSlice>() == align_of::<libc::iovec>());
    assert!(std::mem::offset_of!(RawIoSlice, len) == std::mem::offset_of!(libc::iovec, iov_len));
};

/// Reads into, or writes from, the memory of `operation`, until all is done or the file takes or has no more. Each call
/// goes to the file that `file` names for its pieces and offset. Returns how many bytes were moved.
pub(super) fn transfer<'a>(operation: &Operation, file: impl Fn(&[RawIoSlice], u64) -> &'a File) -> io::Result<u64> {
    let moved = drive(operation.io_slices(), operation.offset(), |pieces, offset| {
        call(file(pieces, u64::try_from(offset).unwrap_or(0)), operation, pieces, offset)
    })?;
    Ok(moved as u64)
}

/// Has `call` move `pieces` to or from `offset` on, again and again where it moves less than all of them.
pub(super) fn drive(
    mut pieces: &[RawIoSlice],
    offset: u64,
    mut call: impl FnMut(&[RawIoSlice], libc::off_t) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    // Bytes of the first piece that were moved already.
    let mut skip = 0;
    loop {
        while let Some((first, rest)) = pieces.split_first()
            && skip >= first.len
        {
            skip -= first.len;
            pieces = rest;
        }
        let Some(first) = pieces.first() else {
            return Ok(done);
        };
        let tail = [RawIoSlice { base: first.base.wrapping_add(skip), len: first.len - skip }];
        let now = if skip == 0 { pieces.get(..MOST_PIECES).unwrap_or(pieces) } else { &tail };
        let offset = offset.checked_add(done as u64).and_then(|offset| libc::off_t::try_from(offset).ok());
        match call(now, offset.ok_or(io::ErrorKind::FileTooLarge)?) {
            Ok(0) => return Ok(done),
            Ok(moved) => {
                done += moved;
                skip += moved;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// One system call on `pieces`, which are pieces of `operation`'s memory, at most `MOST_PIECES`.
fn call(file: &File, operation: &Operation, pieces: &[RawIoSlice], offset: libc::off_t) -> io::Result<usize> {
    let fd = file.as_raw_fd();
    let vectors = pieces.as_ptr().cast::<libc::iovec>();
    let count = libc::c_int::try_from(pieces.len()).map_err(io::Error::other)?;
    let moved = match operation.kind() {
        OperationKind::Read => {
            // SAFETY: the array has `count` entries of the right layout (asserted above). What they point at is guest
            // memory that the borrowed operation keeps mapped for the whole call, and a read's memory is the driver's
            // to be written. No reference into it exists, so a driver that writes it meanwhile changes bytes, no more.
            unsafe { libc::preadv(fd, vectors, count, offset) }
        }
        OperationKind::Write { .. } => {
            // SAFETY: as above, and the kernel only reads the memory: a driver that writes it meanwhile gets a mixture
            // of old and new bytes on its disk.
            unsafe { libc::pwritev(fd, vectors, count, offset) }
        }
        _ => 0,
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

/// The flags that a file was opened with.
pub(super) fn open_flags(file: &File) -> io::Result<libc::c_int> {
    // SAFETY: F_GETFL takes no argument and changes nothing.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    checked(flags).map(|()| flags)
}

/// What the system says when a call gives -1.
fn checked(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
