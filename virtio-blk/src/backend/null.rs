//! A disk that does nothing.

use std::io;

use super::{BlockBackend, BlockQueue, Capabilities, Completion, Operation, RangeLimits};

/// A disk that does nothing and says that all went well, for measurements: reads leave memory as it is.
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
        let result = Ok(operation.len());
        self.finished.push(Completion { operation, result });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }
}
