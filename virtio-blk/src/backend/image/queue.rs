//! One queue on an image.

use std::io;
use std::sync::Arc;

use imago::io_buffers::IoBuffer;

use super::super::{BlockQueue, Completion, Operation};
use super::disk::Disk;

/// Does each operation when it is submitted.
pub(super) struct ImageQueue {
    disk: Arc<Disk>,
    /// Guest memory can change at any time, so the library works on a copy.
    buffer: IoBuffer,
    finished: Vec<Completion>,
}

impl ImageQueue {
    pub(super) fn new(disk: Arc<Disk>, depth: u16) -> io::Result<ImageQueue> {
        let buffer = disk.buffer()?;
        Ok(ImageQueue { disk, buffer, finished: Vec::with_capacity(usize::from(depth)) })
    }
}

impl BlockQueue for ImageQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        let result = self.disk.perform(&operation, &mut self.buffer);
        self.finished.push(Completion { operation, result });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }
}
