//! Frames that one pair's task hands to another's.
//!
//! A task that has handed over enough of them takes no more from the network until there is room. It goes on with those that
//! others have handed to it: so two that wait for each other both get on.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_core::Event;

use crate::NetHeader;
use crate::wire::MAX_FRAME_LEN;

/// Frames that wait for one task, before those who hand them over are to wait themselves.
const MOST_FRAMES: usize = 1024;
/// Bytes of them.
const MOST_BYTES: usize = 4 << 20;
/// So many times as much is dropped, not counting a frame of each who waits: nobody knows before the first one that is enough.
const TOO_MUCH: usize = 2;

/// A frame in memory of the device's own.
#[derive(Debug, Default)]
pub(crate) struct OwnedFrame {
    pub(crate) header: NetHeader,
    pub(crate) bytes: Vec<u8>,
}

/// Frames for one pair that others have received. The device has one for each pair.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// Whether there may be frames: what is seen without the lock, before each frame of the network.
    any: AtomicBool,
}

#[derive(Default)]
struct State {
    frames: VecDeque<OwnedFrame>,
    bytes: usize,
    /// Wakes the task, while there is one.
    wake: Option<Event>,
    /// The tasks of these pairs wait for room, and are woken by these.
    waiting: BTreeMap<u16, Event>,
}

/// What became of a frame that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is there.
    Taken,
    /// So it is, and it was enough: who handed it over is woken when there is room for more.
    Enough,
    /// It is lost: there is far too much, or no task.
    Refused,
}

impl State {
    fn has(&self, frames: usize, bytes: usize) -> bool {
        self.frames.len() >= frames || self.bytes >= bytes
    }
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pair's task is there, and is woken by `wake`.
    pub(crate) fn open(&self, wake: Event) {
        self.state().wake = Some(wake);
    }

    /// The device is reset: there is no task, and what waits is lost; how much that was.
    pub(crate) fn close(&self) -> usize {
        std::mem::take(&mut *self.state()).frames.len()
    }

    /// Takes a frame from the task of pair `from`, which is woken by `waker` when it has to wait.
    pub(crate) fn push(&self, frame: OwnedFrame, from: u16, waker: &Event) -> Pushed {
        let mut state = self.state();
        let Some(wake) = state.wake.clone() else { return Pushed::Refused };
        let last = state.waiting.len();
        if state.has(TOO_MUCH * MOST_FRAMES + last, TOO_MUCH * MOST_BYTES + last * MAX_FRAME_LEN) {
            return Pushed::Refused;
        }
        let was_empty = state.frames.is_empty();
        self.any.store(true, Ordering::Release);
        state.bytes += frame.bytes.len();
        state.frames.push_back(frame);
        let enough = state.has(MOST_FRAMES, MOST_BYTES);
        if enough {
            state.waiting.insert(from, waker.clone());
        }
        drop(state);
        if was_empty {
            wake.signal();
        }
        if enough { Pushed::Enough } else { Pushed::Taken }
    }

    /// Whether there is enough for now, and so the task of pair `from` has to wait. Then it is woken by `waker` when there is
    /// room for more: who was woken before may find that others have been faster.
    pub(crate) fn has_to_wait(&self, from: u16, waker: &Event) -> bool {
        let mut state = self.state();
        let full = state.wake.is_some() && state.has(MOST_FRAMES, MOST_BYTES);
        if full {
            state.waiting.insert(from, waker.clone());
        }
        full
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<OwnedFrame> {
        if self.any.load(Ordering::Acquire) { self.take() } else { None }
    }

    fn take(&self) -> Option<OwnedFrame> {
        let mut state = self.state();
        let Some(frame) = state.frames.pop_front() else {
            self.any.store(false, Ordering::Release);
            return None;
        };
        state.bytes -= frame.bytes.len();
        if !state.waiting.is_empty() && !state.has(MOST_FRAMES / 2, MOST_BYTES / 2) {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.values().for_each(Event::signal);
        }
        Some(frame)
    }
}
