//! Several datagrams in one call, where the system has that.

use std::io;

use socket2::Socket;

/// Datagrams of one call, at most.
pub(in crate::backend) const MOST_DATAGRAMS: usize = 32;

/// Receives datagrams, without waiting: the first into the first `stride` bytes of `buffer`, the second into the next ones,
/// and so on. `lengths` says how long each is; what does not fit is cut. How many there were, up to [`MOST_DATAGRAMS`].
#[cfg(target_os = "linux")]
pub(in crate::backend) fn receive_datagrams(
    socket: &Socket,
    buffer: &mut [u8],
    stride: usize,
    lengths: &mut [usize; MOST_DATAGRAMS],
) -> io::Result<usize> {
    use std::os::fd::AsRawFd;

    // SAFETY: both are numbers and pointers that may be null: zeros are valid ones.
    let (mut pieces, mut messages): ([libc::iovec; MOST_DATAGRAMS], [libc::mmsghdr; MOST_DATAGRAMS]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let mut count = 0;
    for ((part, piece), message) in buffer.chunks_exact_mut(stride.max(1)).zip(&mut pieces).zip(&mut messages) {
        *piece = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (piece, 1);
        count += 1;
    }
    // SAFETY: there are `count` messages, at most as many as the array has; each has one piece of `buffer`, which is lent for
    // writing, and all of them live for the call. Nothing of them overlaps. There is no time-out.
    let received = unsafe {
        let none = std::ptr::null_mut();
        libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, none)
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (length, message) in lengths.iter_mut().zip(&messages).take(received) {
        *length = message.msg_len as usize; // no longer than its piece
    }
    Ok(received)
}

/// Sends datagrams, without waiting: the first `lengths` of `bytes`. How many went, up to [`MOST_DATAGRAMS`]; an error is that
/// of the first one.
#[cfg(target_os = "linux")]
pub(in crate::backend) fn send_datagrams(
    socket: &Socket,
    mut bytes: &[u8],
    lengths: impl Iterator<Item = usize>,
) -> io::Result<usize> {
    use std::os::fd::AsRawFd;

    // SAFETY: both are numbers and pointers that may be null: zeros are valid ones.
    let (mut pieces, mut messages): ([libc::iovec; MOST_DATAGRAMS], [libc::mmsghdr; MOST_DATAGRAMS]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let mut count = 0;
    for ((len, piece), message) in lengths.zip(&mut pieces).zip(&mut messages) {
        let Some((datagram, rest)) = bytes.split_at_checked(len) else {
            break;
        };
        *piece = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: len };
        (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (piece, 1);
        (bytes, count) = (rest, count + 1);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: there are `count` messages, at most as many as the array has; each has one piece of `bytes`, which the kernel only
    // reads, and all of them live for the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, flags as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// As above, one in each call.
#[cfg(not(target_os = "linux"))]
pub(in crate::backend) fn receive_datagrams(
    mut socket: &Socket,
    buffer: &mut [u8],
    stride: usize,
    lengths: &mut [usize; MOST_DATAGRAMS],
) -> io::Result<usize> {
    let mut count = 0;
    for (part, length) in buffer.chunks_exact_mut(stride.max(1)).zip(lengths) {
        match io::Read::read(&mut socket, part) {
            Ok(len) => (*length, count) = (len, count + 1),
            Err(error) if count == 0 => return Err(error),
            // It comes again with the next call.
            Err(_) => break,
        }
    }
    Ok(count)
}

/// As above, one in each call.
#[cfg(not(target_os = "linux"))]
pub(in crate::backend) fn send_datagrams(
    socket: &Socket,
    mut bytes: &[u8],
    lengths: impl Iterator<Item = usize>,
) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = libc::MSG_NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = 0;
    let mut count = 0;
    for len in lengths.take(MOST_DATAGRAMS) {
        let Some((datagram, rest)) = bytes.split_at_checked(len) else {
            break;
        };
        match socket.send_with_flags(datagram, flags) {
            Ok(_) => (bytes, count) = (rest, count + 1),
            Err(error) if count == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(count)
}
