//! System calls that move frames between files and guest memory, and those that the standard library does not have.

mod interface;
mod monitor;
mod tun;
mod vectored;

pub(super) use {interface::*, monitor::*, tun::*, vectored::*};

/// What the system says when a call gives -1.
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
