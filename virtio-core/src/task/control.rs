//! How a host speaks with the runner of a task: one command, newest wins, and its outcome; beside it the queues that
//! are to be stopped for good, which no command makes forgotten.

use std::collections::BTreeMap;
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
}

/// What became of the last command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Paused(Vec<(u16, QueuePosition)>),
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
    /// Queues that are to be stopped, and whether nothing is in flight in them any more.
    stops: BTreeMap<u16, bool>,
}

/// What a runner has not seen of what its host wants.
pub(super) struct Orders {
    pub(super) command: Option<Command>,
    /// All queues that were ever to be stopped.
    pub(super) stops: Vec<u16>,
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

    /// Has the task take nothing more from a queue, and finish what is in flight in it.
    pub(crate) fn stop_queue(&self, number: u16) {
        let mut state = self.state();
        state.stops.entry(number).or_insert(false);
        self.pending.store(true, Ordering::Release);
        drop(state);
        self.wake.signal();
    }

    /// Whether a queue that was to be stopped has come to rest; none if it was not.
    pub(crate) fn has_stopped(&self, number: u16) -> Option<bool> {
        self.state().has_stopped(number)
    }

    /// The outcome of the last command, if it is known.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome.clone()
    }

    /// Waits for the outcome of the last command.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Outcome> {
        self.wait_until(timeout, |state| state.outcome.clone())
    }

    /// Waits until a queue that was to be stopped has come to rest.
    pub(crate) fn wait_stopped(&self, number: u16, timeout: Duration) -> Option<()> {
        self.wait_until(timeout, |state| (state.has_stopped(number) == Some(true)).then_some(()))
    }

    fn wait_until<T>(&self, timeout: Duration, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        let deadline = deadline::after(timeout);
        let mut state = self.state();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// For the runner: what it has not seen.
    #[inline]
    pub(super) fn take(&self) -> Option<Orders> {
        if !self.pending.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        self.pending.store(false, Ordering::Relaxed);
        Some(Orders { command: state.command.take(), stops: state.stops.keys().copied().collect() })
    }

    /// For the runner: nothing is in flight any more in a queue that was to be stopped.
    pub(super) fn stopped(&self, number: u16) {
        self.state().stops.insert(number, true);
        self.changed.notify_all();
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

impl State {
    fn has_stopped(&self, number: u16) -> Option<bool> {
        self.stops.get(&number).map(|stopped| *stopped || self.outcome == Some(Outcome::Gone))
    }
}
