//! A disk in a file, or on a block device of the host.

mod bounce;
mod disk;
mod error;
mod limits;
pub(in crate::backend) mod lock;
mod open;
mod ranges;
mod sysfs;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(in crate::backend) use disk::Disk;
pub use error::OpenError;
pub use open::FileOptions;

pub(in crate::backend) use self::sysfs::Sysfs;
use super::{BlockBackend, BlockQueue, Capabilities, Lifetime, SyncQueue};

/// A raw disk image in a file, or a block device of the host.
///
/// Its bytes are the disk's bytes: no format is guessed from what the guest wrote there. Data moves between the file
/// and guest memory in one vectored system call, in the thread that serves the queue: through the page cache of the
/// host, or past it ([`FileOptions::direct`]).
///
/// A host-managed zoned block device is refused: opened by `ZonedBackend::open` it is a zoned disk.
///
/// An image that is opened by its path is locked, so that two virtual machines do not write it
/// ([`FileOptions::lock`]).
///
/// Send and Sync. Its queues block for as long as the storage takes.
#[derive(Debug)]
pub struct FileBackend {
    disk: Arc<Disk>,
    /// What does not change while it is open.
    capabilities: Capabilities,
    /// Where the storage tells how worn it is, if it does.
    worn: Option<Sysfs>,
}

impl FileBackend {
    /// Opens the image or block device at `path` for reading and writing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<FileBackend, OpenError> {
        FileOptions::new().open(path)
    }

    /// Opens the image or block device at `path` for reading only: the device is a read-only one then.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<FileBackend, OpenError> {
        FileOptions::new().read_only(true).open(path)
    }

    /// Takes a file that is open already, at whatever position. It is read-only if it was opened so, and direct if it
    /// was opened so. It is not locked: [`FileOptions::from_file`] can do that.
    ///
    /// # Errors
    /// [`OpenError`], without a path.
    pub fn from_file(file: File) -> Result<FileBackend, OpenError> {
        FileOptions::new().lock(false).from_file(file)
    }

    /// What is opened, for other ways to do I/O on it.
    #[cfg_attr(not(all(feature = "uring", target_os = "linux")), allow(dead_code))]
    pub(in crate::backend) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }
}

impl BlockBackend for FileBackend {
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }

    fn capabilities(&self) -> Capabilities {
        // BLK-OP-10, BLK-OP-11: what was seen not to work is not promised any more.
        let zeroes_may_unmap = self.capabilities.zeroes_may_unmap && self.disk.support.punch.load(Relaxed);
        Capabilities { zeroes_may_unmap, ..self.capabilities }
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        let Some(worn) = &self.worn else {
            return Ok(None);
        };
        worn.lifetime().map(Some).ok_or_else(|| io::Error::other("the storage does not tell its lifetime any more"))
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(SyncQueue::new(Arc::clone(&self.disk), depth)))
    }
}
