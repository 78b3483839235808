//! A disk that fails on demand, and ends its operations late and in any order.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use virtio_blk::backend::RangeLimits;
use virtio_blk::{BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationKind, OperationResult};

use virtio_core::{Event, Source, Sources};

use crate::talk::Random;

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    /// Nothing of it is done.
    Error(ErrorKind),
    /// So many bytes of it are done, and it says so.
    Short(u64),
    /// So many bytes of it are done, and it says that it failed.
    Torn(u64),
}

/// An operation as it was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many were submitted before.
    pub(crate) number: u64,
    pub(crate) kind: OperationKind,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

type Judge = Box<dyn FnMut(&Seen) -> Fate + Send>;

/// The disk. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Faulty(Arc<Mutex<State>>);

struct State {
    disk: Vec<u8>,
    random: Random,
    judge: Judge,
    merge: bool,
    submitted: u64,
    queues: u64,
    flying: u64,
}

struct FaultyQueue {
    disk: Faulty,
    flying: Vec<(Box<Operation>, Fate)>,
    /// Signalled while there are some.
    event: Event,
    cancelled: bool,
}

impl Faulty {
    pub(crate) fn new(
        disk: Vec<u8>,
        merge: bool,
        seed: u64,
        judge: impl FnMut(&Seen) -> Fate + Send + 'static,
    ) -> Faulty {
        let judge: Judge = Box::new(judge);
        let random = Random(seed);
        Faulty(Arc::new(Mutex::new(State { disk, random, judge, merge, submitted: 0, queues: 0, flying: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test has panicked")
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.state().disk.clone()
    }

    /// Operations that were ever submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.state().submitted
    }

    /// Queues that are open, and operations that they have.
    pub(crate) fn in_use(&self) -> (u64, u64) {
        let state = self.state();
        (state.queues, state.flying)
    }
}

impl State {
    fn perform(&mut self, operation: &Operation, most: u64) -> u64 {
        let len = operation.len().min(most);
        let start = operation.offset() as usize;
        let place = &mut self.disk[start..start + len as usize];
        match operation.kind() {
            OperationKind::Read => operation.writer().write(place).expect("held memory"),
            OperationKind::Write { .. } => operation.reader().read(place).expect("held memory"),
            OperationKind::Flush => {}
            _ => place.fill(0),
        }
        len
    }

    fn end(&mut self, operation: &Operation, fate: Fate) -> OperationResult {
        match fate {
            Fate::Well => Ok(self.perform(operation, u64::MAX)),
            Fate::Error(kind) => Err(io::Error::from(kind).into()),
            Fate::Short(most) => Ok(self.perform(operation, most)),
            Fate::Torn(most) => {
                self.perform(operation, most);
                Err(io::Error::from(ErrorKind::Other).into())
            }
        }
    }
}

impl BlockBackend for Faulty {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state().disk.len() as u64)
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.discard, can.write_zeroes) = (Some(RangeLimits::NONE), Some(RangeLimits::NONE));
        can.merge = self.state().merge;
        can
    }

    fn open_queue(&self, _: u16) -> io::Result<Box<dyn BlockQueue>> {
        self.state().queues += 1;
        let event = Event::new()?;
        Ok(Box::new(FaultyQueue { disk: self.clone(), flying: Vec::new(), event, cancelled: false }))
    }
}

impl BlockQueue for FaultyQueue {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.event.clone()), 0);
    }

    fn submit(&mut self, operation: Box<Operation>) {
        assert!(!self.cancelled, "nothing begins where nobody waits for it");
        let mut state = self.disk.state();
        let (kind, offset, len) = (operation.kind(), operation.offset(), operation.len());
        let seen = Seen { number: state.submitted, kind, offset, len };
        state.submitted += 1;
        state.flying += 1;
        let fate = (state.judge)(&seen);
        self.event.signal();
        self.flying.push((operation, fate));
    }

    /// Some of them, in any order.
    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let mut ended = Vec::new();
        let mut state = self.disk.state();
        while !self.flying.is_empty() && ended.len() < most && (self.cancelled || state.random.is(60)) {
            let chosen = state.random.below(self.flying.len() as u64) as usize;
            let (operation, mut fate) = self.flying.swap_remove(chosen);
            if self.cancelled && state.random.is(50) {
                fate = Fate::Error(ErrorKind::Interrupted);
            }
            let result = state.end(&operation, fate);
            state.flying -= 1;
            ended.push(Completion { operation, result });
        }
        drop(state);
        if !self.flying.is_empty() {
            self.event.signal();
        }
        ended.into_iter().for_each(done);
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        self.event.signal();
    }
}

impl Drop for FaultyQueue {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        state.queues -= 1;
        state.flying -= self.flying.len() as u64;
    }
}
