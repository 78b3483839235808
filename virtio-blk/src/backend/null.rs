//! A disk of zeros that keeps nothing.

#[cfg(test)]
mod tests;

use std::io;

use super::{
    BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationKind, OperationResult, RangeLimits,
};

/// A disk of zeros that keeps nothing, for measurements: what is read is zeros, and what is written is not looked at.
///
/// Send and Sync. No call waits.
#[derive(Clone, Copy, Debug)]
pub struct NullBackend {
    size: u64,
}

impl NullBackend {
    /// A disk of `size` bytes.
    pub fn new(size: u64) -> NullBackend {
        NullBackend { size }
    }
}

impl BlockBackend for NullBackend {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn capabilities(&self) -> Capabilities {
        let all = Some(RangeLimits::NONE);
        Capabilities { discard: all, write_zeroes: all, ..Capabilities::default() }
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(NullQueue { finished: Vec::with_capacity(usize::from(depth)) }))
    }
}

struct NullQueue {
    finished: Vec<Completion>,
}

impl BlockQueue for NullQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        let result = perform(&operation);
        self.finished.push(Completion { operation, result });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }
}

fn perform(operation: &Operation) -> OperationResult {
    if operation.kind() == OperationKind::Read {
        operation.fill_with_zeros()?;
    }
    Ok(operation.len())
}
