//! Waiting for the files of tasks in one epoll.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use crate::task::{Source, TaskRunner};

/// The files that tasks wait for. Each task has a number, which whoever owns this gives it.
pub(super) struct Poll {
    epoll: Arc<Epoll>,
    pub(super) watches: HashMap<RawFd, Watch>,
    events: Vec<EpollEvent>,
}

/// One file: the set takes it once, whoever waits for it, and whatever for.
pub(super) struct Watch {
    /// What the kernel was told to wait for.
    set: EventSet,
    users: Vec<User>,
}

struct User {
    task: usize,
    /// The source's place in its task; none for an event that only wakes it.
    place: Option<usize>,
    set: EventSet,
    /// Kept open until it is taken out of the set: a file that others have open too could not be taken out afterwards,
    /// and its number may be that of another file by then.
    _open: Source,
}

/// What a task waits for besides its own event.
#[derive(Default)]
pub(super) struct Watched {
    version: u64,
    files: Vec<RawFd>,
}

/// Stands for a file that is for no task.
const NO_FILE: RawFd = -1;

/// How long to wait.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    None,
    Until(Instant),
    Forever,
}

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: Arc::new(Epoll::new()?), watches: HashMap::new(), events: Vec::new() })
    }

    /// What is waited in: itself a file that can be waited for.
    pub(super) fn epoll(&self) -> &Arc<Epoll> {
        &self.epoll
    }

    /// Ends waits when a file is readable that is for no task.
    pub(super) fn end_by(&self, file: &impl AsRawFd) -> io::Result<()> {
        self.epoll.ctl(ControlOperation::Add, file.as_raw_fd(), EpollEvent::new(EventSet::IN, NO_FILE as u64))
    }

    /// Waits for an event that wakes `task` and is none of its sources.
    pub(super) fn wake_by(&mut self, task: usize, source: Source) -> io::Result<()> {
        let file = self.add(task, None, source);
        self.update(file)
    }

    /// Waits for the sources of a task as they are now.
    pub(super) fn register(&mut self, task: usize, watched: &mut Watched, runner: &TaskRunner) -> io::Result<()> {
        if watched.version == runner.sources_version() {
            return Ok(());
        }
        watched.version = runner.sources_version();
        let mut changed = std::mem::take(&mut watched.files);
        let _open = self.take_out(task, &changed, |user| user.place.is_some());
        for (place, source) in runner.sources().iter().enumerate() {
            watched.files.push(self.add(task, Some(place), source.clone()));
        }
        changed.extend(&watched.files);
        changed.into_iter().try_for_each(|file| self.update(file))
    }

    /// Waits for nothing more of a task.
    pub(super) fn forget(&mut self, task: usize, watched: Watched, runner: &TaskRunner) {
        let mut files = watched.files;
        files.push(runner.wake().as_raw_fd());
        let _open = self.take_out(task, &files, |_| true);
        for file in files {
            // What else is waited for on the file is in the set already, at most with too much.
            let _ = self.update(file);
        }
    }

    fn add(&mut self, task: usize, place: Option<usize>, source: Source) -> RawFd {
        let (file, set) = file(&source);
        let watch = self.watches.entry(file).or_insert_with(|| Watch { set: EventSet::empty(), users: Vec::new() });
        watch.users.push(User { task, place, set, _open: source });
        file
    }

    /// Those that are to be dropped after the kernel has been told.
    fn take_out(&mut self, task: usize, files: &[RawFd], which: impl Fn(&User) -> bool) -> Vec<User> {
        let mut out = Vec::new();
        for file in files {
            if let Some(watch) = self.watches.get_mut(file) {
                out.extend(watch.users.extract_if(.., |user| user.task == task && which(user)));
            }
        }
        out
    }

    /// Has the kernel wait for what is wanted of a file now.
    fn update(&mut self, file: RawFd) -> io::Result<()> {
        let Some(watch) = self.watches.get_mut(&file) else {
            return Ok(());
        };
        let wanted = watch.users.iter().fold(EventSet::empty(), |set, user| set | user.set);
        let event = EpollEvent::new(wanted, file as u64);
        if wanted.is_empty() {
            // What is not in the set any more need not be taken out.
            let _ = self.epoll.ctl(ControlOperation::Delete, file, event);
            self.watches.remove(&file);
        } else if watch.set.is_empty() {
            self.epoll.ctl(ControlOperation::Add, file, event)?;
            watch.set = wanted;
        } else if watch.set != wanted {
            self.epoll.ctl(ControlOperation::Modify, file, event)?;
            watch.set = wanted;
        }
        Ok(())
    }

    /// Waits until something is ready, and names each task and the place of its source; no place for its own event.
    pub(super) fn wait(&mut self, patience: Patience, mut ready: impl FnMut(usize, Option<usize>)) -> io::Result<()> {
        // Room for all: whatever is ready is known after one call.
        if self.events.len() <= self.watches.len() {
            self.events.resize((self.watches.len() + 1).next_power_of_two(), EpollEvent::default());
        }
        let count = loop {
            match self.epoll.wait(patience.milliseconds(), &mut self.events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        for event in &self.events[..count] {
            let has = event.event_set();
            let users = self.watches.get(&(event.data() as RawFd)).map_or(&[][..], |watch| &watch.users);
            for User { task, place, set, _open } in users {
                if has.intersects(*set | EventSet::ERROR | EventSet::HANG_UP) {
                    ready(*task, *place);
                }
            }
        }
        Ok(())
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

impl Patience {
    /// As epoll takes it. Rounded up, so that the time has come when the wait is over.
    fn milliseconds(self) -> i32 {
        match self {
            Patience::None => 0,
            Patience::Forever => -1,
            Patience::Until(time) => {
                let left = time.saturating_duration_since(Instant::now());
                i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
            }
        }
    }
}
