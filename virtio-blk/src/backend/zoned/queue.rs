//! A queue on a zoned disk.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use virtio_core::{GuestBuffers, Sources};

use super::disk::{Disk, Verdict};
use super::shared::{Keep, Shared};
use super::waker::Waker;
use crate::backend::{BlockQueue, Completion, Operation, OperationError, OperationKind, OperationResult, ZoneError};

/// How often it is looked for completions in one call, as one may have others begin that end at once.
const ROUNDS: usize = 8;

/// What an operation was before it became one of the inner disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) kind: OperationKind,
    pub(super) offset: u64,
}

/// What is going on with the operation that has a certain tag.
#[derive(Debug, Default)]
pub(super) enum Job {
    /// There is none, or it has not begun.
    #[default]
    None,
    /// The inner disk has it, as it came.
    Passed,
    /// A read by pieces, that began at `start`. The operation has one of them; `done` and `rest` are the memory ahead of
    /// that one and behind it.
    Read { start: u64, done: GuestBuffers, rest: GuestBuffers },
    /// A write, of which others have to know.
    Write { flight: u64, asked: Asked },
    /// The same, while the range ahead of it is zeroed.
    Gap { flight: u64, gap: Range<u64>, held: Box<Operation> },
    /// A reset that waits for writes to end, and keeps others from beginning.
    Reset { barrier: u64 },
    /// An erasure after such a reset.
    Erase { flight: u64, barrier: u64 },
}

/// A queue on a zoned disk. Belongs to one task.
pub(super) struct ZonedQueue {
    /// Goes first when the queue goes. None only then.
    inner: Option<Box<dyn BlockQueue>>,
    /// It has got something since the last kick.
    handed_on: bool,
    /// There may be more completions although no event says so.
    behind: bool,
    pub(super) shared: Arc<Shared>,
    waker: Arc<Waker>,
    /// By tag.
    jobs: Vec<Job>,
    /// Operations that wait for others to end.
    parked: VecDeque<Box<Operation>>,
    /// What came back from the inner disk.
    came: Vec<Completion>,
    /// What has ended, and what has to be in the state file before that is said.
    ready: VecDeque<(Completion, Keep)>,
}

impl ZonedQueue {
    pub(super) fn open(shared: &Arc<Shared>, depth: u16) -> io::Result<ZonedQueue> {
        let mut jobs = Vec::new();
        jobs.resize_with(depth.into(), Job::default);
        Ok(ZonedQueue {
            waker: Arc::new(Waker::new()?),
            inner: Some(shared.inner.open_queue(depth)?),
            handed_on: false,
            behind: false,
            shared: Arc::clone(shared),
            jobs,
            parked: VecDeque::new(),
            came: Vec::with_capacity(depth.into()),
            ready: VecDeque::with_capacity(depth.into()),
        })
    }

    #[cfg(test)]
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    fn set_job(&mut self, tag: u16, job: Job) {
        let tag = usize::from(tag);
        if tag >= self.jobs.len() {
            self.jobs.resize_with(tag.saturating_add(1), Job::default);
        }
        if let Some(place) = self.jobs.get_mut(tag) {
            *place = job;
        }
    }

    fn take_job(&mut self, tag: u16) -> Job {
        self.jobs.get_mut(usize::from(tag)).map(std::mem::take).unwrap_or_default()
    }

    /// Asks the disk whether something can be done. If it has to wait, this queue is woken when that may have changed.
    pub(super) fn decide<T, E>(
        &self,
        decide: impl FnOnce(&mut Disk) -> Result<Verdict<T>, E>,
    ) -> Result<Verdict<T>, E> {
        let mut disk = self.shared.disk();
        let verdict = decide(&mut disk);
        if matches!(verdict, Ok(Verdict::Wait)) {
            disk.wait(&self.waker);
        }
        verdict
    }

    /// Gives an operation to the inner disk.
    pub(super) fn pass(&mut self, operation: Box<Operation>, job: Job) {
        self.set_job(operation.tag, job);
        if let Some(inner) = &mut self.inner {
            inner.submit(operation);
            self.handed_on = true;
        }
    }

