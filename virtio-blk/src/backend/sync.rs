//! Storage that does each operation when it is asked to.

use std::sync::Arc;

use super::{BlockQueue, Completion, Operation, OperationResult};

/// A disk that does an operation in the call that asks for it.
///
/// That call may wait for storage: each queue of the device should have a thread of its own then.
pub trait SyncDisk: Send + Sync {
    /// Does `operation`; returns how far it got, see [`OperationResult`].
    ///
    /// # Errors
    /// The driver is told what kind of error it was.
    fn perform(&self, operation: &Operation) -> OperationResult;
}

/// A queue on a [`SyncDisk`].
///
/// Send, not Sync: it belongs to one task. [`submit`](BlockQueue::submit) blocks for as long as the disk takes.
#[derive(Debug)]
pub struct SyncQueue<D> {
    disk: Arc<D>,
    finished: Vec<Completion>,
}

impl<D: SyncDisk> SyncQueue<D> {
    /// A queue for up to `depth` operations.
    pub fn new(disk: Arc<D>, depth: u16) -> SyncQueue<D> {
        SyncQueue { disk, finished: Vec::with_capacity(usize::from(depth)) }
    }
}

impl<D: SyncDisk> BlockQueue for SyncQueue<D> {
    fn submit(&mut self, operation: Box<Operation>) {
        let result = self.disk.perform(&operation);
        self.finished.push(Completion { operation, result });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }
}
