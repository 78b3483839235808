//! A backend that does what a test tells it, when it tells it: asynchronous, out of order, with errors.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use virtio_blk::backend::Lifetime;
use virtio_blk::{BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationKind, OperationResult};
use virtio_core::{Event, Source, Sources};

/// A disk whose operations stay in flight until the test finishes them. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct Held {
    shared: Arc<Mutex<State>>,
    event: Event,
    disk: Arc<Mutex<Vec<u8>>>,
}

#[derive(Default)]
#[allow(clippy::vec_box)] // an operation stays in its box from submission to completion
struct State {
    submitted: Vec<Box<Operation>>,
    /// Those that `kick` has handed on.
    in_flight: Vec<Box<Operation>>,
    done: Vec<Completion>,
    /// Everything that was ever submitted.
    log: Vec<(OperationKind, u64, u64)>,
    refuses_cancel: bool,
    cancelled: u64,
    fails_to_open: bool,
    queues: u64,
    capabilities: Capabilities,
    lifetime: Option<Lifetime>,
    fails_lifetime: bool,
    /// Batches that `kick` has ended.
    kicks: u64,
    overdue: Vec<u16>,
}

struct HeldQueue(Held);

impl Held {
    pub(crate) fn new(len: usize) -> Held {
        Held {
            shared: Arc::default(),
            event: Event::new().expect("an event"),
            disk: Arc::new(Mutex::new(crate::rig::pattern(len, 0))),
        }
    }

    /// The same with other capabilities.
    pub(crate) fn able(len: usize, change: impl FnOnce(&mut Capabilities)) -> Held {
        let held = Held::new(len);
        change(&mut held.state().capabilities);
        held
    }

    /// Changes what it can do.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Capabilities)) {
        change(&mut self.state().capabilities);
    }

    pub(crate) fn set_lifetime(&self, lifetime: Lifetime) {
        self.state().lifetime = Some(lifetime);
    }

    pub(crate) fn fail_lifetime(&self) {
        self.state().fails_lifetime = true;
    }

    pub(crate) fn kicks(&self) -> u64 {
        self.state().kicks
    }

    /// The tags of operations that were to be given up because they took too long, since the last call.
    pub(crate) fn take_overdue(&self) -> Vec<u16> {
        std::mem::take(&mut self.state().overdue)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no test has panicked")
    }

    pub(crate) fn disk(&self) -> Vec<u8> {
        self.disk.lock().expect("no test has panicked").clone()
    }

    pub(crate) fn fail_to_open(&self) {
        self.state().fails_to_open = true;
    }

    pub(crate) fn refuse_cancel(&self, refuse: bool) {
        self.state().refuses_cancel = refuse;
    }

    pub(crate) fn cancelled(&self) -> u64 {
        self.state().cancelled
    }

    pub(crate) fn queues(&self) -> u64 {
        self.state().queues
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.state().in_flight.len()
    }

    /// Where on the disk those in flight start.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.state().in_flight.iter().map(|operation| operation.offset()).collect()
    }

    /// What was submitted since the last call.
    pub(crate) fn take_log(&self) -> Vec<(OperationKind, u64, u64)> {
        std::mem::take(&mut self.state().log)
    }

    /// Does the operation at `index` among those in flight.
    pub(crate) fn finish(&self, index: usize) {
        let operation = self.state().in_flight.remove(index);
        let moved = self.perform(&operation, operation.len() as usize);
        self.complete(operation, Ok(moved));
    }

    pub(crate) fn finish_all(&self) {
        while self.in_flight() > 0 {
            self.finish(0);
        }
    }

    /// Moves only `len` bytes of the operation at `index`.
    pub(crate) fn finish_short(&self, index: usize, len: usize) {
        let operation = self.state().in_flight.remove(index);
        let moved = self.perform(&operation, len);
        self.complete(operation, Ok(moved));
    }

    /// Ends the operation at `index` like this; a read gets the bytes.
    pub(crate) fn finish_as(&self, index: usize, bytes: &[u8], result: OperationResult) {
        let operation = self.state().in_flight.remove(index);
        operation.writer().write(bytes).expect("room for them");
        self.state().done.push(Completion { operation, result });
        self.event.signal();
    }

    /// Ends the operation at `index`, of which nobody knows how far it got.
    pub(crate) fn complete_late(&self, index: usize, result: io::Result<u64>) {
        let operation = self.state().in_flight.remove(index);
        self.complete(operation, result);
    }

    /// Fails the operation at `index`.
    pub(crate) fn fail(&self, index: usize, error: io::ErrorKind) {
        let operation = self.state().in_flight.remove(index);
        self.complete(operation, Err(error.into()));
    }

    fn complete(&self, operation: Box<Operation>, result: io::Result<u64>) {
        self.state().done.push(Completion { operation, result: result.map_err(Into::into) });
        self.event.signal();
    }

    fn perform(&self, operation: &Operation, len: usize) -> u64 {
        let mut disk = self.disk.lock().expect("no test has panicked");
        let start = operation.offset() as usize;
        if let OperationKind::Flush = operation.kind() {
            return 0;
        }
        let place = &mut disk[start..start + len];
        match operation.kind() {
            OperationKind::Read => operation.writer().write(place).expect("held memory"),
            OperationKind::Write { .. } => operation.reader().read(place).expect("held memory"),
            OperationKind::Discard | OperationKind::WriteZeroes { .. } | OperationKind::SecureErase => place.fill(0),
            _ => {}
        }
        len as u64
    }
}

