//! Loops between a tap and this project's queue, without a device.

use std::fs::File;

use virtio_core::memory::RawIoSlice;
use virtio_core::{GuestBuffers, Ticket, Virtqueue};

use super::calls::Calls;
use super::sys;

/// A loop with what it keeps.
pub(super) struct Bare {
    pub(super) tap: File,
    pub(super) queue: Virtqueue,
    pub(super) calls: std::sync::Arc<Calls>,
    /// Bytes of a frame with its header.
    pub(super) len: usize,
    pieces: Vec<RawIoSlice>,
    buffers: GuestBuffers,
    /// Whose buffers these are, with their lengths.
    tickets: Vec<(Ticket, usize)>,
}

impl Bare {
    pub(super) fn new(tap: File, queue: Virtqueue, calls: std::sync::Arc<Calls>, len: u32) -> Bare {
        let (pieces, buffers, tickets) = (Vec::new(), GuestBuffers::new(), Vec::new());
        Bare { tap, queue, calls, len: len as usize, pieces, buffers, tickets }
    }

    /// One batch that is sent: the driver's header is the tap's.
    #[inline(never)] // to be counted
    pub(super) fn transmit(&mut self) {
        let Bare { tap, queue, calls, len, pieces, .. } = self;
        queue.grant(256);
        while let Some(chain) = queue.pop() {
            let written = sys::write(tap, &chain.reader(), pieces).expect("the tap takes a frame");
            assert_eq!(written, *len, "a whole frame");
            calls.count(*len - super::HEADER);
            chain.complete(0);
        }
        queue.publish();
        let _ = queue.arm();
    }

    /// One batch that is received: the tap's header is the driver's, but for the number of buffers.
    #[inline(never)] // to be counted
    pub(super) fn receive(&mut self) {
        self.queue.grant(256);
        while self.take() {
            let Bare { tap, queue, calls, len, buffers, tickets, .. } = self;
            let read = sys::read(tap, buffers).expect("the tap has a frame");
            assert_eq!(read, *len, "a whole frame");
            calls.count(*len - super::HEADER);
            let mut writer = buffers.writer(queue.view());
            writer.skip(10).expect("a header");
            writer.write(&(tickets.len() as u16).to_le_bytes()).expect("a header");
            let mut left = read;
            for (ticket, room) in tickets.drain(..) {
                let now = left.min(room);
                left -= now;
                queue.complete(ticket, now as u32).expect("a ticket of this queue");
            }
            buffers.clear();
        }
        self.queue.publish();
        let _ = self.queue.arm();
    }

    /// Takes buffers for a frame; whether there were some.
    #[inline]
    fn take(&mut self) -> bool {
        let Bare { queue, len, buffers, tickets, .. } = self;
        while buffers.len() < *len {
            let Some(chain) = queue.pop() else {
                assert!(tickets.is_empty(), "buffers for whole frames");
                return false;
            };
            let before = buffers.len();
            assert!(buffers.hold_more_writable(&chain.writer()).expect("guest memory"), "of the same memory");
            tickets.push((chain.into_ticket(), buffers.len() - before));
        }
        true
    }
}
