//! Taps in network namespaces, and the bare loop's system calls.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use virtio_core::memory::RawIoSlice;
use virtio_core::{GuestBuffers, Reader};

/// `/dev/net/tun`.
pub(super) const TUN: &str = "/dev/net/tun";
/// The name of the interface, each in a network of its own.
const NAME: &[u8] = b"bench0";

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Gives this thread a network of its own.
pub(super) fn leave_the_host() -> io::Result<()> {
    // SAFETY: takes no pointer, and changes nothing but what this thread sees.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// A request about the interface.
fn request() -> libc::ifreq {
    // SAFETY: an `ifreq` is numbers and a pointer that nothing follows: zeros are a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(NAME) {
        *place = *byte as libc::c_char;
    }
    request
}

/// Makes a tap whose frames have headers of 12 bytes, and may have `offloads` (`TUN_F_*`).
pub(super) fn make_tap(offloads: libc::c_uint) -> io::Result<File> {
    let tap = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN)?;
    let mut request = request();
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    let (header, little_endian): (libc::c_int, libc::c_int) = (12, 1);
    // SAFETY: the kernel reads and writes an `ifreq`, or reads an `int`, each of which is ours and lives for the call; the
    // last argument is a number.
    unsafe {
        checked(libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request))?;
        checked(libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const header))?;
        checked(libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETLE, &raw const little_endian))?;
        checked(libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)))?;
    }
    Ok(tap)
}

/// Turns the interface on. A socket that sends by it, frames with headers of 10 bytes, and receives nothing.
pub(super) fn host_side() -> io::Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer; what was opened just now nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, kind, 0))?) };
    let fd = socket.as_raw_fd();
    let mut request = request();
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel reads one `ifreq`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request) })?;
    // SAFETY: the kernel writes one `ifreq`, which is ours and lives for the call; any bits are a number.
    let number = unsafe {
        checked(libc::ioctl(fd, libc::SIOCGIFINDEX, &raw mut request))?;
        request.ifr_ifru.ifru_ifindex
    };
    let on: libc::c_int = 1;
    // SAFETY: a `sockaddr_ll` is numbers: zeros are a valid one.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    (address.sll_family, address.sll_ifindex) = (libc::AF_PACKET as u16, number);
    // SAFETY: the kernel reads an `int` of 4 bytes and an address of its size, which are ours and live for the calls.
    unsafe {
        checked(libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, (&raw const on).cast(), 4))?;
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        checked(libc::bind(fd, (&raw const address).cast(), len))?;
    }
    Ok(socket.into())
}

/// Sends what is left of a chain in one call; how many bytes went.
pub(super) fn write(tap: &File, frame: &Reader<'_>, pieces: &mut Vec<RawIoSlice>) -> io::Result<usize> {
    pieces.clear();
    frame.io_slices(pieces).map_err(io::Error::other)?;
    // SAFETY: a `RawIoSlice` has the layout of an `iovec`. What they point at is guest memory, which `frame` keeps mapped, and
    // the kernel only reads it. No reference to it exists.
    let written = unsafe { libc::writev(tap.as_raw_fd(), pieces.as_ptr().cast(), pieces.len() as libc::c_int) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Receives a frame in one call; how many bytes came.
pub(super) fn read(tap: &File, buffers: &GuestBuffers) -> io::Result<usize> {
    assert!(buffers.is_writable(), "buffers to receive into");
    let pieces = buffers.io_slices();
    // SAFETY: as above, of memory that `buffers` keeps mapped, and that is for the device to write.
    let read = unsafe { libc::readv(tap.as_raw_fd(), pieces.as_ptr().cast(), pieces.len() as libc::c_int) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
