//! Packet sockets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A packet socket that is to be bound to the interface of this number, with a virtio header before each frame if so wanted.
pub(super) fn packet_socket(interface: u32, header: bool) -> io::Result<OwnedFd> {
    let everything = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let socket = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: it was opened just now, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let header = libc::c_int::from(header);
    // SAFETY: the kernel reads one `int`, which is ours and lives for the call.
    checked(unsafe {
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_VNET_HDR);
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const header).cast(), 4)
    })?;
    // SAFETY: a `sockaddr_ll` is numbers: zeros are a valid one.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = everything;
    address.sll_ifindex = interface as libc::c_int;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of an address that is ours and lives for the call.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(socket)
}

/// Waits for one of the files for as long as it takes a machine that is busy; which of them is ready.
pub(super) fn wait(files: &[(RawFd, libc::c_short)], milliseconds: libc::c_int) -> Vec<bool> {
    let mut polls: Vec<_> =
        files.iter().map(|(fd, events)| libc::pollfd { fd: *fd, events: *events, revents: 0 }).collect();
    // SAFETY: the kernel reads and writes as many structs as there are, which are ours and live for the call.
    checked(unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) }).expect("poll");
    polls.iter().map(|poll| poll.revents != 0).collect()
}

/// Makes a character device.
pub(super) fn make_device(path: &str, device: (u32, u32)) -> io::Result<()> {
    let path = std::ffi::CString::new(path)?;
    let number = libc::makedev(device.0, device.1);
    // SAFETY: the path ends with a zero, and lives for the call.
    checked(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, number) }).map(drop)
}

pub(super) fn raw(file: &Arc<dyn AsRawFd + Send + Sync>) -> RawFd {
    file.as_raw_fd()
}
