//! Tasks in an event loop that is not ours.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use vmm_sys_util::epoll::Epoll;

use super::inbox::Inbox;
use super::poll::{Patience, Poll};
use super::sys;
use super::timer::Timer;
use super::worker::Worker;
use crate::runtime::Runtime;
use crate::task::TaskRunner;

/// Runs all tasks in the event loop of a VMM: one file that is readable when there is something to do, and
/// [`turn`](Self::turn), which does it.
///
/// The file ([`AsFd`], [`AsRawFd`]) is an epoll with all that the tasks wait for, deadlines included, for a loop on
/// epoll, poll, mio, or whatever else waits for files. Nobody reads it. It is readable for as long as there is something
/// to do, and becomes so by whatever happens on any thread: a doorbell, a new task, a time that has come.
///
/// Tasks run on the thread that calls `turn`, which is to be the same each time. That thread may handle the driver's
/// register accesses, too, or remove devices: where a host has to wait for tasks, it runs them itself then. On other
/// threads it waits for the loop; where there is no thread that has called `turn`, or it has ended, on any.
///
/// Tasks take turns, and cost nothing while they are idle, as on a [`SharedRuntime`](crate::SharedRuntime). A task that
/// panics is lost: its device asks for a reset, and the others go on.
///
/// Cheap to clone; all clones are the same runtime. Tasks that are left when the last clone is gone, which includes those
/// that device hosts keep, are lost.
///
/// Send and Sync. No call waits for a task that another thread runs. Linux only.
#[derive(Clone)]
pub struct LoopRuntime(Arc<Shared>);

struct Shared {
    inbox: Arc<Inbox>,
    /// What the worker waits in.
    epoll: Arc<Epoll>,
    tasks: Mutex<Tasks>,
}

struct Tasks {
    worker: Worker,
    timer: Timer,
    /// Of the thread that runs them: there for as long as that is.
    home: Weak<()>,
}

thread_local! {
    /// Goes with its thread.
    static HERE: Arc<()> = Arc::new(());
}

fn here() -> Weak<()> {
    HERE.try_with(Arc::downgrade).unwrap_or_default()
}

impl LoopRuntime {
    /// A runtime without tasks.
    ///
    /// # Errors
    /// Those of the system calls: too many files are open.
    pub fn new() -> io::Result<LoopRuntime> {
        let inbox = Arc::new(Inbox::new()?);
        let (poll, timer) = (Poll::new()?, Timer::new()?);
        poll.end_by(&timer)?;
        let epoll = poll.epoll().clone();
        let worker = Worker::new(inbox.clone(), poll)?;
        let tasks = Mutex::new(Tasks { worker, timer, home: Weak::new() });
        Ok(LoopRuntime(Arc::new(Shared { inbox, epoll, tasks })))
    }

    /// Runs each task that has something to do once: bounded work. Never waits.
    ///
    /// False if no task had anything to do. A loop that is told only that a file *becomes* readable (edge-triggered, as
    /// those of mio and tokio are) calls this until it is false; others call it once, and come back if the file is
    /// readable still.
    pub fn turn(&self) -> bool {
        self.0.tasks().is_some_and(|mut tasks| {
            tasks.home = here();
            tasks.turn(&self.0.inbox)
        })
    }
}

impl Runtime for LoopRuntime {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        self.0.inbox.put(runner)
    }

    fn assist(&self) {
        // Another thread's loop comes to them by itself.
        if let Some(mut tasks) = self.0.tasks()
            && (tasks.home.strong_count() == 0 || tasks.home.ptr_eq(&here()))
            && tasks.turn(&self.0.inbox)
        {
            // What became readable meanwhile may have been taken for what was done here.
            self.0.inbox.arrived.signal();
        }
    }
}

impl Shared {
    /// None while they are being run, be it by this very thread.
    fn tasks(&self) -> Option<MutexGuard<'_, Tasks>> {
        match self.tasks.try_lock() {
            Ok(tasks) => Some(tasks),
            Err(TryLockError::Poisoned(tasks)) => Some(tasks.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Tasks {
    fn turn(&mut self, inbox: &Inbox) -> bool {
        let any = self.worker.round(Patience::None).and_then(|any| {
            match self.worker.patience() {
                Patience::None => inbox.arrived.signal(),
                Patience::Until(time) => self.timer.set(Some(time))?,
                Patience::Forever => self.timer.set(None)?,
            }
            Ok(any)
        });
        any.unwrap_or_else(|error| {
            self.worker.fail(&error);
            false
        })
    }
}

impl AsFd for LoopRuntime {
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::file(&self.0.epoll)
    }
}

impl AsRawFd for LoopRuntime {
    fn as_raw_fd(&self) -> RawFd {
        self.0.epoll.as_raw_fd()
    }
}

impl fmt::Debug for LoopRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopRuntime({} tasks)", self.0.inbox.tasks())
    }
}
