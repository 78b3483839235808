//! How tasks come to a thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Event;
use crate::task::TaskRunner;

/// What a thread is handed, and how many tasks it has.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Tasks that were handed over and have not ended.
    tasks: AtomicUsize,
    /// Signalled when there is something.
    pub(super) arrived: Event,
}

struct State {
    runners: Vec<TaskRunner>,
    open: bool,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Inbox> {
        let state = Mutex::new(State { runners: Vec::new(), open: true });
        Ok(Inbox { state, tasks: AtomicUsize::new(0), arrived: Event::new()? })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it takes tasks.
    pub(super) fn is_open(&self) -> bool {
        self.state().open
    }

    /// Tasks that the thread has, or will have.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Hands a task over.
    pub(super) fn put(&self, runner: TaskRunner) -> io::Result<()> {
        let mut state = self.state();
        if !state.open {
            return Err(io::Error::other("the thread has ended"));
        }
        self.tasks.fetch_add(1, Ordering::Relaxed);
        state.runners.push(runner);
        drop(state);
        self.arrived.signal();
        Ok(())
    }

    /// Takes no task any more. Whoever has the last one ends.
    pub(super) fn close(&self) {
        self.state().open = false;
        self.arrived.signal();
    }

    /// For the thread: what has come, and whether more may.
    pub(super) fn take(&self) -> (Vec<TaskRunner>, bool) {
        self.arrived.take();
        let mut state = self.state();
        (std::mem::take(&mut state.runners), state.open)
    }

    /// For the thread: a task has ended.
    pub(super) fn ended(&self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
