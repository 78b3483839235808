//! The operations of one queue of the device, on a ring.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_core::{Source, Sources};

use super::super::{BlockQueue, Completion, Operation, OperationResult};
use super::shared::Shared;
use super::steps::{Progress, Step, cancelled};
use super::sys::{Finished, Retired, Ring, Way, is_busy};

/// When to ask the kernel again that could not take more.
const PAUSE: Duration = Duration::from_millis(1);
/// How often, before it is given up.
const TRIES: u32 = 5000;
/// When to ask the kernel again to cancel what it has.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);

/// A queue on a ring; on no ring any more, if that failed.
pub(super) struct UringQueue {
    pub(super) ring: Option<Ring>,
    /// What rings before this one had in flight when they were given up.
    retired: Vec<Retired>,
    /// How far the operations are, by tag.
    progress: Box<[Progress]>,
    /// Tags of operations that have a next request.
    ready: VecDeque<u16>,
    finished: VecDeque<Completion>,
    /// Of the sources.
    version: u64,
    /// The kernel could not take more: when to ask again, and how often it was asked.
    busy: Option<(Instant, u32)>,
    /// There is something to be done that nobody is woken for.
    more: bool,
    /// When the kernel was last asked to cancel all that it has, which it still has something of.
    pub(super) cancelling: Option<Instant>,
    /// It does not know how to cancel all at once.
    pub(super) cancels_each: bool,
    /// Guest memory is, or is to be, registered with the ring.
    pins: bool,
    shared: Arc<Shared>,
    depth: u16,
}

