//! From the network to the ring.

use std::io;
use std::time::{Duration, Instant};

use virtio_core::Virtqueue;
use virtio_core::memory::RawIoSlice;

use super::gather::{Filled, Gather};
use super::inspect::{Give, Inspector, Verdict};
use super::lines::Lines;
use super::mailbox::OwnedFrame;
use crate::NetHeader;
use crate::backend::{NetQueue, Received, Room};
use crate::packet::checksum;
use crate::packet::segment::Segments;
use crate::wire::MAX_FRAME_LEN;

/// Bytes that are looked at of a frame with its header: all that go before data, with those of tunnels.
const START: usize = 256;
/// Frames of so many bytes are received into memory of our own and copied from there, while no longer ones come: that costs
/// less than to take buffers and have the system spread a frame over them and what is looked at.
const COPIED: usize = 2048;
/// How long a frame may wait for buffers that the ring has, and that are too few.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pair's receiving side.
pub(super) struct Receiver {
    /// A header, and behind it the beginning of a frame that a system call puts into the driver's buffers.
    start: Lines,
    /// What of it they do not hold; or all of a frame that is to be copied.
    spill: Lines,
    scratch: Vec<RawIoSlice>,
    gather: Gather,
    waiting: Waiting,
    /// Since when a frame waits although there are buffers.
    since: Option<Instant>,
    /// Bytes that frames had lately: buffers for so many are taken before one is received, where it is not to be copied.
    expect: usize,
    /// Bytes of the frame that the last system call could put before `spill`.
    placed: usize,
    /// Buffers that frames of this run had, and those of the last one.
    used: u32,
    last: u32,
    /// Memory for the next frame that has to be kept.
    spare: Vec<u8>,
}