impl BlockBackend for Held {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().expect("no test has panicked").len() as u64)
    }

    fn capabilities(&self) -> Capabilities {
        self.state().capabilities
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        let state = self.state();
        if state.fails_lifetime {
            return Err(io::ErrorKind::Other.into());
        }
        Ok(state.lifetime)
    }

    fn open_queue(&self, _depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        if self.state().fails_to_open {
            return Err(io::ErrorKind::Other.into());
        }
        self.state().queues += 1;
        Ok(Box::new(HeldQueue(self.clone())))
    }
}

impl BlockQueue for HeldQueue {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.0.event.clone()), 0);
    }

    fn submit(&mut self, operation: Box<Operation>) {
        let mut state = self.0.state();
        state.log.push((operation.kind(), operation.offset(), operation.len()));
        state.submitted.push(operation);
    }

    fn kick(&mut self) {
        let mut state = self.0.state();
        state.kicks += 1;
        let mut submitted = std::mem::take(&mut state.submitted);
        state.in_flight.append(&mut submitted);
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let mut state = self.0.state();
        let most = most.min(state.done.len());
        let finished: Vec<_> = state.done.drain(..most).collect();
        drop(state);
        finished.into_iter().for_each(done);
    }

    fn cancel(&mut self) {
        let mut state = self.0.state();
        state.cancelled += 1;
        if !state.refuses_cancel {
            for operation in std::mem::take(&mut state.in_flight) {
                state
                    .done
                    .push(Completion { operation, result: Err(io::Error::from(io::ErrorKind::Interrupted).into()) });
            }
        }
    }

    fn cancel_one(&mut self, tag: u16) {
        let mut state = self.0.state();
        state.overdue.push(tag);
        if !state.refuses_cancel {
            HeldQueue::give_up(&mut state, tag);
            self.0.event.signal();
        }
    }
}

impl HeldQueue {
    fn give_up(state: &mut State, tag: u16) {
        let place = state.in_flight.iter().position(|operation| operation.tag() == tag).expect("it is in flight");
        let operation = state.in_flight.remove(place);
        state.done.push(Completion { operation, result: Err(io::Error::from(io::ErrorKind::Interrupted).into()) });
    }
}

impl Drop for HeldQueue {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.queues -= 1;
        state.in_flight.clear();
        state.submitted.clear();
        state.done.clear();
    }
}
