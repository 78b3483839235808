//! A thread for each task.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::Instant;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::Runtime;
use crate::task::{Next, Ready, Source, TaskRunner};

/// Runs each task on a thread of its own, which sleeps in epoll while there is nothing to do.
///
/// The threads end with their tasks. Linux only.
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
        let poll = Poll::new(&runner)?;
        let name = self.name.as_deref().unwrap_or("virtio");
        thread::Builder::new().name(name.to_owned()).spawn(move || serve(runner, poll))?;
        Ok(())
    }
}

/// What epoll reports for the runner's own event.
const WAKE: u64 = u64::MAX;

struct Poll {
    epoll: Epoll,
    /// What is waited for. Kept open until it is taken out of the set: a file that others have open too could not be
    /// taken out afterwards, and its number may be that of another file by then.
    registered: Vec<Source>,
    version: u64,
    events: Vec<EpollEvent>,
}

impl Poll {
    fn new(runner: &TaskRunner) -> io::Result<Poll> {
        let epoll = Epoll::new()?;
        let wake = EpollEvent::new(EventSet::IN, WAKE);
        epoll.ctl(ControlOperation::Add, runner.wake().as_raw_fd(), wake)?;
        let mut poll = Poll { epoll, registered: Vec::new(), version: 0, events: vec![EpollEvent::default(); 65] };
        poll.register(runner)?;
        Ok(poll)
    }

    /// Waits for the runner's sources as they are now.
    fn register(&mut self, runner: &TaskRunner) -> io::Result<()> {
        if self.version == runner.sources_version() {
            return Ok(());
        }
        self.version = runner.sources_version();
        for fd in files(&self.registered).into_keys() {
            // What is not in the set any more need not be taken out.
            let _ = self.epoll.ctl(ControlOperation::Delete, fd, EpollEvent::default());
        }
        self.registered = runner.sources().to_vec();
        for (fd, set) in files(&self.registered) {
            self.epoll.ctl(ControlOperation::Add, fd, EpollEvent::new(set, fd as u64))?;
        }
        Ok(())
    }

    /// Waits for what the task wants; `-1` milliseconds are for ever.
    fn wait(&mut self, timeout: i32) -> io::Result<Ready> {
        let count = loop {
            match self.epoll.wait(timeout, &mut self.events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let mut ready = Ready::NONE;
        for event in &self.events[..count] {
            let has = event.event_set();
            for (index, source) in self.registered.iter().enumerate() {
                let (fd, set) = file(source);
                if event.data() == fd as u64 && has.intersects(set | EventSet::ERROR | EventSet::HANG_UP) {
                    ready = ready.with(index);
                }
            }
        }
        Ok(ready)
    }
}

/// What to wait for on which file.
fn file(source: &Source) -> (RawFd, EventSet) {
    match source {
        Source::Doorbell(event, _) | Source::Event(event) => (event.as_raw_fd(), EventSet::IN),
        Source::Readable(file) => (file.as_raw_fd(), EventSet::IN),
        Source::Writable(file) => (file.as_raw_fd(), EventSet::OUT),
    }
}

/// The same for all of them: the set takes each file once, whatever is waited for on it.
fn files(sources: &[Source]) -> BTreeMap<RawFd, EventSet> {
    let mut files = BTreeMap::new();
    for (fd, set) in sources.iter().map(file) {
        *files.entry(fd).or_insert(EventSet::empty()) |= set;
    }
    files
}

fn serve(mut runner: TaskRunner, mut poll: Poll) {
    if let Err(error) = turn(&mut runner, &mut poll) {
        // The runner is dropped, which tells its host that the task is lost.
        log::error!("a queue task's event loop failed: {error}");
    }
}

fn turn(runner: &mut TaskRunner, poll: &mut Poll) -> io::Result<()> {
    let mut ready = Ready::NONE;
    loop {
        let timeout = match runner.step(ready) {
            Next::Done => return Ok(()),
            Next::Again => 0,
            Next::Wait => -1,
            Next::WaitUntil(time) => milliseconds_until(time),
        };
        poll.register(runner)?;
        ready = poll.wait(timeout)?;
    }
}

/// Rounded up, so that the time has come when the wait is over.
fn milliseconds_until(time: Instant) -> i32 {
    let left = time.saturating_duration_since(Instant::now());
    i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}