impl UringQueue {
    pub(super) fn new(shared: Arc<Shared>, ring: Ring, depth: u16) -> UringQueue {
        let mut queue = UringQueue {
            ring: Some(ring),
            retired: Vec::new(),
            progress: vec![Progress::default(); usize::from(depth)].into(),
            ready: VecDeque::with_capacity(usize::from(depth)),
            finished: VecDeque::with_capacity(usize::from(depth)),
            version: 0,
            busy: None,
            more: false,
            cancelling: None,
            cancels_each: false,
            pins: shared.ram.is_some(),
            shared,
            depth,
        };
        queue.pin();
        queue
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn finish(&mut self, operation: Box<Operation>, result: OperationResult) {
        self.finished.push_back(Completion { operation, result });
    }

    /// Does what no request does.
    fn perform(&mut self, operation: Box<Operation>) {
        let result = self.shared.disk.perform(&operation);
        self.finish(operation, result);
    }

    /// Gives an operation that the kernel does not have what comes next, where that is no request.
    fn end(&mut self, tag: u16, step: Step) {
        let Some(operation) = self.ring.as_mut().and_then(|ring| ring.take(tag)) else {
            return;
        };
        match step {
            Step::Done(result) => self.finish(operation, result),
            Step::Perform | Step::Request(_) => self.perform(operation),
        }
    }

    /// Hands on what is ready, as far as the ring takes it; brings deferred completions to light, too.
    fn hand_on(&mut self) {
        self.hand_on_all();
        self.more = self.ring.as_mut().is_some_and(Ring::has_more);
    }

    fn hand_on_all(&mut self) {
        loop {
            let before = self.ready.len();
            self.fill();
            let Some(ring) = &mut self.ring else {
                return;
            };
            let pushed = ring.pushed();
            let entered = if ring.wants_enter() { ring.enter() } else { Ok(()) };
            match entered {
                Err(error) if !is_busy(&error) || self.busy.is_some_and(|(_, tries)| tries >= TRIES) => {
                    self.give_up(&error);
                    continue;
                }
                _ if ring.pushed() == 0 => self.busy = None,
                // Older kernels stop at a request that fails at once.
                Ok(()) if ring.pushed() < pushed => continue,
                _ => {
                    let tries = self.busy.map_or(0, |(_, tries)| tries);
                    self.busy = Some((Instant::now() + PAUSE, tries.saturating_add(1)));
                    return;
                }
            }
            if self.ready.is_empty() || self.ready.len() == before {
                return;
            }
        }
    }

    /// Pushes what is ready, as far as there is room.
    fn fill(&mut self) {
        // The size of the disk is looked up once for all that is handed on together: it is not known to change, and what
        // is cut off between the look and the write is cut off by somebody who does not care for the data.
        let mut size = None;
        while let (Some(tag), Some(ring)) = (self.ready.front().copied(), &mut self.ring) {
            let disk = &self.shared.disk;
            let (Some(progress), Some(operation)) = (self.progress.get(usize::from(tag)), ring.operation(tag)) else {
                self.ready.pop_front();
                continue;
            };
            let has = |end: u64| {
                let known = match size {
                    Some(size) => size,
                    None => *size.insert(disk.size()?),
                };
                Ok(end <= known)
            };
            let step = match progress.next(operation, disk, has) {
                Step::Request(request) => match ring.push(tag, request) {
                    Ok(true) => {
                        self.ready.pop_front();
                        continue;
                    }
                    Ok(false) => return,
                    Err(error) => Step::Done(Err(error.into())),
                },
                step => step,
            };
            self.ready.pop_front();
            self.end(tag, step);
        }
    }

    /// Takes what the kernel has finished; stops early where `most` have ended.
    fn reap(&mut self, most: usize, done: &mut dyn FnMut(Completion)) -> usize {
        let mut count = 0;
        while count < most {
            let Some(ring) = &mut self.ring else {
                break;
            };
            match ring.next() {
                Some(Finished::Request { tag, result }) => {
                    let Some(progress) = self.progress.get_mut(usize::from(tag)) else { continue };
                    let Some(operation) = ring.operation(tag) else { continue };
                    match progress.advance(operation, &self.shared.disk, result) {
                        None => self.ready.push_back(tag),
                        Some(Step::Done(result)) => {
                            if let Some(operation) = ring.take(tag) {
                                done(Completion { operation, result });
                                count += 1;
                            }
                        }
                        Some(step) => self.end(tag, step),
                    }
                }
                Some(Finished::Cancel { result }) => self.cancel_answered(result),
                None => break,
            }
        }
        count
    }

    fn cancel_answered(&mut self, result: i32) {
        if result == -libc::EINVAL && !self.cancels_each {
            self.cancels_each = true;
            self.cancelling = None;
            self.cancel();
        }
    }

    /// The ring cannot be used any more. What it has in flight comes back when the kernel has freed it, and is done
    /// again: how far it is nobody knows, and to do a part twice does no harm.
    fn give_up(&mut self, error: &io::Error) {
        let Some(ring) = self.ring.take() else {
            return;
        };
        let (operations, retired) = ring.retire();
        self.retired.extend(retired);
        self.ready.clear();
        self.busy = None;
        self.cancelling = None;
        self.version += 1;
        if error.raw_os_error() == Some(libc::EEXIST) {
            self.shared.warn(format_args!(
                "a block queue is used on another thread than the one that opened it: it gets a slower ring"
            ));
            self.ring = super::ring(&self.shared, self.depth, &Way::ANY_THREAD)
                .inspect_err(|error| self.shared.falls_back(error))
                .ok();
            self.pins = self.shared.ram.is_some();
            self.pin();
        } else {
            self.shared.warn(format_args!("a ring of the block device failed, requests go on without it: {error}"));
            self.shared.falls_back(error);
        }
        for operation in operations {
            self.again(operation);
        }
    }

    /// Starts an operation once more that came back from a ring that was given up.
    fn again(&mut self, operation: Box<Operation>) {
        let gone = self.progress.get(usize::from(operation.tag())).is_some_and(|progress| progress.cancelled);
        match gone {
            true => self.finish(operation, Err(cancelled())),
            false => self.submit(operation),
        }
    }

    /// Takes what rings have left that were given up.
    fn recover(&mut self) {
        if self.retired.is_empty() {
            return;
        }
        let mut back = Vec::new();
        self.retired.retain_mut(|retired| match retired.take() {
            Some(operations) => {
                back.extend(operations);
                false
            }
            None => true,
        });
        if !back.is_empty() {
            self.version += 1;
        }
        for operation in back {
            self.again(operation);
        }
    }

    /// Registers guest memory; without it, if that fails.
    fn pin(&mut self) {
        let (Some(ring), Some(ram), true) = (&mut self.ring, &self.shared.ram, self.pins) else {
            return;
        };
        if let Err(error) = ring.pin(ram) {
            self.pins = false;
            self.shared.warn(format_args!(
                "guest memory cannot be registered with io_uring, so it is done without: {error}; \
                 `ulimit -l` has to allow for all of it"
            ));
        }
    }

    /// Memory has changed: nobody pins what is not guest memory any more.
    fn repin(&mut self) {
        match self.ring.as_mut().map(Ring::unpin) {
            Some(Ok(true)) => self.pin(),
            // Once the operations have ended that use it.
            Some(Ok(false)) | None => {}
            Some(Err(error)) => self.give_up(&error),
        }
    }

    /// What is to be done now and then: after a change of memory, after a failure.
    fn look_after(&mut self) {
        self.recover();
        if self.pins && self.ring.as_ref().is_some_and(Ring::is_stale) {
            self.repin();
        }
    }
}

impl BlockQueue for UringQueue {
    fn sources(&self, sources: &mut Sources) {
        if let Some(ring) = &self.ring {
            sources.add(ring.wake().source(), 0);
        }
        for retired in &self.retired {
            sources.add(Source::Readable(retired.end()), 0);
        }
    }

