//! Tasks that run in whoever calls.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use super::Runtime;
use crate::task::{Next, Ready, TaskRunner};

/// Runs tasks in the thread that calls [`poll`](Self::poll), in the order in which they were spawned.
///
/// Deterministic: for tests, and for embedders that want to say when a device works. A task that panics panics in the
/// caller. Cheap to clone; all clones are the same runtime.
///
/// Send and Sync. Every call but [`assist`](Runtime::assist) waits for a [`poll`](Self::poll) of another thread, which runs the
/// tasks.
#[derive(Clone, Default)]
pub struct InlineRuntime(Arc<Mutex<Vec<Slot>>>);

struct Slot {
    runner: TaskRunner,
    next: Next,
}

/// Rounds over all tasks in one call of `poll`.
const ROUNDS: usize = 1024;

impl InlineRuntime {
    /// A runtime without tasks.
    pub fn new() -> InlineRuntime {
        InlineRuntime::default()
    }

    /// Runs the tasks until none has anything to do, or for a bounded time if they never run out of work. Says whether
    /// there is more to do.
    pub fn poll(&self) -> bool {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the first task wants to be run even if nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let deadlines = slots.iter().filter_map(|slot| match slot.next {
            Next::WaitUntil(time) => Some(time),
            Next::Again | Next::Wait | Next::Done => None,
        });
        deadlines.min()
    }
}

impl Runtime for InlineRuntime {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        let slot = Slot { runner, next: Next::Again };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        Ok(())
    }

    fn assist(&self) {
        // Where somebody runs them already, be it this thread, there is nothing to help with, or to wait for.
        match self.0.try_lock() {
            Ok(mut slots) => run(&mut slots),
            Err(TryLockError::Poisoned(slots)) => run(&mut slots.into_inner()),
            Err(TryLockError::WouldBlock) => false,
        };
    }
}

/// Says whether there is more to do.
fn run(slots: &mut Vec<Slot>) -> bool {
    for round in 0..ROUNDS {
        let mut again = false;
        for slot in slots.iter_mut() {
            slot.next = slot.runner.step(Ready::ALL);
            again |= slot.next == Next::Again;
        }
        slots.retain(|slot| slot.next != Next::Done);
        // A second round at least: a task may have signalled one that came before it.
        if !again && round > 0 {
            return false;
        }
    }
    true
}

impl fmt::Debug for InlineRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "InlineRuntime({tasks} tasks)")
    }
}
