//! Where a frame on its way in can be put.

use std::fmt;

use virtio_core::memory::RawIoSlice;

/// Room for one frame: where a system call can put it, so that most of a long one goes to the driver without being copied.
///
/// While frames are short, there is only memory of the device's own, from which they are copied. Otherwise, the beginning of a
/// frame goes to memory of the device's own: it is looked at there, where the driver does not change it. Then come the
/// driver's buffers, and then, for what they do not hold, memory of the device's own again. So there is room for any frame,
/// whatever the driver has made available.
///
/// Neither Send nor Sync. No call blocks.
pub struct Room<'a> {
    /// Where a frame begins, behind `ahead` bytes.
    own: &'a mut [u8],
    ahead: usize,
    guest: Option<AddGuest<'a>>,
    spill: &'a mut [u8],
    scratch: &'a mut Vec<RawIoSlice>,
}

/// Adds the driver's buffers.
pub(crate) type AddGuest<'a> = &'a mut dyn FnMut(&mut Vec<RawIoSlice>);

impl<'a> Room<'a> {
    /// `guest` adds the driver's buffers.
    pub(crate) fn new(
        own: &'a mut [u8],
        guest: AddGuest<'a>,
        spill: &'a mut [u8],
        scratch: &'a mut Vec<RawIoSlice>,
    ) -> Room<'a> {
        Room { own, ahead: 0, guest: Some(guest), spill, scratch }
    }

    /// Room in memory of this process, for backends around other ones. `scratch` is kept so that it is not allocated each
    /// time.
    pub fn of_bytes(buffer: &'a mut [u8], scratch: &'a mut Vec<RawIoSlice>) -> Room<'a> {
        Room::behind(buffer, 0, scratch)
    }

    /// The same, behind the first `ahead` bytes of `buffer`: a header can go there.
    pub fn behind(buffer: &'a mut [u8], ahead: usize, scratch: &'a mut Vec<RawIoSlice>) -> Room<'a> {
        Room { own: buffer, ahead, guest: None, spill: &mut [], scratch }
    }

    /// The room with `prefix` bytes directly before it, where all of that is one piece of memory: a call that reads into one
    /// piece takes less than one that is told of several.
    ///
    /// What is put behind `prefix` bytes is the frame that [`Received::Filled`](super::Received::Filled) speaks of.
    #[inline]
    pub fn whole(&mut self, prefix: usize) -> Option<&mut [u8]> {
        let start = self.ahead.checked_sub(prefix)?;
        if self.guest.is_some() || !self.spill.is_empty() {
            return None;
        }
        self.own.get_mut(start..)
    }

    /// `prefix` and the room behind it, as vectored system calls take them: to be written only, from the front, and not to
    /// be used after either the room or `prefix` has gone or changed. There are at most 1024.
    ///
    /// What is put behind `prefix` is the frame that [`Received::Filled`](super::Received::Filled) speaks of. Where the call
    /// takes no room at all, none of the driver's buffers is used up.
    pub fn io_slices<'b>(&'b mut self, prefix: &'b mut [u8]) -> &'b [RawIoSlice] {
        let Room { own, ahead, guest, spill, scratch } = self;
        let slice = |bytes: &mut [u8]| RawIoSlice { base: bytes.as_mut_ptr(), len: bytes.len() };
        scratch.clear();
        if !prefix.is_empty() {
            scratch.push(slice(prefix));
        }
        scratch.push(slice(own.get_mut(*ahead..).unwrap_or_default()));
        if let Some(guest) = guest {
            guest(scratch);
        }
        if !spill.is_empty() {
            scratch.push(slice(spill));
        }
        scratch
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
