//! What a system call does that receives a frame.

#![allow(unsafe_code)]

use virtio_net::backend::Room;

/// Puts the frame where there is room, as much of it as fits; how much that was.
pub(crate) fn scatter(room: &mut Room<'_>, frame: &[u8]) -> usize {
    let mut left = frame;
    for slice in room.io_slices(&mut []) {
        let (now, rest) = left.split_at(left.len().min(slice.len));
        // SAFETY: the room is borrowed for as long as its slices are used, and they are to be written. No more is written
        // than the slice is long, and the frame is memory of the test's own, apart from all room.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), slice.base, now.len()) };
        left = rest;
    }
    frame.len() - left.len()
}
