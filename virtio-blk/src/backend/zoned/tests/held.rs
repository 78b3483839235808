//! Storage that does what is asked of it when the test says so, and fails when it is told to.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::backend::{BlockBackend, BlockQueue, Capabilities, Completion, MemoryBackend, Operation, OperationKind};

/// Cheap to clone. Tags are taken for one thing, whatever the queue.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) memory: MemoryBackend,
    control: Arc<Mutex<Control>>,
}

#[derive(Default)]
struct Control {
    hold: BTreeSet<u16>,
    fail: BTreeSet<u16>,
    /// Half of it is done.
    short: BTreeSet<u16>,
    seen: Vec<(OperationKind, u64, u64)>,
}

impl Held {
    pub(super) fn new(content: Vec<u8>) -> Held {
        Held { memory: MemoryBackend::new(content), control: Arc::default() }
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap()
    }

    /// What has this tag does not end until it is let go.
    pub(super) fn hold(&self, tag: u16) {
        self.control().hold.insert(tag);
    }

    pub(super) fn let_go(&self, tag: u16) {
        self.control().hold.remove(&tag);
    }

    /// The next with this tag fails, without having done anything.
    pub(super) fn fail(&self, tag: u16) {
        self.control().fail.insert(tag);
    }

    /// The next with this tag ends early, without having done anything.
    pub(super) fn cut_short(&self, tag: u16) {
        self.control().short.insert(tag);
    }

    /// What was asked for since the last time: kind, offset, length.
    pub(super) fn seen(&self) -> Vec<(OperationKind, u64, u64)> {
        std::mem::take(&mut self.control().seen)
    }
}

impl BlockBackend for Held {
    fn size(&self) -> io::Result<u64> {
        self.memory.size()
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        let (inner, waiting, finished) = (self.memory.open_queue(depth)?, Vec::new(), Vec::new());
        Ok(Box::new(HeldQueue { held: self.clone(), inner, waiting, finished, cancelled: false }))
    }
}

struct HeldQueue {
    held: Held,
    inner: Box<dyn BlockQueue>,
    #[allow(clippy::vec_box)] // as it was submitted
    waiting: Vec<Box<Operation>>,
    finished: Vec<Completion>,
    cancelled: bool,
}

impl BlockQueue for HeldQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        self.held.control().seen.push((operation.kind(), operation.offset(), operation.len()));
        self.waiting.push(operation);
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        for operation in std::mem::take(&mut self.waiting) {
            let mut control = self.held.control();
            if self.cancelled {
                let result = Err(io::Error::from(io::ErrorKind::Interrupted).into());
                self.finished.push(Completion { operation, result });
            } else if control.hold.contains(&operation.tag()) {
                self.waiting.push(operation);
            } else if control.fail.remove(&operation.tag()) {
                let result = Err(io::Error::other("failed on demand").into());
                self.finished.push(Completion { operation, result });
            } else if control.short.remove(&operation.tag()) {
                let result = Ok(operation.len() / 2);
                self.finished.push(Completion { operation, result });
            } else {
                drop(control);
                self.inner.submit(operation);
            }
        }
        self.cancelled = false;
        self.inner.completions(usize::MAX, &mut |completion| self.finished.push(completion));
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }

    fn cancel(&mut self) {
        self.cancelled = true;
    }
}
