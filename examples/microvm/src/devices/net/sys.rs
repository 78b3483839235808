//! Files that this process was started with.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A hold of our own on the open file with this number.
pub(super) fn open_file(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only, and touches no memory of this process; whatever the number is, it makes a new
    // descriptor or fails.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if own < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for this call, so that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}
