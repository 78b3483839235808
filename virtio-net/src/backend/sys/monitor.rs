//! Hearing of changes of network interfaces: `NETLINK_ROUTE`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

/// Messages that are taken at once, at most.
const MOST_MESSAGES: usize = 1024;

/// Readable when an interface has changed, in the network namespace that it was made in. What is read is not looked at: it
/// says that it is time to ask.
#[derive(Debug)]
pub(in crate::backend) struct Monitor(OwnedFd);

impl Monitor {
    pub(in crate::backend) fn new() -> io::Result<Monitor> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes no pointer.
        let socket = checked(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: it was opened just now, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: a `sockaddr_nl` is numbers: zeros are a valid one.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t; // a small constant
        address.nl_groups = libc::RTMGRP_LINK as u32; // a bit
        let len = size_of::<libc::sockaddr_nl>() as libc::socklen_t; // a small constant
        // SAFETY: the kernel reads `len` bytes of an address that is ours and lives for the call.
        checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
        Ok(Monitor(socket))
    }

    /// Whether something has changed since this was asked last.
    pub(in crate::backend) fn take(&self) -> bool {
        let mut changed = false;
        for _ in 0..MOST_MESSAGES {
            let mut message = [0_u8; 64];
            // SAFETY: the kernel writes at most that many bytes, to an array that is ours and lives for the call. The rest of
            // a longer message is dropped.
            let result = unsafe { libc::recv(self.0.as_raw_fd(), message.as_mut_ptr().cast(), message.len(), 0) };
            if result < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    // So many changes that some were lost.
                    Some(libc::ENOBUFS) => changed = true,
                    Some(libc::EINTR) => {}
                    _ => break,
                }
            } else {
                changed = true;
            }
        }
        changed
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
