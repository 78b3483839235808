//! From the network to the ring.

mod delivery;
mod give;
mod rework;
mod spread;

use std::io;

use virtio_core::Virtqueue;
use virtio_core::memory::RawIoSlice;

use super::inspect::Inspector;
use crate::backend::{NetQueue, Received, Room};
use crate::lines::{LINE, Lines};
use crate::wire::MAX_FRAME_LEN;
use delivery::Delivery;
use give::Content;

/// Bytes that are looked at of a frame with its header: all that go before data, with those of tunnels.
const START: usize = 256;
/// Frames of so many bytes are received into memory of our own and copied from there, while no longer ones come: that costs
/// less than to take buffers and have the system spread a frame over them and what is looked at.
const COPIED: usize = 2048;
/// Frames of so many bytes that are in memory of the network's own are put behind their header first: one copy to guest memory
/// costs less than two.
const JOINED: usize = 128;

/// A pair's receiving side: what asks the network for frames.
pub(super) struct Receiver {
    /// A header, and behind it the beginning of a frame that a system call puts into the driver's buffers.
    start: Lines,
    /// What of it they do not hold. Or all of a frame that is to be copied: from the second cache line on, its header and the
    /// frame behind it.
    spill: Lines,
    scratch: Vec<RawIoSlice>,
    /// Bytes that frames had lately: buffers for so many are taken before one is received, where it is not to be copied.
    expect: usize,
    /// Bytes of the frame that the last system call could put before `spill`.
    placed: usize,
    /// What has been received, and goes to the driver.
    pub(super) delivery: Delivery,
}

/// What came of a look for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame was received, of so many bytes, whatever became of it.
    Frame { len: usize },
    /// There is none.
    Idle,
    /// There is one, and there are no buffers for it.
    Blocked,
}

impl Receiver {
    pub(super) fn new() -> Receiver {
        Receiver {
            start: Lines::new(START),
            spill: Lines::new(2 * LINE + MAX_FRAME_LEN),
            scratch: Vec::new(),
            expect: 0,
            placed: 0,
            delivery: Delivery::default(),
        }
    }

    /// Receives a frame from the network, with nothing waiting.
    #[inline]
    pub(super) fn receive(
        &mut self,
        by: &Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        engine: &mut dyn NetQueue,
    ) -> io::Result<Step> {
        if self.expect > COPIED {
            return self.receive_spread(by, queue, engine);
        }
        let header_len = by.plan.header_len;
        let Receiver { spill, scratch, delivery, expect, .. } = self;
        let own = spill.get_mut(..LINE + header_len + MAX_FRAME_LEN).unwrap_or_default();
        let (header, content) = match engine.receive(&mut Room::behind(own, LINE + header_len, scratch))? {
            Received::Nothing => return Ok(Step::Idle),
            Received::Lent { header, frame } if frame.len() <= JOINED => {
                // The longest frame fits.
                let place = place(own, header_len, frame.len()).unwrap_or_default();
                if let Some((_, behind)) = place.split_at_mut_checked(header_len) {
                    behind.copy_from_slice(frame);
                }
                (header, Content::Behind { place, ahead: header_len })
            }
            Received::Lent { header, frame } => (header, Content::Apart(frame)),
            Received::Filled { header, len } => {
                let place = place(own, header_len, len).ok_or_else(|| io::Error::other(LongerThanRoom { len }))?;
                *expect = expect_like(*expect, len);
                (header, Content::Behind { place, ahead: header_len })
            }
        };
        Ok(delivery.look(by, queue, header, content))
    }
}

/// Where a header and a frame go, of so many bytes; none where there is no room for them.
#[inline]
fn place(own: &mut [u8], header_len: usize, len: usize) -> Option<&mut [u8]> {
    own.get_mut(LINE..)?.get_mut(..header_len.checked_add(len)?)
}

/// How many bytes to expect, after `len` bytes came. Longer frames are expected as soon as one comes, shorter ones by and by.
#[inline]
fn expect_like(expect: usize, len: usize) -> usize {
    if len > expect { len } else { expect - (expect - len) / 16 }
}

/// A network says that it has received a frame for which there was no room: a fault of the network.
#[derive(Debug, thiserror::Error)]
#[error("a frame of {len} bytes, for which there was no room")]
struct LongerThanRoom {
    len: usize,
}