    /// Keeps an operation until something else has ended.
    pub(super) fn park(&mut self, operation: Box<Operation>, job: Job) {
        self.set_job(operation.tag, job);
        self.parked.push_back(operation);
    }

    /// An operation has ended. What it `keep`s is only asked for where it went well.
    pub(super) fn end(&mut self, operation: Box<Operation>, result: OperationResult, keep: Keep) {
        let keep = if result.is_ok() { keep } else { Keep::Nothing };
        self.ready.push_back((Completion { operation, result }, keep));
    }

    /// Begins an operation, or goes on with one that had to wait.
    fn start(&mut self, operation: Box<Operation>) {
        let job = self.take_job(operation.tag);
        match operation.kind {
            OperationKind::Flush => self.pass(operation, Job::Passed),
            OperationKind::Read => self.read(operation, job),
            OperationKind::Write { .. } => self.write(operation),
            OperationKind::WriteZeroes { .. } if self.shared.is_aware() => self.write(operation),
            OperationKind::Discard if self.shared.is_aware() => self.discard(operation),
            OperationKind::WriteZeroes { .. } | OperationKind::Discard => {
                self.end(operation, Err(OperationError::Unsupported), Keep::Nothing);
            }
            OperationKind::ZoneAppend { durable } => self.append(operation, durable),
            OperationKind::ZoneReport => {
                let result = self.shared.report(&operation);
                self.end(operation, result, Keep::Nothing);
            }
            OperationKind::ZoneOpen | OperationKind::ZoneClose | OperationKind::ZoneFinish
                if self.shared.host.is_some() =>
            {
                self.reset(operation, job);
            }
            OperationKind::ZoneOpen | OperationKind::ZoneClose | OperationKind::ZoneFinish => {
                let result = self.manage(&operation);
                self.end(operation, result.map(|()| 0).map_err(OperationError::Zone), Keep::States);
            }
            OperationKind::ZoneReset | OperationKind::ZoneResetAll | OperationKind::SecureErase => {
                self.reset(operation, job);
            }
        }
    }

    /// Whether a write to the same zone waits already, which has to come first on a device of the host.
    fn is_behind(&self, operation: &Operation) -> bool {
        let writes = |kind| matches!(kind, OperationKind::Write { .. } | OperationKind::ZoneAppend { .. });
        if self.shared.host.is_none() || self.parked.is_empty() || !writes(operation.kind) {
            return false;
        }
        let geometry = self.shared.disk().table.geometry;
        let zone = geometry.zone_at(operation.offset);
        self.parked.iter().any(|other| writes(other.kind) && geometry.zone_at(other.offset) == zone)
    }

    fn manage(&self, operation: &Operation) -> Result<(), ZoneError> {
        let mut disk = self.shared.disk();
        let zone = disk.zone_from(operation.offset)?;
        match operation.kind {
            OperationKind::ZoneOpen => disk.table.open(zone),
            OperationKind::ZoneClose => disk.table.close(zone),
            _ => disk.finish(zone),
        }
    }

    /// Goes on with an operation that came back from the inner disk.
    fn came_back(&mut self, completion: Completion) {
        let Completion { operation, result } = completion;
        match self.take_job(operation.tag) {
            Job::Passed if operation.kind == OperationKind::Flush => self.end(operation, result, Keep::All),
            Job::Read { start, done, rest } => self.piece_read(operation, result, start, done, rest),
            Job::Write { flight, asked } => self.written(operation, result, flight, asked),
            Job::Gap { flight, gap, held } => self.gap_zeroed(&operation, result, flight, gap, held),
            Job::Erase { flight, barrier } => self.erased(operation, result, flight, barrier),
            Job::Passed | Job::Reset { .. } | Job::None => self.end(operation, result, Keep::Nothing),
        }
    }

    /// Gives up an operation that waits.
    fn give_up(&mut self, mut operation: Box<Operation>) {
        match self.take_job(operation.tag) {
            Job::Read { start, done, rest } => {
                operation.offset = start;
                put_back(&mut operation, done, rest);
            }
            job => self.shared.abandon(job),
        }
        let error = io::Error::new(io::ErrorKind::Interrupted, "it was given up while it waited for other operations");
        self.end(operation, Err(error.into()), Keep::Nothing);
    }

