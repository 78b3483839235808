//! A disk whose operations end when an input says so, in any order and with errors.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_blk::backend::{Lifetime, RangeLimits};
use virtio_blk::{
    BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationError, OperationKind, OperationResult,
};
use virtio_core::{Event, Source, Sources};

/// Clones are the same disk.
#[derive(Clone)]
pub(crate) struct Slow(Arc<Mutex<State>>);

struct State {
    disk: Vec<u8>,
    queues: Vec<Line>,
    next: u64,
    /// Operations that were to be given up stay in flight.
    stubborn: bool,
    /// Everything ends well and at once.
    healthy: bool,
    merge: bool,
}

/// What a queue has.
#[allow(clippy::vec_box)] // an operation stays in its box from submission to completion
struct Line {
    number: u64,
    event: Event,
    submitted: Vec<Box<Operation>>,
    in_flight: Vec<Box<Operation>>,
    done: Vec<Completion>,
}

impl Slow {
    pub(crate) fn new(len: usize, stubborn: bool, merge: bool) -> Slow {
        let disk = (0..len).map(|at| (at / 512) as u8).collect();
        let state = State { disk, queues: Vec::new(), next: 0, stubborn, healthy: false, merge };
        Slow(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends one of the operations in flight, if there is one.
    pub(crate) fn finish(&self, which: u8, how: u8) {
        let mut state = self.state();
        let all: usize = state.queues.iter().map(|queue| queue.in_flight.len()).sum();
        let Some(mut at) = usize::from(which).checked_rem(all) else { return };
        let State { disk, queues, .. } = &mut *state;
        for queue in queues {
            if at < queue.in_flight.len() {
                let operation = queue.in_flight.swap_remove(at);
                queue.end(disk, operation, how);
                return;
            }
            at -= queue.in_flight.len();
        }
    }

    /// From now on everything ends well and at once, what is in flight too.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.healthy = true;
        let State { disk, queues, .. } = &mut *state;
        queues.iter_mut().for_each(|queue| queue.end_all(disk));
    }

    /// The same only for what is in flight.
    pub(crate) fn finish_all(&self) {
        let mut state = self.state();
        let State { disk, queues, .. } = &mut *state;
        queues.iter_mut().for_each(|queue| queue.end_all(disk));
    }

    /// Panics where somebody has submitted operations, and left it at that.
    pub(crate) fn check(&self) {
        let kicked = self.state().queues.iter().all(|queue| queue.submitted.is_empty());
        assert!(kicked, "operations were submitted, and not kicked off");
    }

    /// Operations that queues have.
    pub(crate) fn held(&self) -> usize {
        let held = |queue: &Line| queue.submitted.len() + queue.in_flight.len() + queue.done.len();
        self.state().queues.iter().map(held).sum()
    }
}

impl Line {
    fn end_all(&mut self, disk: &mut [u8]) {
        for operation in std::mem::take(&mut self.in_flight) {
            self.end(disk, operation, 0);
        }
    }

    fn end(&mut self, disk: &mut [u8], operation: Box<Operation>, how: u8) {
        let len = operation.len();
        let io = |kind: io::ErrorKind| Err(OperationError::Io(kind.into()));
        let result = match how % 10 {
            0..4 => Ok(perform(disk, &operation, len)),
            4 => Ok(perform(disk, &operation, len / 1024 * 512)),
            5 => io(io::ErrorKind::Other),
            6 => io(io::ErrorKind::StorageFull),
            7 => Err(OperationError::Unsupported),
            8 => {
                perform(disk, &operation, len / 2);
                io(io::ErrorKind::TimedOut)
            }
            _ => Ok(len.wrapping_add(u64::from(how))),
        };
        self.give_back(operation, result);
    }

    fn give_back(&mut self, operation: Box<Operation>, result: OperationResult) {
        self.done.push(Completion { operation, result });
        self.event.signal();
    }
}

fn perform(disk: &mut [u8], operation: &Operation, len: u64) -> u64 {
    let start = usize::try_from(operation.offset()).unwrap_or(usize::MAX).min(disk.len());
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(disk.len());
    let place = &mut disk[start..end];
    match operation.kind() {
        OperationKind::Read => operation.writer().write(place).expect("the memory of an operation is there"),
        OperationKind::Write { .. } => operation.reader().read(place).expect("the memory of an operation is there"),
        OperationKind::Discard | OperationKind::WriteZeroes { .. } | OperationKind::SecureErase => place.fill(0),
        _ => return 0,
    }
    place.len() as u64
}

impl BlockBackend for Slow {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state().disk.len() as u64)
    }

    fn capabilities(&self) -> Capabilities {
        let all = Some(RangeLimits::NONE);
        let mut capabilities = Capabilities::default();
        capabilities.discard = all;
        capabilities.write_zeroes = all;
        capabilities.secure_erase = Some(RangeLimits { max_len: 8 << 10, alignment: 4096 });
        capabilities.zeroes_may_unmap = true;
        capabilities.merge = self.state().merge;
        capabilities
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        Ok(Some(Lifetime { pre_eol_info: 1, type_a: 2, type_b: 77 }))
    }

    fn open_queue(&self, _depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        let event = Event::new()?;
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let (submitted, in_flight, done) = Default::default();
        state.queues.push(Line { number, event: event.clone(), submitted, in_flight, done });
        Ok(Box::new(SlowQueue { number, event, disk: self.clone() }))
    }
}

struct SlowQueue {
    number: u64,
    event: Event,
    disk: Slow,
}

impl SlowQueue {
    fn with<T>(&self, act: impl FnOnce(&mut [u8], &mut Line, bool, bool) -> T) -> T {
        let mut state = self.disk.state();
        let State { disk, queues, stubborn, healthy, .. } = &mut *state;
        let line = queues.iter_mut().find(|queue| queue.number == self.number).expect("the queue is open");
        act(disk, line, *stubborn, *healthy)
    }
}

impl BlockQueue for SlowQueue {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.event.clone()), 0);
    }

    fn submit(&mut self, operation: Box<Operation>) {
        self.with(|_, line, _, _| {
            let tags = line.submitted.iter().chain(&line.in_flight).chain(line.done.iter().map(|done| &done.operation));
            assert!(tags.into_iter().all(|other| other.tag() != operation.tag()), "a tag is in flight twice");
            line.submitted.push(operation);
        });
    }

    fn kick(&mut self) {
        self.with(|disk, line, _, healthy| {
            line.in_flight.append(&mut line.submitted);
            if healthy {
                line.end_all(disk);
            }
        });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let finished: Vec<_> = self.with(|_, line, _, _| line.done.drain(..most.min(line.done.len())).collect());
        finished.into_iter().for_each(done);
    }

    fn cancel(&mut self) {
        self.with(|_, line, stubborn, _| {
            if !stubborn {
                for operation in std::mem::take(&mut line.in_flight) {
                    line.give_back(operation, Err(OperationError::Io(io::ErrorKind::Interrupted.into())));
                }
            }
        });
    }

    fn cancel_one(&mut self, tag: u16) {
        self.with(|_, line, stubborn, _| {
            let at = line.in_flight.iter().position(|operation| operation.tag() == tag);
            if let Some(at) = at.filter(|_| !stubborn) {
                let operation = line.in_flight.remove(at);
                line.give_back(operation, Err(OperationError::Io(io::ErrorKind::Interrupted.into())));
            }
        });
    }
}

impl Drop for SlowQueue {
    fn drop(&mut self) {
        self.disk.state().queues.retain(|queue| queue.number != self.number);
    }
}
