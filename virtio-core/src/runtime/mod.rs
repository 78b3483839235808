//! What runs the tasks.

#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod epoll;
mod inline;
#[cfg(all(test, feature = "eventfd", target_os = "linux"))]
mod tests;

use std::io;

use crate::task::TaskRunner;

#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use epoll::{SharedRuntime, ThreadRuntime};
pub use inline::InlineRuntime;

/// Runs tasks: on threads of its own, on an event loop, or in the caller.
///
/// An embedder with an event loop implements this over it: see [`TaskRunner`] for what to do with one.
pub trait Runtime: Send + Sync {
    /// Takes over a task. Must not run it before it returns, nor wait for anything.
    ///
    /// # Errors
    /// Whatever kept it from running the task; the device asks for a reset then.
    fn spawn(&self, runner: TaskRunner) -> io::Result<()>;

    /// Called by a thread that waits for a task: a runtime whose tasks run in its callers runs them now. Must not wait
    /// for another thread that runs them.
    fn assist(&self) {}
}
