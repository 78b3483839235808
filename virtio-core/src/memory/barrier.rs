//! Waiting until a change of guest memory has reached everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::deadline::Deadline;

type Callback = Box<dyn FnOnce() + Send>;

/// Which versions of guest memory somebody may still access.
#[derive(Default)]
pub(super) struct Versions {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Tables that are alive, by version.
    live: BTreeSet<u64>,
    /// Views by the version that they use now, with how many of them do.
    seen: BTreeMap<u64, usize>,
    callbacks: Vec<(Target, Callback)>,
}

/// What a barrier waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// No map of regions before this version is alive.
    Released(u64),
    /// No view uses a version before this one for new work.
    Seen(u64),
}

impl State {
    fn reached(&self, target: Target) -> bool {
        match target {
            Target::Released(version) => self.live.first().is_none_or(|live| *live >= version),
            Target::Seen(version) => self.seen.first_key_value().is_none_or(|(seen, _)| *seen >= version),
        }
    }
}

impl Versions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn created(&self, version: u64) {
        self.state().live.insert(version);
    }

    pub(super) fn released(&self, version: u64) {
        self.update(|state| {
            state.live.remove(&version);
        });
    }

    /// A view moved from version `from` (if it had one) to version `to` (if it still exists).
    pub(super) fn moved(&self, from: Option<u64>, to: Option<u64>) {
        self.update(|state| {
            if let Some(to) = to {
                *state.seen.entry(to).or_default() += 1;
            }
            if let Some(from) = from
                && let Some(count) = state.seen.get_mut(&from)
            {
                *count -= 1;
                if *count == 0 {
                    state.seen.remove(&from);
                }
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let mut ready = Vec::new();
        let mut index = 0;
        while index < state.callbacks.len() {
            if state.reached(state.callbacks[index].0) {
                ready.push(state.callbacks.swap_remove(index).1);
            } else {
                index += 1;
            }
        }
        drop(state);
        self.changed.notify_all();
        ready.into_iter().for_each(call);
    }
}

/// Calls a callback where somebody else is at work: one that panics must not stop a queue halfway between two versions
/// of memory, nor keep the other callbacks from being called.
fn call(callback: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
        log::error!("a callback of a memory barrier panicked");
        // To drop it could panic again.
        std::mem::forget(panic);
    }
}

/// Fires when a change of guest memory has reached every task, ring and operation in flight.
///
/// A protocol reply that lets the other side free the memory (an unmap, a memory region removed) waits for it. It may
/// be dropped without waiting.
///
/// Send and Sync. Only [`wait`](Self::wait) blocks.
#[must_use = "memory that was taken away may still be accessed until the barrier is complete"]
pub struct MemoryBarrier {
    pub(super) versions: Arc<Versions>,
    pub(super) target: Target,
}

impl MemoryBarrier {
    /// Whether nobody uses the old state any more.
    pub fn is_complete(&self) -> bool {
        self.versions.state().reached(self.target)
    }

    /// Blocks until the barrier is complete, at most for `timeout`; says whether it is.
    ///
    /// Must not be called from a queue task: it would wait for itself.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Deadline::after(timeout);
        let mut state = self.versions.state();
        while !state.reached(self.target) {
            let Some(left) = deadline.left() else {
                return false;
            };
            let waited = self.versions.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Calls `callback` once the barrier is complete: at once if it is, else on the thread that completes it, which may
    /// be a queue's task. One that panics is logged, and disturbs nobody.
    pub fn on_complete(self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.versions.state();
        if state.reached(self.target) {
            drop(state);
            call(callback);
        } else {
            state.callbacks.push((self.target, Box::new(callback)));
        }
    }
}

impl fmt::Debug for MemoryBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBarrier({:?}, complete: {})", self.target, self.is_complete())
    }
}