    fn sources_version(&self) -> u64 {
        self.version
    }

    fn deadline(&self) -> Option<Instant> {
        if self.more || !self.finished.is_empty() {
            return Some(Instant::now());
        }
        let busy = self.busy.map(|(again, _)| again);
        let cancel = self.cancelling.map(|since| since + CANCEL_PAUSE);
        busy.into_iter().chain(cancel).min()
    }

    fn submit(&mut self, operation: Box<Operation>) {
        let tag = operation.tag();
        let Some(ring) = &mut self.ring else {
            return self.perform(operation);
        };
        let Some(progress) = Progress::start(operation.kind(), &self.shared.disk, ring.allocates()) else {
            return self.perform(operation);
        };
        match ring.insert(operation) {
            Ok(()) => {
                if let Some(slot) = self.progress.get_mut(usize::from(tag)) {
                    *slot = progress;
                }
                self.ready.push_back(tag);
            }
            // Another one has its tag.
            Err(operation) => self.finish(operation, Err(io::Error::from(io::ErrorKind::InvalidInput).into())),
        }
    }

    fn kick(&mut self) {
        self.look_after();
        self.hand_on();
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        self.look_after();
        let mut left = most;
        left -= self.reap(left, done);
        if self.ring.as_mut().is_some_and(Ring::wants_enter) || !self.ready.is_empty() {
            self.hand_on();
            left -= self.reap(left, done);
        }
        // What has a turn now that there is room again is handed on by the next call.
        let turn = !self.ready.is_empty() && self.busy.is_none();
        self.more = self.ring.as_mut().is_some_and(|ring| ring.has_more() || (turn && ring.has_room()));
        let idle = self.ring.as_ref().is_none_or(|ring| ring.lent() == 0);
        // Whoever still wants it cancelled says so again.
        self.cancelling = self.cancelling.filter(|since| !idle && since.elapsed() < CANCEL_PAUSE);
        let now = left.min(self.finished.len());
        self.finished.drain(..now).for_each(done);
    }

    /// What the storage has begun cannot be cancelled, and comes back when it has finished. The answers to cancellations
    /// wake the task, so they are asked for now and then, not each time.
    fn cancel(&mut self) {
        self.progress.iter_mut().for_each(|progress| progress.cancelled = true);
        let asked = self.cancelling.is_some_and(|since| since.elapsed() < CANCEL_PAUSE);
        if let (Some(ring), false) = (self.ring.as_mut().filter(|ring| ring.lent() > 0), asked) {
            match self.cancels_each {
                true => ring.cancel_each(),
                false => _ = ring.push_cancel(None),
            }
            self.cancelling = Some(Instant::now());
        }
        // What waits for its turn ends there.
        self.hand_on();
    }

    fn cancel_one(&mut self, tag: u16) {
        let Some(progress) = self.progress.get_mut(usize::from(tag)) else {
            return;
        };
        let asked = std::mem::replace(&mut progress.cancelled, true);
        if let (Some(ring), false) = (self.ring.as_mut().filter(|ring| ring.has_lent(tag)), asked) {
            ring.push_cancel(Some(tag));
        }
        self.hand_on();
    }
}
