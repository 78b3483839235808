//! How a host speaks with the runner of a task: one command, newest wins, and its outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deadline;
use crate::event::Event;
use crate::ring::QueuePosition;

/// What a host wants of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Go on.
    Resume,
    /// Finish what is in flight and rest.
    Pause,
    /// Give up and end.
    Stop,
    /// Take nothing more from one queue, and finish what is in flight in it.
    StopQueue(u16),
}

/// What became of the last command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Paused(Vec<(u16, QueuePosition)>),
    QueueStopped,
    /// The task has ended: nothing of it is left.
    Gone,
}

pub(crate) struct TaskControl {
    /// Wakes the runner.
    pub(crate) wake: Event,
    pending: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    command: Option<Command>,
    outcome: Option<Outcome>,
}

impl TaskControl {
    pub(crate) fn new(wake: Event) -> TaskControl {
        TaskControl { wake, pending: AtomicBool::new(false), state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is wanted, in place of what was wanted before.
    pub(crate) fn request(&self, command: Command) {
        let mut state = self.state();
        if state.outcome == Some(Outcome::Gone) {
            return;
        }
        state.command = Some(command);
        state.outcome = None;
        self.pending.store(true, Ordering::Release);
        drop(state);
        self.wake.signal();
    }

    /// The outcome of the last command, if it is known.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome.clone()
    }

    /// Waits for the outcome of the last command.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let deadline = deadline::after(timeout);
        let mut state = self.state();
        while state.outcome.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.outcome.clone()
    }

    /// For the runner: a command that it has not seen.
    #[inline]
    pub(super) fn take(&self) -> Option<Command> {
        if !self.pending.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        self.pending.store(false, Ordering::Relaxed);
        state.command.take()
    }

    /// For the runner: what became of the command, unless there is a newer one.
    pub(super) fn report(&self, outcome: Outcome) {
        let mut state = self.state();
        if outcome != Outcome::Gone && state.command.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        drop(state);
        self.changed.notify_all();
    }
}
