//! What has been received and goes to the driver.

use std::time::{Duration, Instant};

use virtio_core::Virtqueue;

use super::super::gather::Gather;
use super::super::inspect::{Inspector, Verdict};
use super::super::mailbox::OwnedFrame;
use super::give::{Content, Given};
use super::{START, Step};
use crate::NetHeader;
use crate::packet::segment::Segments;

/// How long a frame may wait for buffers that the ring has, and that are too few.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What has been received and goes to the driver, and the driver's buffers for it.
#[derive(Default)]
pub(in crate::task) struct Delivery {
    pub(super) gather: Gather,
    pub(super) waiting: Waiting,
    /// Since when a frame waits although there are buffers.
    pub(super) since: Option<Instant>,
    /// Buffers that frames of this run had, and those of the last one.
    pub(super) used: u32,
    last: u32,
    /// Memory for the next frame that has to be kept.
    pub(super) spare: Vec<u8>,
}

/// What has been received and not given to the driver.
#[derive(Default)]
pub(super) enum Waiting {
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

impl Delivery {
    /// Forgets what has been received; whether there was something.
    pub(in crate::task) fn abandon(&mut self) -> bool {
        self.since = None;
        !matches!(std::mem::take(&mut self.waiting), Waiting::Nothing)
    }

    /// The task rests for a while, which does not count as waiting for the driver.
    pub(in crate::task) fn rest(&mut self) {
        self.since = None;
    }

    pub(in crate::task) fn begin_run(&mut self) {
        self.used = 0;
    }

    /// Whether a queue that gives so many buffers in a run has enough for a frame like the last one.
    pub(in crate::task) fn has_room_in_run(&self, most: u32) -> bool {
        self.used + self.last <= most
    }

    pub(super) fn note_used(&mut self, buffers: u32) {
        self.used += buffers;
        self.last = buffers;
    }

    pub(in crate::task) fn is_waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Nothing)
    }

    /// When a frame is given up for which there are too few buffers.
    pub(in crate::task) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// A frame that another pair's task has received.
    pub(in crate::task) fn take_in(&mut self, frame: OwnedFrame) {
        self.waiting = Waiting::Frame { frame, steered: true };
    }

    /// Goes on with what has been received.
    pub(in crate::task) fn go_on(&mut self, by: &Inspector<'_>, queue: Option<&mut Virtqueue>) -> Step {
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

    /// A frame in memory that no driver changes.
    #[inline(always)]
    pub(super) fn look(
        &mut self,
        by: &Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        header: NetHeader,
        mut content: Content<'_>,
    ) -> Step {
        let frame = content.frame();
        let len = frame.len();
        match by.inspect(&header, frame.get(..START).unwrap_or(frame), len, false) {
            Verdict::Drop => {}
            Verdict::Elsewhere(pair) => by.hand_over(pair, OwnedFrame { header, bytes: frame.to_vec() }),
            Verdict::Rework => self.rework(by, OwnedFrame { header, bytes: frame.to_vec() }),
            Verdict::Give(give) => {
                if self.give(by, queue, &give, &mut content) == Given::Wait {
                    self.keep(header, content.frame());
                    return Step::Blocked;
                }
            }
        }
        Step::Frame { len }
    }

    /// A frame waits for buffers.
    #[cold]
    fn keep(&mut self, header: NetHeader, frame: &[u8]) {
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        bytes.extend_from_slice(frame);
        self.waiting = Waiting::Frame { frame: OwnedFrame { header, bytes }, steered: false };
    }

    /// A frame in memory of our own.
    fn look_at(&mut self, by: &Inspector<'_>, queue: Option<&mut Virtqueue>, frame: OwnedFrame, steered: bool) -> Step {
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
}
