//! How often storage is called.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use virtio_blk::backend::Capabilities;
use virtio_blk::{BlockBackend, BlockQueue, Completion, Operation};
use virtio_core::task::Sources;

/// What a backend was asked to do.
#[derive(Default)]
pub(super) struct Calls {
    /// Operations, each of which is a system call of its own where the backend waits for it.
    operations: AtomicU64,
    /// Kicks, each of which is the one system call of a ring.
    kicks: AtomicU64,
    bytes: AtomicU64,
}

impl Calls {
    /// System calls per MiB that was moved.
    pub(super) fn per_mib(&self, of_ring: bool) -> f64 {
        let calls = if of_ring { &self.kicks } else { &self.operations };
        calls.load(Relaxed) as f64 / (self.bytes.load(Relaxed) as f64 / f64::from(1 << 20))
    }
}

/// A backend whose calls are counted.
pub(super) struct Counted<B> {
    pub(super) backend: B,
    pub(super) calls: Arc<Calls>,
}

struct CountedQueue {
    queue: Box<dyn BlockQueue>,
    calls: Arc<Calls>,
}

impl<B: BlockBackend> BlockBackend for Counted<B> {
    fn size(&self) -> io::Result<u64> {
        self.backend.size()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        let queue = self.backend.open_queue(depth)?;
        Ok(Box::new(CountedQueue { queue, calls: Arc::clone(&self.calls) }))
    }
}

impl BlockQueue for CountedQueue {
    fn sources(&self, sources: &mut Sources) {
        self.queue.sources(sources);
    }

    fn sources_version(&self) -> u64 {
        self.queue.sources_version()
    }

    fn deadline(&self) -> Option<Instant> {
        self.queue.deadline()
    }

    fn submit(&mut self, operation: Box<Operation>) {
        self.calls.operations.fetch_add(1, Relaxed);
        self.calls.bytes.fetch_add(operation.len(), Relaxed);
        self.queue.submit(operation);
    }

    fn kick(&mut self) {
        self.calls.kicks.fetch_add(1, Relaxed);
        self.queue.kick();
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        self.queue.completions(most, done);
    }

    fn cancel(&mut self) {
        self.queue.cancel();
    }

    fn cancel_one(&mut self, tag: u16) {
        self.queue.cancel_one(tag);
    }
}
