//! The operations of a queue.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::job::{After, Job, Part, Refused};
use super::protocol::{Command, ENOSPC, ENOTSUP, Export};
use crate::backend::{Completion, Operation, OperationError, OperationKind};

/// Zeros for the holes of a read.
static ZEROES: [u8; 4096] = [0; 4096];

/// The operations of a queue, from submission to completion.
#[derive(Debug)]
pub(super) struct Jobs {
    export: Export,
    read_only: bool,
    cache: Arc<Cache>,
    /// By tag.
    jobs: Vec<Option<Job>>,
    /// Those that have more to be asked for.
    queue: VecDeque<u16>,
    /// Requests that were lost with their connection. All of operations that have not failed.
    redo: VecDeque<Part>,
    finished: VecDeque<Completion>,
    /// How long an operation may be in trouble.
    limit: Duration,
}

impl Jobs {
    pub(super) fn new(depth: u16, export: Export, read_only: bool, cache: Arc<Cache>, limit: Duration) -> Jobs {
        let depth = usize::from(depth);
        Jobs {
            export,
            read_only,
            cache,
            jobs: (0..depth).map(|_| None).collect(),
            queue: VecDeque::with_capacity(depth),
            redo: VecDeque::new(),
            finished: VecDeque::with_capacity(depth),
            limit,
        }
    }

