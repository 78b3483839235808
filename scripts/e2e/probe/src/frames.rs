//! Frames as they are.

use std::io;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};

/// Sends frames of `len` bytes by an interface; how many.
pub(crate) fn send_all(interface: &str, frames: &[u8], len: usize) -> io::Result<usize> {
    // Among its addresses there is one that a socket can be bound to.
    let address = getifaddrs()?
        .filter(|one| one.interface_name == interface)
        .find_map(|one| one.address.as_ref().and_then(|address| address.as_link_addr().copied()))
        .ok_or_else(|| io::Error::other(format!("no interface {interface}")))?;
    // Of no protocol: it is to receive nothing.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &address)?;
    let mut sent = 0;
    for frame in frames.chunks_exact(len) {
        send(socket.as_raw_fd(), frame, MsgFlags::empty())?;
        sent += 1;
    }
    Ok(sent)
}
