//! A disk in memory.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use virtio_core::MemoryError;

use super::{
    BlockBackend, BlockQueue, Capabilities, Operation, OperationError, OperationKind, OperationResult, RangeLimits,
    SyncDisk, SyncQueue,
};

/// A disk in memory: for tests, and for disks whose content may be lost.
///
/// Cheap to clone; all clones are the same disk. Queues take turns at writing.
///
/// Send and Sync. A call waits for the operations of other queues that it excludes.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Bytes>);

struct Bytes(RwLock<Vec<u8>>);

impl MemoryBackend {
    /// A disk with this content.
    pub fn new(content: Vec<u8>) -> MemoryBackend {
        MemoryBackend(Arc::new(Bytes(RwLock::new(content))))
    }

    /// A disk of `len` zero bytes.
    pub fn zeroed(len: usize) -> MemoryBackend {
        MemoryBackend::new(vec![0; len])
    }

    /// A copy of its content.
    pub fn content(&self) -> Vec<u8> {
        self.0.read().clone()
    }

    /// Changes its length: what is added is zero. The driver hears of it by
    /// [`BlockHandle::refresh`](crate::BlockHandle::refresh).
    pub fn set_len(&self, len: usize) {
        self.0.write().resize(len, 0);
    }
}

impl Bytes {
    fn read(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SyncDisk for Bytes {
    fn perform(&self, operation: &Operation) -> OperationResult {
        let place = |len: usize| {
            let start = usize::try_from(operation.offset()).unwrap_or(usize::MAX);
            // What lies behind the disk's end is left out: a short transfer.
            let end = usize::try_from(operation.offset().saturating_add(operation.len())).unwrap_or(usize::MAX);
            start..end.min(len)
        };
        match operation.kind() {
            OperationKind::Read => {
                let disk = self.read();
                let data = disk.get(place(disk.len())).unwrap_or_default();
                operation.writer().write(data).map_err(gone)?;
                Ok(data.len() as u64)
            }
            OperationKind::Write { durable: _ } => {
                let mut disk = self.write();
                let place = place(disk.len());
                let data = disk.get_mut(place).unwrap_or_default();
                operation.reader().read(data).map_err(gone)?;
                Ok(data.len() as u64)
            }
            OperationKind::Discard | OperationKind::WriteZeroes { .. } | OperationKind::SecureErase => {
                let mut disk = self.write();
                let place = place(disk.len());
                let data = disk.get_mut(place).unwrap_or_default();
                data.fill(0);
                Ok(data.len() as u64)
            }
            OperationKind::Flush => Ok(0),
            _ => Err(OperationError::Unsupported),
        }
    }
}

/// Buffers were checked when they were taken; this is a second fence.
fn gone(error: MemoryError) -> io::Error {
    io::Error::other(error)
}

impl BlockBackend for MemoryBackend {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn capabilities(&self) -> Capabilities {
        let all = Some(RangeLimits::NONE);
        Capabilities { discard: all, write_zeroes: all, secure_erase: all, ..Capabilities::default() }
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(SyncQueue::new(Arc::clone(&self.0), depth)))
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBackend({} bytes)", self.0.read().len())
    }
}
