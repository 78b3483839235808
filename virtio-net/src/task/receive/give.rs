//! Frames that are copied to the driver's buffers.

use std::time::Instant;

use virtio_core::{Virtqueue, Writer};

use super::super::gather::Filled;
use super::super::inspect::{Give, Inspector};
use super::super::mailbox::OwnedFrame;
use super::Step;
use super::delivery::{Delivery, PATIENCE, Waiting};

/// A frame in memory of this process.
pub(super) enum Content<'a> {
    /// Just that.
    Apart(&'a [u8]),
    /// The frame is behind the first `ahead` bytes of `place`, where its header goes.
    Behind { place: &'a mut [u8], ahead: usize },
}

impl Content<'_> {
    #[inline(always)]
    pub(super) fn frame(&self) -> &[u8] {
        match self {
            Content::Apart(frame) => frame,
            Content::Behind { place, ahead } => place.get(*ahead..).unwrap_or_default(),
        }
    }

    /// Writes `header` and the frame. There is room for them, in guest memory.
    #[inline(always)]
    fn write(&mut self, header: &[u8], writer: &mut Writer<'_>) {
        match self {
            Content::Apart(frame) => {
                let _ = writer.write(header);
                let _ = writer.write(frame);
            }
            // One behind the other: one write costs less than two.
            Content::Behind { place, .. } => {
                if let Some(before) = place.get_mut(..header.len()) {
                    before.copy_from_slice(header);
                }
                let _ = writer.write(place);
            }
        }
    }
}

/// What became of a frame that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Done,
    Wait,
}

impl Delivery {
    #[inline(never)]
    pub(super) fn give_owned(
        &mut self,
        by: &Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        give: &Give,
        frame: OwnedFrame,
        steered: bool,
    ) -> Step {
        match self.give(by, queue, give, &mut Content::Apart(&frame.bytes)) {
            Given::Done => {
                self.spare = frame.bytes;
                Step::Frame { len: self.spare.len() }
            }
            Given::Wait => {
                self.waiting = Waiting::Frame { frame, steered };
                Step::Blocked
            }
        }
    }

    /// Copies a frame to the driver's buffers.
    #[inline(never)] // one copy of what takes a chain
    pub(super) fn give(
        &mut self,
        by: &Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        give: &Give,
        content: &mut Content<'_>,
    ) -> Given {
        let Some(queue) = queue.filter(|queue| !queue.is_gone()) else {
            by.counters.rx_no_queue.add(1);
            return Given::Done;
        };
        let header_len = by.plan.header_len;
        let len = content.frame().len();
        let need = header_len + len;
        let Some(chain) = queue.pop() else { return self.wait(by, false) };
        let mut writer = chain.writer();
        if writer.remaining() >= need && chain.fault().is_none() && chain.reader().remaining() == 0 {
            let header = by.header(give, 1);
            content.write(header.get(..header_len).unwrap_or(&header), &mut writer);
            // The longest frame and its header fit.
            chain.complete(need as u32);
            self.note_used(1);
            self.since = None;
            by.count(give, len);
            return Given::Done;
        }
        chain.put_back();
        self.spread(by, queue, give, content.frame())
    }

    /// Copies a frame to several buffers.
    #[inline(never)]
    fn spread(&mut self, by: &Inspector<'_>, queue: &mut Virtqueue, give: &Give, frame: &[u8]) -> Given {
        let header_len = by.plan.header_len;
        let need = header_len + frame.len();
        match self.fill(by, queue, need) {
            Filled::Enough => {
                let count = self.gather.count(need);
                let header = by.header(give, count);
                self.note_used(count.into());
                self.gather.write(queue, 0, &header[..header_len]);
                self.gather.write(queue, header_len, frame);
                self.gather.complete(queue, need);
                self.since = None;
                by.count(give, frame.len());
                Given::Done
            }
            Filled::Never => {
                self.gather.give_up(queue);
                self.no_fit(by)
            }
            Filled::Short | Filled::Bad | Filled::Stale => {
                let some = self.gather.room() > 0;
                self.gather.give_up(queue);
                self.wait(by, some)
            }
        }
    }

    /// Takes buffers for `need` bytes. Where they are too few, the driver is asked for a doorbell behind them: they go back into
    /// the ring, and are no reason to look again.
    fn fill(&mut self, by: &Inspector<'_>, queue: &mut Virtqueue, need: usize) -> Filled {
        let mut room = None;
        loop {
            let bad = || by.counters.rx_bad_buffer.add(1);
            let filled = self.gather.fill(queue, need, by.plan.header_len, by.plan.spread, bad);
            let now = self.gather.room();
            match filled {
                // DRV-NET-RX-02: those before it cannot be put back once it has gone, so they go, too.
                Filled::Bad => {
                    self.gather.refuse(queue);
                    room = None;
                }
                Filled::Stale => {
                    self.gather.give_up(queue);
                    room = None;
                }
                // There was more, and it could not be taken: a run does not give enough.
                Filled::Short if room == Some(now) => return if self.used == 0 { Filled::Never } else { filled },
                Filled::Short if now > 0 && queue.arm() => room = Some(now),
                Filled::Short | Filled::Enough | Filled::Never => return filled,
            }
        }
    }

    /// There are too few buffers for a frame; `some` are there.
    fn wait(&mut self, by: &Inspector<'_>, some: bool) -> Given {
        if !some {
            self.since = None;
            return Given::Wait;
        }
        let now = Instant::now();
        if now.saturating_duration_since(*self.since.get_or_insert(now)) < PATIENCE {
            return Given::Wait;
        }
        // The driver may be waiting for this one before it gives more.
        self.no_fit(by)
    }

    /// NET-RXBUF-02, DRV-NET-03
    fn no_fit(&mut self, by: &Inspector<'_>) -> Given {
        self.since = None;
        by.counters.rx_no_fit.add(1);
        Given::Done
    }
}