/// What has been received and not given to the driver.
#[derive(Default)]
enum Waiting {
    #[default]
    Nothing,
    Frame {
        frame: OwnedFrame,
        steered: bool,
    },
    /// A frame that is being cut, and the piece that is to go next.
    Cut {
        segments: Box<Segments<Vec<u8>>>,
        piece: Vec<u8>,
    },
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
            spill: Lines::new(MAX_FRAME_LEN),
            scratch: Vec::new(),
            gather: Gather::default(),
            waiting: Waiting::Nothing,
            since: None,
            expect: 0,
            placed: 0,
            used: 0,
            last: 0,
            spare: Vec::new(),
        }
    }

    /// Forgets what has been received; whether there was something.
    pub(super) fn abandon(&mut self) -> bool {
        self.since = None;
        !matches!(std::mem::take(&mut self.waiting), Waiting::Nothing)
    }

    pub(super) fn begin_run(&mut self) {
        self.used = 0;
    }

    /// Whether a queue that gives so many buffers in a run has enough for a frame like the last one.
    pub(super) fn has_room_in_run(&self, most: u32) -> bool {
        self.used + self.last <= most
    }

    fn note_used(&mut self, buffers: u32) {
        self.used += buffers;
        self.last = buffers;
    }

    pub(super) fn is_waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Nothing)
    }

    /// When a frame is given up for which there are too few buffers.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// A frame that another pair's task has received.
    pub(super) fn take_in(&mut self, frame: OwnedFrame) {
        self.waiting = Waiting::Frame { frame, steered: true };
    }

    /// Goes on with what has been received.
    pub(super) fn go_on(&mut self, by: Inspector<'_>, queue: Option<&mut Virtqueue>) -> Step {
        let step = match std::mem::take(&mut self.waiting) {
            Waiting::Nothing => Step::Idle,
            Waiting::Frame { frame, steered } => self.look_at(by, queue, frame, steered),
            Waiting::Cut { segments, piece } => self.give_piece(by, queue, segments, piece),
        };
        if step != Step::Blocked {
            self.since = None;
        }
        step
    }

    /// Receives a frame from the network, with nothing waiting.
    #[inline]
    pub(super) fn receive(
        &mut self,
        by: Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        engine: &mut dyn NetQueue,
    ) -> io::Result<Step> {
        if self.expect > COPIED {
            return self.receive_spread(by, queue, engine);
        }
        let Receiver { spill, scratch, .. } = self;
        match engine.receive(&mut Room::of_bytes(spill, scratch))? {
            Received::Nothing => Ok(Step::Idle),
            Received::Lent { header, frame } => Ok(self.lent(by, queue, header, frame)),
            Received::Filled { header, len } => {
                let own = std::mem::take(&mut self.spill);
                let step = own.get(..len).map(|frame| self.lent(by, queue, header, frame));
                self.spill = own;
                self.expect_like(len);
                step.ok_or_else(|| io::Error::other(LongerThanRoom { len }))
            }
        }
    }

    /// Buffers for longer frames as soon as one comes, for shorter ones by and by.
    #[inline]
    fn expect_like(&mut self, len: usize) {
        self.expect = if len > self.expect { len } else { self.expect - (self.expect - len) / 16 };
    }

    /// Receives a frame, most of it into the driver's buffers.
    #[inline(never)]
    fn receive_spread(
        &mut self,
        by: Inspector<'_>,
        mut queue: Option<&mut Virtqueue>,
        engine: &mut dyn NetQueue,
    ) -> io::Result<Step> {
        let Receiver { start, spill, scratch, gather, expect, .. } = self;
        let (header_len, spread) = (by.plan.header_len, by.plan.spread);
        let head = start.get_mut(header_len..).unwrap_or_default();
        let in_head = head.len();
        let need = header_len + *expect;
        let mut add_guest = |slices: &mut Vec<RawIoSlice>| {
            if let Some(queue) = queue.as_deref_mut() {
                gather.fill(queue, need, header_len, spread, || by.counters.rx_bad_buffer.add(1));
            }
            gather.io_slices(START, slices);
        };
        let received = engine.receive(&mut Room::new(head, &mut add_guest, spill, scratch));
        self.placed = in_head + self.gather.room().saturating_sub(START);
        match received {
            Ok(Received::Filled { header, len }) if len <= self.placed + self.spill.len() => {
                Ok(self.filled(by, queue, header, len))
            }
            received => {
                if let Some(queue) = queue.as_deref_mut() {
                    self.gather.give_up(queue);
                }
                match received? {
                    Received::Nothing => Ok(Step::Idle),
                    Received::Lent { header, frame } => Ok(self.lent(by, queue, header, frame)),
                    Received::Filled { len, .. } => Err(io::Error::other(LongerThanRoom { len })),
                }
            }
        }
    }

    /// A frame in memory of the network's own.
    #[inline]
    fn lent(&mut self, by: Inspector<'_>, queue: Option<&mut Virtqueue>, header: NetHeader, frame: &[u8]) -> Step {
        let done = Step::Frame { len: frame.len() };
        let head = frame.get(..START).unwrap_or(frame);
        match by.inspect(&header, head, frame.len(), false) {
            Verdict::Drop => {}
            Verdict::Elsewhere(pair) => by.hand_over(pair, OwnedFrame { header, bytes: frame.to_vec() }),
            Verdict::Rework => self.rework(by, OwnedFrame { header, bytes: frame.to_vec() }),
            Verdict::Give(give) => {
                if self.give(by, queue, &give, frame) == Given::Wait {
                    let mut bytes = std::mem::take(&mut self.spare);
                    bytes.clear();
                    bytes.extend_from_slice(frame);
                    self.waiting = Waiting::Frame { frame: OwnedFrame { header, bytes }, steered: false };
                    return Step::Blocked;
                }
            }
        }
        done
    }

    /// A frame that a system call has put into the room.
    #[inline(never)]
    fn filled(&mut self, by: Inspector<'_>, queue: Option<&mut Virtqueue>, header: NetHeader, len: usize) -> Step {
        self.expect_like(len);
        let verdict = by.inspect(&header, self.head(by.plan.header_len, len), len, false);
        let Some(queue) = queue else { return self.keep(by, None, verdict, header, len) };
        if let Verdict::Give(give) = verdict {
            let header_len = by.plan.header_len;
            let bad = || by.counters.rx_bad_buffer.add(1);
            if self.gather.fill(queue, header_len + len, header_len, by.plan.spread, bad) == Filled::Enough {
                self.complete_filled(by, queue, &give, len);
                return Step::Frame { len };
            }
        }
        self.keep(by, Some(queue), verdict, header, len)
    }

    /// The beginning of a frame of `len` bytes that a system call has put behind a header of `header_len`.
    #[inline]
    fn head(&self, header_len: usize, len: usize) -> &[u8] {
        let head = self.start.get(header_len..).unwrap_or_default();
        head.get(..len).unwrap_or(head)
    }

    /// The buffers have room for all of a frame of `len` bytes, the middle of which is there.
    fn complete_filled(&mut self, by: Inspector<'_>, queue: &mut Virtqueue, give: &Give, len: usize) {
        let header_len = by.plan.header_len;
        let count = self.gather.count(header_len + len);
        let header = by.header(give, count);
        self.note_used(count.into());
        // One behind the other: one write costs less than two.
        self.start[..header_len].copy_from_slice(&header[..header_len]);
        self.gather.write(queue, 0, &self.start[..START.min(header_len + len)]);
        let spilled = len.saturating_sub(self.placed);
        if spilled > 0 {
            self.gather.write(queue, header_len + self.placed, &self.spill[..spilled]);
        }
        self.gather.complete(queue, header_len + len);
        by.count(give, len);
    }

    /// The frame goes into memory of our own, for whatever is to become of it.
    #[cold]
    fn keep(
        &mut self,
        by: Inspector<'_>,
        mut queue: Option<&mut Virtqueue>,
        verdict: Verdict,
        header: NetHeader,
        len: usize,
    ) -> Step {
        let frame = (verdict != Verdict::Drop).then(|| self.collect(by, header, len));
        if let Some(queue) = queue.as_deref_mut() {
            self.gather.give_up(queue);
        }
        let done = Step::Frame { len };
        let Some(frame) = frame else { return done };
        match verdict {
            Verdict::Drop => {}
            Verdict::Elsewhere(pair) => by.hand_over(pair, frame),
            Verdict::Rework => self.rework(by, frame),
            // Once more, for whether it ever fits.
            Verdict::Give(give) => return self.give_owned(by, queue, &give, frame, false),
        }
        done
    }

    /// The frame that a system call has put into the room, as it is there now. What of it is in the driver's buffers is the
    /// driver's to change: nothing of that was looked at before.
    fn collect(&self, by: Inspector<'_>, header: NetHeader, len: usize) -> OwnedFrame {
        let mut bytes = vec![0; len];
        let (head, in_guest) = (self.head(by.plan.header_len, len), len.min(self.placed));
        bytes[..head.len()].copy_from_slice(head);
        self.gather.read(START, &mut bytes[head.len()..in_guest]);
        let spilled = len - in_guest;
        bytes[in_guest..].copy_from_slice(&self.spill[..spilled]);
        OwnedFrame { header, bytes }
    }

    /// A frame in memory of our own.
    fn look_at(&mut self, by: Inspector<'_>, queue: Option<&mut Virtqueue>, frame: OwnedFrame, steered: bool) -> Step {
        let len = frame.bytes.len();
        let head = frame.bytes.get(..START).unwrap_or(&frame.bytes);
        match by.inspect(&frame.header, head, len, steered) {
            Verdict::Drop => {}
            Verdict::Elsewhere(pair) => by.hand_over(pair, frame),
            Verdict::Rework => self.rework(by, frame),
            Verdict::Give(give) => return self.give_owned(by, queue, &give, frame, steered),
        }
        Step::Frame { len }
    }

    #[inline(never)]
    fn give_owned(
        &mut self,
        by: Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        give: &Give,
        frame: OwnedFrame,
        steered: bool,
    ) -> Step {
        match self.give(by, queue, give, &frame.bytes) {
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

    /// Does what is left to do with a frame, and the driver does not take over.
    #[cold]
    fn rework(&mut self, by: Inspector<'_>, mut frame: OwnedFrame) {
        if frame.header.is_gso() {
            match Segments::new(frame.bytes, &frame.header) {
                Ok(segments) => self.waiting = Waiting::Cut { segments: Box::new(segments), piece: Vec::new() },
                Err(_) => by.counters.rx_bad_header.add(1),
            }
            return;
        }
        let NetHeader { csum_start, csum_offset, .. } = frame.header;
        match checksum::complete(&mut frame.bytes, csum_start, csum_offset) {
            Ok(()) => {
                by.counters.rx_csum_completed.add(1);
                frame.header = NetHeader::default();
                self.waiting = Waiting::Frame { frame, steered: true };
            }
            Err(_) => by.counters.rx_bad_header.add(1),
        }
    }

    /// Gives the next piece of a frame that is being cut.
    #[inline(never)]
    fn give_piece(
        &mut self,
        by: Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        mut segments: Box<Segments<Vec<u8>>>,
        mut piece: Vec<u8>,
    ) -> Step {
        if piece.is_empty() && !segments.next(&mut piece) {
            return Step::Frame { len: 0 };
        }
        let len = piece.len();
        let given = match by.inspect(&NetHeader::default(), piece.get(..START).unwrap_or(&piece), len, true) {
            Verdict::Give(give) => self.give(by, queue, &give, &piece),
            Verdict::Elsewhere(pair) => {
                by.hand_over(pair, OwnedFrame { header: NetHeader::default(), bytes: piece.clone() });
                Given::Done
            }
            Verdict::Drop | Verdict::Rework => Given::Done,
        };
        if given == Given::Done {
            by.counters.rx_segmented.add(1);
            piece.clear();
        }
        self.waiting = Waiting::Cut { segments, piece };
        if given == Given::Done { Step::Frame { len } } else { Step::Blocked }
    }

    /// Copies a frame to the driver's buffers.
    #[inline(never)] // one copy of what takes a chain
    fn give(&mut self, by: Inspector<'_>, queue: Option<&mut Virtqueue>, give: &Give, frame: &[u8]) -> Given {
        let Some(queue) = queue.filter(|queue| !queue.is_gone()) else {
            by.counters.rx_no_queue.add(1);
            return Given::Done;
        };
        let header_len = by.plan.header_len;
        let need = header_len + frame.len();
        let Some(chain) = queue.pop() else { return self.wait(by, false) };
        let mut writer = chain.writer();
        if writer.remaining() >= need && chain.fault().is_none() && chain.reader().remaining() == 0 {
            let header = by.header(give, 1);
            // The buffers are guest memory.
            let _ = writer.write(header.get(..header_len).unwrap_or(&header));
            let _ = writer.write(frame);
            // The longest frame and its header fit.
            chain.complete(need as u32);
            self.note_used(1);
            self.since = None;
            by.count(give, frame.len());
            return Given::Done;
        }
        chain.put_back();
        self.spread(by, queue, give, frame)
    }

    /// Copies a frame to several buffers.
    #[inline(never)]
    fn spread(&mut self, by: Inspector<'_>, queue: &mut Virtqueue, give: &Give, frame: &[u8]) -> Given {
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
    fn fill(&mut self, by: Inspector<'_>, queue: &mut Virtqueue, need: usize) -> Filled {
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
    fn wait(&mut self, by: Inspector<'_>, some: bool) -> Given {
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
    fn no_fit(&mut self, by: Inspector<'_>) -> Given {
        self.since = None;
        by.counters.rx_no_fit.add(1);
        Given::Done
    }
}

/// What became of a frame that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Done,
    Wait,
}

/// A network says that it has received a frame for which there was no room: a fault of the network.
#[derive(Debug, thiserror::Error)]
#[error("a frame of {len} bytes, for which there was no room")]
struct LongerThanRoom {
    len: usize,
}
