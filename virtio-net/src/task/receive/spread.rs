//! Frames that a system call puts into the driver's buffers.

use std::io;

use virtio_core::Virtqueue;
use virtio_core::memory::RawIoSlice;

use super::super::gather::Filled;
use super::super::inspect::{Give, Inspector, Verdict};
use super::super::mailbox::OwnedFrame;
use super::give::Content;
use super::{LongerThanRoom, Receiver, START, Step, expect_like};
use crate::NetHeader;
use crate::backend::{NetQueue, Received, Room};
use crate::wire::MAX_FRAME_LEN;

impl Receiver {
    /// Receives a frame, most of it into the driver's buffers.
    #[inline(never)]
    pub(super) fn receive_spread(
        &mut self,
        by: &Inspector<'_>,
        mut queue: Option<&mut Virtqueue>,
        engine: &mut dyn NetQueue,
    ) -> io::Result<Step> {
        let Receiver { start, spill, scratch, expect, delivery, .. } = self;
        let gather = &mut delivery.gather;
        let (header_len, spread) = (by.plan.header_len, by.plan.spread);
        let head = start.get_mut(header_len..).unwrap_or_default();
        let spill = spill.get_mut(..MAX_FRAME_LEN).unwrap_or_default();
        let in_head = head.len();
        let need = header_len + *expect;
        let mut add_guest = |slices: &mut Vec<RawIoSlice>| {
            if let Some(queue) = queue.as_deref_mut() {
                gather.fill(queue, need, header_len, spread, || by.counters.rx_bad_buffer.add(1));
            }
            gather.io_slices(START, slices);
        };
        let in_spill = spill.len();
        let received = engine.receive(&mut Room::new(head, &mut add_guest, spill, scratch));
        self.placed = in_head + self.delivery.gather.room().saturating_sub(START);
        match received {
            Ok(Received::Filled { header, len }) if len <= self.placed + in_spill => {
                Ok(self.filled(by, queue, header, len))
            }
            received => {
                if let Some(queue) = queue.as_deref_mut() {
                    self.delivery.gather.give_up(queue);
                }
                match received? {
                    Received::Nothing => Ok(Step::Idle),
                    Received::Lent { header, frame } => {
                        Ok(self.delivery.look(by, queue, header, Content::Apart(frame)))
                    }
                    Received::Filled { len, .. } => Err(io::Error::other(LongerThanRoom { len })),
                }
            }
        }
    }

    /// A frame that a system call has put into the room.
    #[inline(never)]
    fn filled(&mut self, by: &Inspector<'_>, queue: Option<&mut Virtqueue>, header: NetHeader, len: usize) -> Step {
        self.expect = expect_like(self.expect, len);
        let verdict = by.inspect(&header, self.head(by.plan.header_len, len), len, false);
        let Some(queue) = queue else { return self.part_with(by, None, verdict, header, len) };
        if let Verdict::Give(give) = verdict {
            let header_len = by.plan.header_len;
            let bad = || by.counters.rx_bad_buffer.add(1);
            if self.delivery.gather.fill(queue, header_len + len, header_len, by.plan.spread, bad) == Filled::Enough {
                self.complete_filled(by, queue, &give, len);
                return Step::Frame { len };
            }
        }
        self.part_with(by, Some(queue), verdict, header, len)
    }

    /// The beginning of a frame of `len` bytes that a system call has put behind a header of `header_len`.
    #[inline]
    fn head(&self, header_len: usize, len: usize) -> &[u8] {
        let head = self.start.get(header_len..).unwrap_or_default();
        head.get(..len).unwrap_or(head)
    }

    /// The buffers have room for all of a frame of `len` bytes, the middle of which is there.
    fn complete_filled(&mut self, by: &Inspector<'_>, queue: &mut Virtqueue, give: &Give, len: usize) {
        let header_len = by.plan.header_len;
        let count = self.delivery.gather.count(header_len + len);
        let header = by.header(give, count);
        self.delivery.note_used(count.into());
        // One behind the other: one write costs less than two.
        self.start[..header_len].copy_from_slice(&header[..header_len]);
        self.delivery.gather.write(queue, 0, &self.start[..START.min(header_len + len)]);
        let spilled = len.saturating_sub(self.placed);
        if spilled > 0 {
            self.delivery.gather.write(queue, header_len + self.placed, &self.spill[..spilled]);
        }
        self.delivery.gather.complete(queue, header_len + len);
        by.count(give, len);
    }

    /// The frame goes into memory of our own, for whatever is to become of it.
    #[cold]
    fn part_with(
        &mut self,
        by: &Inspector<'_>,
        mut queue: Option<&mut Virtqueue>,
        verdict: Verdict,
        header: NetHeader,
        len: usize,
    ) -> Step {
        let frame = (verdict != Verdict::Drop).then(|| self.collect(by, header, len));
        if let Some(queue) = queue.as_deref_mut() {
            self.delivery.gather.give_up(queue);
        }
        let done = Step::Frame { len };
        let Some(frame) = frame else { return done };
        match verdict {
            Verdict::Drop => {}
            Verdict::Elsewhere(pair) => by.hand_over(pair, frame),
            Verdict::Rework => self.delivery.rework(by, frame),
            // Once more, for whether it ever fits.
            Verdict::Give(give) => return self.delivery.give_owned(by, queue, &give, frame, false),
        }
        done
    }

    /// The frame that a system call has put into the room, as it is there now. What of it is in the driver's buffers is the
    /// driver's to change: nothing of that was looked at before.
    fn collect(&self, by: &Inspector<'_>, header: NetHeader, len: usize) -> OwnedFrame {
        let mut bytes = vec![0; len];
        let (head, in_guest) = (self.head(by.plan.header_len, len), len.min(self.placed));
        bytes[..head.len()].copy_from_slice(head);
        self.delivery.gather.read(START, &mut bytes[head.len()..in_guest]);
        let spilled = len - in_guest;
        bytes[in_guest..].copy_from_slice(&self.spill[..spilled]);
        OwnedFrame { header, bytes }
    }
}
