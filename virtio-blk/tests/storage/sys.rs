//! What a balloon does.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Gives back the pages of a file that holds guest memory.
pub(crate) fn punch(file: &File, start: u64, len: u64) -> io::Result<()> {
    let (start, len) = (start as libc::off_t, len as libc::off_t);
    // SAFETY: the call has no pointers, and the file is open. What is mapped of it stays mapped, and reads as zeros.
    match unsafe {
        libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, start, len)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