    /// Brings the state file up to date for what has ended.
    fn keep(&mut self) {
        let most = self.ready.iter().map(|(_, keep)| *keep).max().unwrap_or(Keep::Nothing);
        if most == Keep::Nothing {
            return;
        }
        let kept = self.shared.keep(most);
        for (completion, keep) in self.ready.iter_mut().filter(|(_, keep)| *keep > Keep::Nothing) {
            *keep = Keep::Nothing;
            if let Err(error) = &kept {
                completion.result = Err(io::Error::new(error.kind(), error.to_string()).into());
            }
        }
    }
}

/// Gives an operation back the memory that it had before it was cut in pieces. False if that does not fit together, as
/// it always does.
pub(super) fn put_back(operation: &mut Operation, done: GuestBuffers, rest: GuestBuffers) -> bool {
    let piece = std::mem::replace(&mut operation.buffers, done);
    [piece, rest].into_iter().all(|next| join(&mut operation.buffers, next))
}

pub(super) fn join(buffers: &mut GuestBuffers, next: GuestBuffers) -> bool {
    if next.is_empty() {
        return true;
    }
    if buffers.is_empty() {
        *buffers = next;
        return true;
    }
    buffers.append(&next)
}

impl BlockQueue for ZonedQueue {
    fn sources(&self, sources: &mut Sources) {
        self.waker.name(sources);
        if let Some(inner) = &self.inner {
            inner.sources(sources);
        }
    }

    fn sources_version(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.sources_version())
    }

    fn deadline(&self) -> Option<Instant> {
        if self.behind || !self.ready.is_empty() {
            return Some(Instant::now());
        }
        self.inner.as_ref().and_then(|inner| inner.deadline())
    }

    fn submit(&mut self, operation: Box<Operation>) {
        self.set_job(operation.tag, Job::None);
        if self.is_behind(&operation) {
            self.shared.disk().wait(&self.waker);
            return self.park(operation, Job::None);
        }
        self.start(operation);
    }

    fn kick(&mut self) {
        self.handed_on = false;
        if let Some(inner) = &mut self.inner {
            inner.kick();
        }
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        self.behind = true;
        for _ in 0..ROUNDS {
            let woken = !self.parked.is_empty() && self.waker.take();
            if woken {
                for _ in 0..self.parked.len() {
                    if let Some(operation) = self.parked.pop_front() {
                        self.start(operation);
                    }
                }
            }
            let mut came = std::mem::take(&mut self.came);
            if let Some(inner) = &mut self.inner {
                inner.completions(usize::MAX, &mut |completion| came.push(completion));
            }
            let none = came.is_empty();
            came.drain(..).for_each(|completion| self.came_back(completion));
            self.came = came;
            if self.handed_on {
                self.kick();
            }
            if none && !woken {
                self.behind = false;
                break;
            }
        }
        self.keep();
        let most = most.min(self.ready.len());
        self.ready.drain(..most).for_each(|(completion, _)| done(completion));
    }

    fn cancel(&mut self) {
        while let Some(operation) = self.parked.pop_front() {
            self.give_up(operation);
        }
        self.shared.disk().wait_no_more(&self.waker);
        if let Some(inner) = &mut self.inner {
            inner.cancel();
        }
    }

    fn cancel_one(&mut self, tag: u16) {
        match self.parked.iter().position(|operation| operation.tag == tag) {
            Some(at) => self.parked.remove(at).into_iter().for_each(|operation| self.give_up(operation)),
            None => self.inner.iter_mut().for_each(|inner| inner.cancel_one(tag)),
        }
    }
}

impl Drop for ZonedQueue {
    fn drop(&mut self) {
        // What ends now is not heard of any more.
        self.inner = None;
        self.shared.disk().wait_no_more(&self.waker);
        for job in self.jobs.drain(..) {
            self.shared.abandon(job);
        }
    }
}
