//! Many tasks on few threads.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::inbox::Inbox;
use super::poll::Poll;
use super::worker::Worker;
use crate::runtime::Runtime;
use crate::task::TaskRunner;

/// Runs all tasks on a fixed number of threads, which sleep in epoll while there is nothing to do.
///
/// A task goes to the thread that has the fewest, and stays there. A task that has nothing to do costs nothing: a wake-up
/// costs what the tasks that are ready cost, however many there are. Those that are ready take turns: each is run once,
/// then events are looked for, so that one that always has work keeps no other from its own.
///
/// A task that panics is lost: its device asks for a reset, and the other tasks of its thread go on.
///
/// Cheap to clone; all clones are the same runtime. When the last clone is gone, which includes those that device hosts
/// keep, each thread ends after its last task has ended. Dropping it waits for nothing. Linux only.
///
/// Send and Sync. No call waits for a task.
#[derive(Clone)]
pub struct SharedRuntime(Arc<Pool>);

#[derive(Default)]
struct Pool {
    threads: Mutex<Vec<Arc<Inbox>>>,
}

impl SharedRuntime {
    /// So many threads with the name `virtio`.
    ///
    /// # Errors
    /// As [`named`](Self::named).
    pub fn new(threads: usize) -> io::Result<SharedRuntime> {
        SharedRuntime::named("virtio", threads)
    }

    /// So many threads with this name, of which the kernel keeps the first 15 bytes.
    ///
    /// # Errors
    /// `InvalidInput` for no thread at all; else those of the system calls: too many files are open, or there are too
    /// many threads.
    pub fn named(name: impl Into<String>, threads: usize) -> io::Result<SharedRuntime> {
        if threads == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a runtime without threads"));
        }
        let name = name.into();
        // Where a thread cannot be started, those that were end when this is dropped.
        let pool = Pool::default();
        for _ in 0..threads {
            let inbox = Arc::new(Inbox::new()?);
            let worker = Worker::new(inbox.clone(), Poll::new()?)?;
            thread::Builder::new().name(name.clone()).spawn(move || worker.serve())?;
            pool.threads.lock().unwrap_or_else(PoisonError::into_inner).push(inbox);
        }
        Ok(SharedRuntime(Arc::new(pool)))
    }
}

impl Runtime for SharedRuntime {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        // Held until the task is counted, so that two do not take the same place.
        let threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let open = threads.iter().filter(|inbox| inbox.is_open());
        match open.min_by_key(|inbox| inbox.tasks()) {
            Some(inbox) => inbox.put(runner),
            None => Err(io::Error::other("no thread is left")),
        }
    }

    fn assist(&self) {}
}

impl Drop for Pool {
    fn drop(&mut self) {
        for inbox in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner) {
            inbox.close();
        }
    }
}

impl fmt::Debug for SharedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = threads.iter().map(|inbox| inbox.tasks());
        write!(f, "SharedRuntime({} tasks on {} threads)", tasks.sum::<usize>(), threads.len())
    }
}
