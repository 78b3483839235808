//! What keeps a task's panic from everything else on its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::task::{Next, Ready, TaskRunner};

/// Steps a task. One that panics is done: dropped by its runtime, it has its device ask for a reset.
pub(super) fn step(runner: &mut TaskRunner, ready: Ready) -> Next {
    // Nothing is used of it afterwards: it is only dropped.
    catch_unwind(AssertUnwindSafe(|| runner.step(ready))).unwrap_or_else(|_| {
        log::error!("a queue task panicked; its device asks for a reset");
        Next::Done
    })
}

/// Drops a task.
pub(super) fn end(runner: TaskRunner) {
    if catch_unwind(AssertUnwindSafe(|| drop(runner))).is_err() {
        log::error!("a queue task panicked while it was dropped");
    }
}
