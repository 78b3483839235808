//! A disk in memory.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use virtio_core::MemoryError;

use super::{BlockBackend, BlockQueue, Operation, OperationKind, SyncDisk, SyncQueue};

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
    fn perform(&self, operation: &Operation) -> io::Result<usize> {
        let start = usize::try_from(operation.offset()).unwrap_or(usize::MAX);
        // What lies behind the disk's end is left out: a short transfer.
        let end = |len: usize| start.saturating_add(operation.len()).min(len);
        match operation.kind() {
            OperationKind::Read => {
                let disk = self.read();
                let data = disk.get(start..end(disk.len())).unwrap_or_default();
                operation.writer().write(data).map_err(gone)?;
                Ok(data.len())
            }
            OperationKind::Write { durable: _ } => {
                let mut disk = self.write();
                let end = end(disk.len());
                let data = disk.get_mut(start..end).unwrap_or_default();
                operation.reader().read(data).map_err(gone)?;
                Ok(data.len())
            }
            OperationKind::Flush => Ok(0),
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

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(SyncQueue::new(Arc::clone(&self.0), depth)))
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBackend({} bytes)", self.0.read().len())
    }
}
