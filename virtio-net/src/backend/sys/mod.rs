//! System calls that move frames between files and guest memory, and those that the standard library does not have.

#[cfg(all(feature = "socket", unix))]
mod datagrams;
#[cfg(all(feature = "tap", target_os = "linux"))]
mod interface;
#[cfg(all(feature = "tap", target_os = "linux"))]
mod monitor;
#[cfg(all(feature = "tap", target_os = "linux"))]
mod tun;
#[cfg(all(feature = "tap", target_os = "linux"))]
mod vectored;

#[cfg(all(feature = "socket", unix))]
pub(super) use datagrams::*;
#[cfg(all(feature = "tap", target_os = "linux"))]
pub(super) use {interface::*, monitor::*, tun::*, vectored::*};

/// What the system says when a call gives -1.
#[cfg(all(feature = "tap", target_os = "linux"))]
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
