//! What runs the tasks.

#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod epoll;
mod inline;
#[cfg(all(test, feature = "eventfd", target_os = "linux"))]
mod tests;

use std::io;

use crate::task::TaskRunner;

#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use epoll::{LoopRuntime, SharedRuntime, ThreadRuntime};
pub use inline::InlineRuntime;

/// Runs tasks: on threads of its own, on an event loop, or in the caller.
///
/// Few need to implement it. For the event loop of a VMM there is `LoopRuntime`, which is one file to wait for; this trait
/// is for what cannot wait for such a file, or spreads tasks over threads in a way of its own. [`TaskRunner`] says what to
/// do with a task.
///
/// A task belongs to the thread that steps it first: all that it is stepped by is one thread, unless that has ended. A
/// task may have opened files that serve that thread alone (an io_uring with a single issuer is one). `TaskRunner` is
/// `Send` for the way to that thread.
pub trait Runtime: Send + Sync {
    /// Takes over a task. Must not step it before this returns, nor wait for anything.
    ///
    /// # Errors
    /// Whatever kept it from taking the task, which is dropped then; the device asks for a reset.
    fn spawn(&self, runner: TaskRunner) -> io::Result<()>;

    /// Called again and again by a thread that waits for a task, as one does that writes zero to the status.
    ///
    /// Where tasks are stepped by the very thread that calls this, nobody else does it meanwhile: it steps them here,
    /// else every reset waits in vain. Where other threads step them, there is nothing to do. Waits for no other thread.
    /// May be called by a task that is being stepped: then, too, it does nothing.
    fn assist(&self);
}
