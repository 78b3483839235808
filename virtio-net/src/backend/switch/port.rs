//! Where frames wait for a device.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_core::Event;

use crate::backend::NetworkCounts;
use crate::backend::frames::{Buffers, Fifo, Frame};
use crate::flows::Flows;
use crate::packet::{Layers, flow};

/// Frames that wait for a pair.
const FRAMES: usize = 512;
/// Frames that are taken at a time.
const BATCH: usize = 64;

/// One port.
pub(super) struct Port {
    slot: usize,
    inboxes: Box<[Inbox]>,
    in_use: AtomicU16,
    /// Frames that came while all pairs were closed.
    unclaimed: AtomicU64,
    /// Where there is a choice of pairs.
    flows: Option<Flows>,
}

/// What became of a frame.
pub(super) enum Delivery {
    /// It is there. A buffer like its own, if there was one to be used again, and whom to wake for it.
    Taken(Option<Vec<u8>>, Option<Event>),
    /// It is lost.
    Lost(Frame),
}

impl Port {
    pub(super) fn new(slot: usize, pairs: u16) -> Port {
        Port {
            slot,
            inboxes: (0..pairs).map(|_| Inbox::default()).collect(),
            in_use: AtomicU16::new(pairs),
            unclaimed: AtomicU64::new(0),
            flows: (pairs > 1).then(Flows::new),
        }
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// By what the addresses behind it are learned. None for slots beyond all that have one: these learn nothing.
    pub(super) fn id(&self) -> Option<NonZeroU16> {
        u16::try_from(self.slot).ok()?.checked_add(1).and_then(NonZeroU16::new)
    }

    pub(super) fn pairs(&self) -> u16 {
        u16::try_from(self.inboxes.len()).unwrap_or(u16::MAX)
    }

    /// Delivers to the first `pairs` pairs from now on. What waits for others is forgotten.
    pub(super) fn use_pairs(&self, pairs: u16) {
        self.in_use.store(pairs, Relaxed);
        for inbox in self.inboxes.iter().skip(pairs.into()) {
            inbox.forget();
        }
    }

    pub(super) fn counts(&self) -> NetworkCounts {
        let mut counts = NetworkCounts { unclaimed: self.unclaimed.load(Relaxed), ..NetworkCounts::default() };
        for Inbox { overflows, unclaimed, .. } in &self.inboxes {
            counts.overflows = counts.overflows.wrapping_add(overflows.load(Relaxed));
            counts.unclaimed = counts.unclaimed.wrapping_add(unclaimed.load(Relaxed));
        }
        counts
    }

    pub(super) fn inbox(&self, pair: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(pair))
    }

    /// The device sends this frame by this pair.
    #[inline]
    pub(super) fn sends(&self, frame: &Frame, pair: u16) {
        if let Some(flows) = &self.flows {
            flows.note(flow_of(frame), pair);
        }
    }

    /// Puts a frame where the device finds it. Where it has closed the pair that the frame belongs to, it gets it by
    /// another one.
    #[inline]
    pub(super) fn deliver(&self, frame: Frame) -> Delivery {
        let pair = match &self.flows {
            Some(flows) => flows.pair(flow_of(&frame), self.in_use.load(Relaxed)),
            None => 0,
        };
        let mut frame = frame;
        for inbox in self.inbox(pair).into_iter().chain(&self.inboxes) {
            match inbox.put(frame) {
                Ok(delivery) => return delivery,
                Err(back) => frame = back,
            }
        }
        self.unclaimed.fetch_add(1, Relaxed);
        Delivery::Lost(frame)
    }
}

/// A number for the flow that a frame belongs to; all that is not IP is one flow.
fn flow_of(frame: &Frame) -> u32 {
    Layers::parse(&frame.bytes).as_ref().and_then(flow::flow).unwrap_or(0)
}

/// What waits for one pair.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    overflows: AtomicU64,
    /// Frames that waited when they were forgotten.
    unclaimed: AtomicU64,
}

struct State {
    frames: Fifo,
    /// Buffers of frames that were taken, for whoever brings the next ones.
    used: Buffers,
    /// None while the pair is closed.
    reader: Option<Reader>,
}

impl Default for State {
    fn default() -> State {
        State { frames: Fifo::new(FRAMES), used: Buffers::default(), reader: None }
    }
}

struct Reader {
    event: Event,
    /// It has found nothing, and waits for the event.
    waits: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take frames in. Of one that comes, `event` tells.
    pub(super) fn open(&self, event: &Event) -> io::Result<()> {
        let mut state = self.lock();
        if state.reader.is_some() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the pair is open already"));
        }
        state.reader = Some(Reader { event: event.clone(), waits: true });
        Ok(())
    }

    /// Forgets what is there, besides so many frames that were taken out already, and takes nothing in any more.
    pub(super) fn close(&self, taken: usize) {
        let closed = std::mem::take(&mut *self.lock());
        // With no lock held.
        self.unclaimed.fetch_add(closed.frames.len().saturating_add(taken) as u64, Relaxed);
        drop(closed);
    }

    /// Forgets what is there.
    fn forget(&self) {
        let mut state = self.lock();
        self.unclaimed.fetch_add(state.frames.len() as u64, Relaxed);
        state.frames.clear();
    }

    /// Takes a frame in, or gives it back if the pair is closed.
    fn put(&self, frame: Frame) -> Result<Delivery, Frame> {
        let mut state = self.lock();
        let State { frames, used, reader: Some(reader) } = &mut *state else { return Err(frame) };
        let len = frame.bytes.len();
        if let Err(frame) = frames.push(frame) {
            drop(state);
            self.overflows.fetch_add(1, Relaxed);
            return Ok(Delivery::Lost(frame));
        }
        let wake = std::mem::take(&mut reader.waits).then(|| reader.event.clone());
        Ok(Delivery::Taken(used.take_used(len), wake))
    }

    /// Takes some frames out, in exchange for buffers. Where there are none, the event is signalled with the next one.
    pub(super) fn take(&self, batch: &mut VecDeque<Frame>, empty: &mut Vec<Vec<u8>>) {
        let mut state = self.lock();
        let State { frames, used, reader } = &mut *state;
        empty.drain(..).for_each(|buffer| used.give(buffer));
        batch.extend(std::iter::from_fn(|| frames.pop()).take(BATCH));
        if let (true, Some(reader)) = (batch.is_empty(), reader) {
            reader.waits = true;
        }
    }
}
