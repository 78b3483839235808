//! Disks in image formats, by the crate imago.
//!
//! | File | Idea |
//! |---|---|
//! | `open.rs` | an image and the files that it names |
//! | `header.rs` | what the library does not look at in a qcow2 header |
//! | `error.rs` | why there is no disk |
//! | `disk.rs` | operations on an open image, by all queues |
//! | `queue.rs` | one queue on it |

mod disk;
mod error;
mod header;
mod open;
mod queue;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{BlockBackend, BlockQueue, Capabilities};
use disk::Disk;
pub use error::ImageError;
use queue::ImageQueue;

/// The format of an image.
///
/// It is always said by whoever opens the image, never guessed: a driver can write anything into a raw disk, the first bytes
/// of another format included, and would choose what is read the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// QEMU's: versions 2 and 3, compressed clusters included.
    Qcow2,
    /// VMware's, as a descriptor that names files with the data as it is. Read-only. Sparse ones are refused.
    Vmdk,
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageFormat::Qcow2 => "qcow2",
            ImageFormat::Vmdk => "vmdk",
        })
    }
}

/// How to open an image. Send and Sync.
#[derive(Clone, Debug)]
#[must_use]
pub struct ImageOptions {
    format: ImageFormat,
    read_only: bool,
    direct: bool,
    other_files: bool,
    lock: bool,
}

impl ImageOptions {
    /// An image of this format: to be read and written, through the host's page cache, and made of one file only.
    pub fn new(format: ImageFormat) -> ImageOptions {
        ImageOptions { format, read_only: false, direct: false, other_files: false, lock: true }
    }

    /// Whether the image is only read. One of a format that cannot be written has to be opened so.
    pub fn read_only(mut self, read_only: bool) -> ImageOptions {
        self.read_only = read_only;
        self
    }

    /// Whether data goes past the host's page cache.
    pub fn direct(mut self, direct: bool) -> ImageOptions {
        self.direct = direct;
        self
    }

    /// Whether the image may name other files that it is made of: backing images and external data files, which it does by
    /// any path at all. Only for images from who may read every file that this process can: without it, they are refused.
    ///
    /// Backing images are only read, and the image has to say what format they have.
    pub fn backing_files(mut self, allowed: bool) -> ImageOptions {
        self.other_files = allowed;
        self
    }

    /// Whether the image, and those that it is made of, are locked as long as they are open, as QEMU does it. They are unless
    /// said otherwise: whoever gives an image to two devices gets a damaged one. Who only reads goes together with others
    /// who only read.
    pub fn lock(mut self, lock: bool) -> ImageOptions {
        self.lock = lock;
        self
    }

    /// Opens the image at `path`. Waits for storage.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<ImageBackend, ImageError> {
        let (opened, locks) = open::open(self, path.as_ref())?;
        Ok(ImageBackend { disk: Arc::new(Disk::new(opened, locks)) })
    }
}

/// A disk image in a format of its own.
///
/// Tables of the image are kept in memory, and are written out by a flush; when the last clone goes, too. A process that ends
/// without that loses what was written since, as a disk with a volatile cache does when its power fails.
///
/// Cheap to clone; all clones are the same disk. Send and Sync. Its queues block for as long as the storage takes: each
/// queue of the device should have a thread of its own. Reads and writes of all queues go on at the same time; a discard, and
/// zeroing that gives back storage, has the image to itself.
#[derive(Clone, Debug)]
pub struct ImageBackend {
    disk: Arc<Disk>,
}

impl ImageBackend {
    /// Opens the image at `path` for reading and writing: one that is made of this file only.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(path: impl AsRef<Path>, format: ImageFormat) -> Result<ImageBackend, ImageError> {
        ImageOptions::new(format).open(path)
    }

    /// Makes the disk larger or smaller. What is added reads as zeros. The driver hears of it by
    /// [`BlockHandle::refresh`](crate::BlockHandle::refresh) or [`resize`](crate::BlockHandle::resize), which for a disk that
    /// is to become smaller should come first. Waits for storage, and for the operations of all queues.
    ///
    /// # Errors
    /// The image is read-only, `len` is not a multiple of 512, or whatever the storage said.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }
}

impl BlockBackend for ImageBackend {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.size())
    }

    fn capabilities(&self) -> Capabilities {
        self.disk.capabilities()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(ImageQueue::new(Arc::clone(&self.disk), depth)?))
    }
}
