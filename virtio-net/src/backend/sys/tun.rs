//! What is said to taps: `linux/if_tun.h`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::checked;
use super::interface::{Name, request};

/// UDP tunnels that are to be cut, and those whose own checksum is not complete either: newer than the C library.
pub(in crate::backend) const TUN_F_UDP_TUNNEL_GSO: libc::c_uint = 0x80;
pub(in crate::backend) const TUN_F_UDP_TUNNEL_GSO_CSUM: libc::c_uint = 0x100;

/// Makes `file`, which is `/dev/net/tun`, a queue of the interface of this name, which is made if there is none.
pub(in crate::backend) fn attach(file: &File, name: &Name, flags: libc::c_int) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short; // 16 bits by definition
    // SAFETY: the kernel reads and writes one `ifreq`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }).map(drop)
}

/// The name of the interface that `file` is a queue of, and its flags.
pub(in crate::backend) fn attached(file: &File) -> io::Result<(Name, libc::c_int)> {
    let mut request = request(&Name::default());
    // SAFETY: the kernel writes one `ifreq`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNGETIFF, &raw mut request) })?;
    // SAFETY: the kernel has put the flags there; they were zeros before, and any bits are flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok((Name::of(&request), libc::c_int::from(flags) & 0xffff))
}

/// Turns the queue on or off.
pub(in crate::backend) fn enable(file: &File, on: bool) -> io::Result<()> {
    let mut request = request(&Name::default());
    let flags = if on { libc::IFF_ATTACH_QUEUE } else { libc::IFF_DETACH_QUEUE };
    request.ifr_ifru.ifru_flags = flags as libc::c_short; // 16 bits by definition
    // SAFETY: the kernel reads one `ifreq`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETQUEUE, &raw mut request) }).map(drop)
}

/// Says what may be left to do with frames that are read: `TUN_F_*`.
pub(in crate::backend) fn set_offloads(file: &File, offloads: libc::c_uint) -> io::Result<()> {
    // SAFETY: the argument is a number.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) }).map(drop)
}

/// A number that a tap has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Setting {
    /// Bytes of the header before each frame.
    HeaderLen,
    /// Whether its fields are little-endian.
    LittleEndian,
}

/// Changes a number.
pub(in crate::backend) fn set(file: &File, setting: Setting, value: libc::c_int) -> io::Result<()> {
    let request = match setting {
        Setting::HeaderLen => libc::TUNSETVNETHDRSZ,
        Setting::LittleEndian => libc::TUNSETVNETLE,
    };
    // SAFETY: the kernel reads one `int`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), request, &raw const value) }).map(drop)
}

/// A number as it is.
pub(in crate::backend) fn get(file: &File, setting: Setting) -> io::Result<libc::c_int> {
    let request = match setting {
        Setting::HeaderLen => libc::TUNGETVNETHDRSZ,
        Setting::LittleEndian => libc::TUNGETVNETLE,
    };
    let mut value: libc::c_int = 0;
    // SAFETY: the kernel writes one `int`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut value) })?;
    Ok(value)
}

/// Bytes that may wait to be sent by the interface's network, of those that were written to this queue.
pub(in crate::backend) fn set_send_buffer(file: &File, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one `int`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETSNDBUF, &raw const bytes) }).map(drop)
}

/// Has no call on `file` wait.
pub(in crate::backend) fn set_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointer.
    let flags = checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// What a queue is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Ready {
    /// Something can be written: never while the interface is down.
    pub(in crate::backend) writable: bool,
    /// It belongs to no interface.
    pub(in crate::backend) broken: bool,
}

/// Looks at a queue.
pub(in crate::backend) fn ready(file: &File) -> io::Result<Ready> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the kernel reads and writes one `pollfd`, which is ours and lives for the call, which does not wait.
    checked(unsafe { libc::poll(&raw mut poll, 1, 0) })?;
    Ok(Ready { writable: poll.revents & libc::POLLOUT != 0, broken: poll.revents & libc::POLLERR != 0 })
}
