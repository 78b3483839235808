//! A thread for each task.

use std::io;
use std::thread;

use super::contain;
use super::poll::{Patience, Poll, Watched};
use crate::runtime::Runtime;
use crate::task::{Next, Ready, Source, TaskRunner};

/// Runs each task on a thread of its own, which sleeps in epoll while there is nothing to do.
///
/// The threads end with their tasks. A task that panics is lost: its device asks for a reset. Linux only.
///
/// Send and Sync. No call waits for a task.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ThreadRuntime {
    name: Option<String>,
}

impl ThreadRuntime {
    /// Threads with the name `virtio`.
    pub fn new() -> ThreadRuntime {
        ThreadRuntime::default()
    }

    /// Threads with this name, of which the kernel keeps the first 15 bytes.
    pub fn named(name: impl Into<String>) -> ThreadRuntime {
        ThreadRuntime { name: Some(name.into()) }
    }
}

impl Runtime for ThreadRuntime {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        let (mut poll, mut watched) = (Poll::new()?, Watched::default());
        poll.wake_by(TASK, Source::Event(runner.wake().clone()))?;
        poll.register(TASK, &mut watched, &runner)?;
        let name = self.name.as_deref().unwrap_or("virtio");
        thread::Builder::new().name(name.to_owned()).spawn(move || serve(runner, poll, watched))?;
        Ok(())
    }

    fn assist(&self) {}
}

/// The number of the only task.
const TASK: usize = 0;

fn serve(mut runner: TaskRunner, mut poll: Poll, mut watched: Watched) {
    if let Err(error) = turn(&mut runner, &mut poll, &mut watched) {
        log::error!("a queue task's event loop failed: {error}");
    }
    // What it waited for is let go before its end is known. A task that was not told to end has its host told.
    drop(poll);
    contain::end(runner);
}

fn turn(runner: &mut TaskRunner, poll: &mut Poll, watched: &mut Watched) -> io::Result<()> {
    // It was woken when it was made.
    let mut ready = Ready::NONE.woken();
    loop {
        let patience = match contain::step(runner, ready) {
            Next::Done => return Ok(()),
            Next::Again => Patience::None,
            Next::Wait => Patience::Forever,
            Next::WaitUntil(time) => Patience::Until(time),
        };
        poll.register(TASK, watched, runner)?;
        ready = Ready::NONE;
        poll.wait(patience, |_, place| ready = ready.and(place))?;
    }
}
