//! Frames that one pair's task hands to another's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_core::Event;

use crate::NetHeader;

/// Frames that wait for one task; more than these are dropped.
const MOST_FRAMES: usize = 1024;
/// Bytes of them.
const MOST_BYTES: usize = 4 << 20;

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

    /// Hands over a frame; whether there was room.
    pub(crate) fn push(&self, frame: OwnedFrame) -> bool {
        let mut state = self.state();
        let Some(wake) = state.wake.clone() else { return false };
        if state.frames.len() >= MOST_FRAMES || state.bytes + frame.bytes.len() > MOST_BYTES {
            return false;
        }
        let was_empty = state.frames.is_empty();
        self.any.store(true, Ordering::Release);
        state.bytes += frame.bytes.len();
        state.frames.push_back(frame);
        drop(state);
        if was_empty {
            wake.signal();
        }
        true
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
        Some(frame)
    }
}