    /// How long an operation may be in trouble from now on.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    fn job(&mut self, tag: u16) -> Option<&mut Job> {
        self.jobs.get_mut(usize::from(tag))?.as_mut()
    }

    /// Takes an operation. `trouble` says since when, if there is no connection.
    pub(super) fn submit(&mut self, operation: Box<Operation>, trouble: Option<Instant>) {
        let tag = operation.tag();
        let mut job = match Job::new(operation, &self.export, self.read_only) {
            Ok(job) => job,
            Err(Refused { operation, result }) => return self.finished.push_back(Completion { operation, result }),
        };
        match self.jobs.get_mut(usize::from(tag)) {
            Some(place @ None) => {
                job.trouble = trouble;
                *place = Some(job);
                self.queue.push_back(tag);
            }
            // Against its promise, the device has one with this tag, or more than it said.
            _ => self.finished.push_back(failure(job.operation, io::Error::from(io::ErrorKind::InvalidInput).into())),
        }
    }

    pub(super) fn pop_finished(&mut self) -> Option<Completion> {
        self.finished.pop_front()
    }

    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// The request to be sent next.
    pub(super) fn next(&mut self) -> Option<Part> {
        if let Some(part) = self.redo.front() {
            return Some(*part);
        }
        let tag = *self.queue.front()?;
        let (export, mark) = (self.export, self.cache.mark());
        self.job(tag).map(|job| job.next(&export, mark))
    }

    /// Takes that request: it is done, or lost, later.
    pub(super) fn take(&mut self, part: &Part) {
        if self.redo.front() == Some(part) {
            self.redo.pop_front();
        } else if self.job(part.tag).is_none_or(|job| job.took(part)) {
            self.queue.pop_front();
        }
    }

    /// Copies the data of a write to the end of `buffer`: `len` bytes from `at` on in the request.
    ///
    /// # Errors
    /// If guest memory cannot be read; the request cannot be sent then.
    pub(super) fn write_data(&mut self, part: &Part, at: u32, len: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let job = self.job(part.tag).ok_or(io::ErrorKind::NotFound)?;
        let mut reader = job.operation.reader();
        let skip = usize::try_from(part.at + u64::from(at)).map_err(io::Error::other)?;
        let start = buffer.len();
        buffer.resize(start + len, 0);
        let place = buffer.get_mut(start..).unwrap_or_default();
        reader.skip(skip).and_then(|()| reader.read(place)).map_err(io::Error::other)
    }

    /// Data for a read: what is `at` bytes behind the start of the request.
    pub(super) fn read_data(&mut self, part: &Part, at: u32, bytes: &[u8]) {
        self.fill(part, at, bytes.len() as u32, |from, len| bytes.get(from..from + len));
    }

    /// Zeros for a read.
    pub(super) fn read_zeroes(&mut self, part: &Part, at: u32, len: u32) {
        self.fill(part, at, len, |_, len| Some(ZEROES.get(..len).unwrap_or(&ZEROES)));
    }

    /// Writes to guest memory what is wanted of `len` bytes from `at` on in the request. `data` gives some of so many
    /// bytes from a place in them on.
    fn fill<'a>(&mut self, part: &Part, at: u32, len: u32, data: impl Fn(usize, usize) -> Option<&'a [u8]>) {
        let Some(job) = self.job(part.tag).filter(|job| job.failed.is_none()) else {
            return;
        };
        let start = at.max(part.lead);
        let end = at.saturating_add(len).min(part.lead.saturating_add(part.wanted));
        let mut from = start;
        let place = part.at + u64::from(start.saturating_sub(part.lead));
        let mut writer = job.operation.writer();
        let mut written = usize::try_from(place).map_err(io::Error::other);
        if let Ok(place) = written {
            written = writer.skip(place).map(|()| place).map_err(io::Error::other);
        }
        while let (true, Ok(_)) = (from < end, &written) {
            let Some(bytes) = data((from - at) as usize, (end - from) as usize).filter(|bytes| !bytes.is_empty())
            else {
                break;
            };
            written = writer.write(bytes).map(|()| 0).map_err(io::Error::other);
            from += bytes.len() as u32; // no more than `end`
        }
        if let Err(error) = written {
            job.failed = Some(error.into());
            self.forget(part.tag);
        }
    }

    /// The server has answered a request.
    pub(super) fn done(&mut self, part: &Part, error: Option<u32>) {
        let Some(job) = self.job(part.tag) else {
            return;
        };
        job.outstanding = job.outstanding.saturating_sub(1);
        let unflushed = job.leaves_unflushed(part);
        if let Some(error) = error {
            let error = server_error(error, job.operation.kind());
            job.failed.get_or_insert(error);
            self.forget(part.tag);
        } else if part.command == Command::Flush {
            self.cache.flushed(part.mark);
        } else if unflushed {
            self.cache.changed();
        }
        self.settle(part.tag);
    }

    /// A connection broke. Operations are in trouble from now on if it was the only one.
    pub(super) fn disturbed(&mut self, now: Instant, only: bool) {
        for job in self.jobs.iter_mut().flatten() {
            job.disturbed();
            if only {
                job.trouble.get_or_insert(now);
            }
        }
    }

    /// A request was lost with its connection, for this reason.
    pub(super) fn lost(&mut self, part: Part, now: Instant, reason: &dyn std::fmt::Display) {
        let limit = self.limit;
        let Some(job) = self.job(part.tag) else {
            return;
        };
        let over = now.saturating_duration_since(*job.trouble.get_or_insert(now)) >= limit;
        if job.failed.is_none() && !over && job.redo_parts() {
            return self.redo.push_back(part);
        }
        job.outstanding = job.outstanding.saturating_sub(1);
        if over {
            let line = format!("the NBD server did not come back in {limit:?}: {reason}");
            job.failed.get_or_insert(io::Error::new(io::ErrorKind::TimedOut, line).into());
            self.forget(part.tag);
        }
        self.settle(part.tag);
    }

    /// Gives up what has waited for a server for too long. There is no connection.
    pub(super) fn expire(&mut self, now: Instant, reason: &dyn std::fmt::Display) {
        let limit = self.limit;
        for tag in self.tags() {
            let over = |since: Instant| now.saturating_duration_since(since) >= limit;
            if let Some(job) = self.job(tag).filter(|job| job.trouble.is_some_and(over)) {
                let line = format!("no connection to the NBD server in {limit:?}: {reason}");
                job.failed.get_or_insert(io::Error::new(io::ErrorKind::TimedOut, line).into());
                self.forget(tag);
                self.settle(tag);
            }
        }
    }

    /// When something [expires](Self::expire).
    pub(super) fn deadline(&self) -> Option<Instant> {
        let troubles = self.jobs.iter().flatten().filter_map(|job| job.trouble);
        troubles.min().and_then(|since| since.checked_add(self.limit))
    }

    /// Gives back an operation that nobody waits for. No connection may do anything for it from now on.
    pub(super) fn cancel(&mut self, tag: u16) {
        self.forget(tag);
        if let Some(job) = self.jobs.get_mut(usize::from(tag)).and_then(Option::take) {
            let error = io::Error::new(io::ErrorKind::Interrupted, "it was cancelled");
            self.finished.push_back(failure(job.operation, error.into()));
        }
    }

    /// Those on their way.
    pub(super) fn tags(&self) -> Vec<u16> {
        self.jobs.iter().flatten().map(|job| job.operation.tag()).collect()
    }

    /// Sends nothing more for an operation.
    fn forget(&mut self, tag: u16) {
        self.queue.retain(|other| *other != tag);
        let before = self.redo.len();
        self.redo.retain(|part| part.tag != tag);
        let dropped = (before - self.redo.len()) as u32;
        if let Some(job) = self.job(tag) {
            job.outstanding = job.outstanding.saturating_sub(dropped);
        }
    }

    /// Completes an operation if it is done, or has it go on.
    fn settle(&mut self, tag: u16) {
        match self.job(tag).map(Job::after) {
            None | Some(After::Wait) => {}
            Some(After::More) => self.queue.push_back(tag),
            Some(After::Done) => {
                if let Some(job) = self.jobs.get_mut(usize::from(tag)).and_then(Option::take) {
                    // BLK-STABLE-01. A durable write promises nothing but itself.
                    let promise = if job.promises_all() { self.cache.promise() } else { Ok(()) };
                    let done = promise.map(|()| job.operation.len()).map_err(OperationError::from);
                    let result = job.failed.map_or(done, Err);
                    self.finished.push_back(Completion { operation: job.operation, result });
                }
            }
        }
    }
}

fn failure(operation: Box<Operation>, error: OperationError) -> Completion {
    Completion { operation, result: Err(error) }
}

/// What an error number of the protocol means.
fn server_error(error: u32, kind: OperationKind) -> OperationError {
    match error {
        ENOSPC => io::Error::from_raw_os_error(libc::ENOSPC).into(),
        ENOTSUP if !matches!(kind, OperationKind::Read | OperationKind::Write { .. } | OperationKind::Flush) => {
            OperationError::Unsupported
        }
        _ => io::Error::other(format!("the NBD server answered with error {error}")).into(),
    }
}
