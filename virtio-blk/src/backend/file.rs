//! A disk in a file, or on a block device of the host.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    BlockBackend, BlockQueue, Capabilities, Operation, OperationError, OperationKind, OperationResult, SyncDisk,
    SyncQueue, sys,
};
use crate::wire::SECTOR;

/// A raw disk image in a file, or a block device of the host.
///
/// Its bytes are the disk's bytes: no format is guessed from what the guest wrote there. Data moves between the file
/// and guest memory in one vectored system call, through the host's page cache, in the thread that serves the queue.
///
/// Nothing keeps others from opening the same file: whoever gives an image to two devices gets a damaged one.
///
/// Send and Sync. Its queues block for as long as the storage takes.
#[derive(Debug)]
pub struct FileBackend {
    disk: Arc<Disk>,
}

#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    read_only: bool,
    /// A regular file: it would grow by a write behind its end.
    grows: bool,
    /// The system could not write out what it had taken, and may have forgotten it: no later sync can make it good.
    pub(super) lost: AtomicBool,
}

/// A file cannot be a disk. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    #[error("there is no disk image {}: check the path, or make one with `truncate -s 10G {}`", path.display(), path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It may not be opened like this.
    #[error(
        "no permission to open the disk image {} for {}: change the file's permissions{}", path.display(),
        if *write { "writing" } else { "reading" }, if *write { ", or open it read-only" } else { "" }
    )]
    Permission {
        /// The file.
        path: PathBuf,
        /// Whether it was to be written.
        write: bool,
    },
    /// It is neither a regular file nor a block device.
    #[error("{} is neither a regular file nor a block device, so it cannot be a disk", path.display())]
    NotADisk {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
    },
    /// Its size is no number of sectors.
    #[error(
        "the disk image {} has {size} bytes, which is not a multiple of 512: \
         a raw image is needed here; if it is one, extend it with `truncate -s %512 {}`", path.display(), path.display()
    )]
    Size {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// It was opened with a flag that does not work here: for writing only, for appending, or for direct I/O.
    #[error("the disk image is open with {flag}: open it without")]
    Flag {
        /// The flag's name.
        flag: &'static str,
    },
    /// Something else is wrong.
    #[error("the disk image {} cannot be used: {source}", path.display())]
    Io {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileBackend {
    /// Opens the image or block device at `path` for reading and writing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<FileBackend, OpenError> {
        FileBackend::open_with(path.as_ref(), true)
    }

    /// Opens the image or block device at `path` for reading only: the device is a read-only one then.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<FileBackend, OpenError> {
        FileBackend::open_with(path.as_ref(), false)
    }

    /// Takes a file that is open already, at whatever position. It is read-only if it was opened so.
    ///
    /// # Errors
    /// [`OpenError`], without a path.
    pub fn from_file(file: File) -> Result<FileBackend, OpenError> {
        FileBackend::new(file, Path::new(""))
    }

    fn open_with(path: &Path, write: bool) -> Result<FileBackend, OpenError> {
        let failed = |error| OpenError::new(path, write, error);
        // Looked at before it is opened: opening a pipe waits for its other end.
        is_disk(&std::fs::metadata(path).map_err(failed)?, path)?;
        let file = OpenOptions::new().read(true).write(write).open(path).map_err(failed)?;
        FileBackend::new(file, path)
    }

    fn new(file: File, path: &Path) -> Result<FileBackend, OpenError> {
        let failed = |error| OpenError::new(path, false, error);
        let metadata = file.metadata().map_err(failed)?;
        is_disk(&metadata, path)?;
        let flags = sys::open_flags(&file).map_err(failed)?;
        if flags & libc::O_ACCMODE == libc::O_WRONLY {
            return Err(OpenError::Flag { flag: "O_WRONLY" });
        }
        // An appending write ignores where it should go.
        if flags & libc::O_APPEND != 0 {
            return Err(OpenError::Flag { flag: "O_APPEND" });
        }
        #[cfg(target_os = "linux")]
        if flags & libc::O_DIRECT != 0 {
            return Err(OpenError::Flag { flag: "O_DIRECT" });
        }
        let disk = Disk::new(file, flags & libc::O_ACCMODE == libc::O_RDONLY, metadata.is_file());
        let size = disk.size().map_err(failed)?;
        if !size.is_multiple_of(SECTOR) {
            return Err(OpenError::Size { path: path.to_owned(), size });
        }
        Ok(FileBackend { disk: Arc::new(disk) })
    }
}

fn is_disk(metadata: &Metadata, path: &Path) -> Result<(), OpenError> {
    if metadata.is_file() || metadata.file_type().is_block_device() {
        return Ok(());
    }
    Err(OpenError::NotADisk { path: path.to_owned() })
}

impl OpenError {
    fn new(path: &Path, write: bool, error: io::Error) -> OpenError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => OpenError::Missing { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::Permission { path, write }
            }
            _ => OpenError::Io { path, source: error },
        }
    }
}

impl Disk {
    pub(super) fn new(file: File, read_only: bool, grows: bool) -> Disk {
        Disk { file, read_only, grows, lost: AtomicBool::new(false) }
    }

    fn size(&self) -> io::Result<u64> {
        if self.grows {
            return Ok(self.file.metadata()?.len());
        }
        // The metadata of a block device has no size. Nothing else uses the file's position.
        (&self.file).seek(SeekFrom::End(0))
    }

    /// Whether the disk still has what `operation` writes. A file that somebody cut short would grow again by the
    /// write, and what was cut off would come back as zeros.
    fn has(&self, operation: &Operation) -> io::Result<bool> {
        let end = operation.offset().saturating_add(operation.len());
        Ok(!self.grows || end <= self.size()?)
    }

    /// BLK-STABLE-01: everything that was written is on stable storage after this.
    ///
    /// The system reports lost data once, to whoever asks next, and takes its pages for clean from then on. So after a
    /// failure nothing can be promised any more, and every later sync fails as well.
    fn sync(&self) -> io::Result<()> {
        let synced = self.file.sync_data();
        if synced.is_err() {
            self.lost.store(true, Ordering::SeqCst);
        }
        if self.lost.load(Ordering::SeqCst) {
            return synced.and(Err(io::Error::other("data was lost when it was written out before")));
        }
        synced
    }
}

impl SyncDisk for Disk {
    fn perform(&self, operation: &Operation) -> OperationResult {
        match operation.kind() {
            OperationKind::Read => Ok(sys::transfer(&self.file, operation)?),
            OperationKind::Write { durable } => {
                if !self.has(operation)? {
                    return Ok(0);
                }
                let done = sys::transfer(&self.file, operation)?;
                if durable {
                    self.sync()?;
                }
                Ok(done)
            }
            OperationKind::Flush => {
                self.sync()?;
                Ok(0)
            }
            _ => Err(OperationError::Unsupported),
        }
    }
}

impl BlockBackend for FileBackend {
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { read_only: self.disk.read_only, merge: true, ..Capabilities::default() }
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(SyncQueue::new(Arc::clone(&self.disk), depth)))
    }
}
