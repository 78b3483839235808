//! How a host speaks with the runner of a task: one command, newest wins, and its outcome; beside it the queues that
//! are to be stopped or started again by themselves, which no command makes forgotten.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::event::Event;
use crate::ring::{QueuePosition, Virtqueue};
use crate::task::Quiesce;

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
    /// The queues that the host has something of their own for.
    queues: BTreeMap<u16, QueueOrder>,
}

/// What a host wants of one queue.
enum QueueOrder {
    /// It is to be stopped.
    Stop(Quiesce),
    /// It was, and nothing is in flight in it any more.
    Stopped,
    /// This is to take its place. The runner has not seen it yet.
    Start(Box<Virtqueue>),
}

/// What a runner has not seen of what its host wants.
pub(super) struct Orders {
    pub(super) command: Option<Command>,
    /// All queues that are to be stopped.
    pub(super) stops: Vec<(u16, Quiesce)>,
    /// Queues that take the place of stopped ones.
    pub(super) starts: Vec<Virtqueue>,
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

    /// Has the task take nothing more from a queue, and finish or give up what is in flight in it.
    pub(crate) fn stop_queue(&self, number: u16, how: Quiesce) {
        let mut state = self.state();
        let order = match state.queues.remove(&number) {
            // It never began; its end is for when the lock is free, for others hear of that.
            Some(QueueOrder::Start(queue)) => {
                state.queues.insert(number, QueueOrder::Stopped);
                drop(state);
                drop(queue);
                return self.changed.notify_all();
            }
            Some(QueueOrder::Stopped) => QueueOrder::Stopped,
            Some(QueueOrder::Stop(Quiesce::Cancel)) => QueueOrder::Stop(Quiesce::Cancel),
            Some(QueueOrder::Stop(Quiesce::Drain)) | None => QueueOrder::Stop(how),
        };
        state.queues.insert(number, order);
        self.pending.store(true, Ordering::Release);
        drop(state);
        self.wake.signal();
    }

    /// Has the task serve a queue that was stopped, as it is configured now. False where there is no task any more.
    pub(crate) fn start_queue(&self, queue: Virtqueue) -> bool {
        let mut state = self.state();
        if state.outcome == Some(Outcome::Gone) {
            return false;
        }
        let before = state.queues.insert(queue.index(), QueueOrder::Start(Box::new(queue)));
        self.pending.store(true, Ordering::Release);
        drop(state);
        drop(before);
        self.wake.signal();
        true
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
        let deadline = Deadline::after(timeout);
        let mut state = self.state();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let waited = self.changed.wait_timeout(state, deadline.left()?);
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
        let stops = state.queues.iter().filter_map(|(number, order)| match order {
            QueueOrder::Stop(how) => Some((*number, *how)),
            QueueOrder::Stopped | QueueOrder::Start(_) => None,
        });
        let stops = stops.collect();
        Some(Orders { command: state.command.take(), stops, starts: state.take_starts() })
    }

    /// For the runner: nothing is in flight any more in a queue that was to be stopped.
    pub(super) fn stopped(&self, number: u16) {
        self.state().queues.insert(number, QueueOrder::Stopped);
        self.changed.notify_all();
    }

    /// For the runner: what became of the command, unless there is a newer one.
    pub(super) fn report(&self, outcome: Outcome) {
        let mut state = self.state();
        if outcome != Outcome::Gone && state.command.is_some() {
            return;
        }
        // Nobody takes these any more, and they hold on to guest memory.
        let lost = if outcome == Outcome::Gone { state.take_starts() } else { Vec::new() };
        state.outcome = Some(outcome);
        drop(state);
        drop(lost);
        self.changed.notify_all();
    }
}

impl State {
    fn has_stopped(&self, number: u16) -> Option<bool> {
        match self.queues.get(&number)? {
            QueueOrder::Stop(_) => Some(self.outcome == Some(Outcome::Gone)),
            QueueOrder::Stopped => Some(true),
            QueueOrder::Start(_) => None,
        }
    }

    fn take_starts(&mut self) -> Vec<Virtqueue> {
        let starts = self.queues.extract_if(.., |_, order| matches!(order, QueueOrder::Start(_)));
        let queue = |(_, order)| if let QueueOrder::Start(queue) = order { Some(*queue) } else { None };
        starts.filter_map(queue).collect()
    }
}
