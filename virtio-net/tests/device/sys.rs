//! What a system call does that receives a frame.

#![allow(unsafe_code)]

use virtio_net::backend::Room;

/// Puts the frame where there is room, as much of it as fits; how much that was, and in how many pieces the room is.
pub(crate) fn scatter(room: &mut Room<'_>, frame: &[u8]) -> (usize, usize) {
    // By a call that takes one piece, with a header of the network's own, where there is a place for that. Not always.
    if frame.len().is_multiple_of(2)
        && let Some((header, place)) = room.whole(12).and_then(|place| place.split_at_mut_checked(12))
    {
        let len = frame.len().min(place.len());
        place[..len].copy_from_slice(&frame[..len]);
        header.fill(0x5a);
        return (len, 1);
    }
    let mut left = frame;
    let slices = room.io_slices(&mut []);
    for slice in slices {
        let (now, rest) = left.split_at(left.len().min(slice.len));
        // SAFETY: the room is borrowed for as long as its slices are used, and they are to be written. No more is written
        // than the slice is long, and the frame is memory of the test's own, apart from all room.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), slice.base, now.len()) };
        left = rest;
    }
    (frame.len() - left.len(), slices.len())
}
