//! How a file becomes a disk.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::sys::{self, BlockNumber};
use super::super::zone::ZonedModel;
use super::disk::{Direct, Disk};
use super::sysfs::Sysfs;
use super::{FileBackend, OpenError, limits, lock};
use crate::wire::SECTOR;

/// What direct I/O takes for sure, where the system does not say what it wants.
const SAFE_ALIGNMENT: u32 = 4096;

/// What becomes of the zones of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zones {
    /// It must not have any that have to be written in order.
    No,
    /// Whoever opens it takes care of them.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Kept,
}

/// How a file is to be opened as a disk.
///
/// Send and Sync. [`open`](Self::open) and [`from_file`](Self::from_file) block for as long as the file system takes.
#[derive(Clone, Debug)]
pub struct FileOptions {
    read_only: bool,
    direct: bool,
    lock: bool,
    secure_erase: bool,
}

impl Default for FileOptions {
    fn default() -> FileOptions {
        FileOptions { read_only: false, direct: false, lock: true, secure_erase: false }
    }
}

impl FileOptions {
    /// For reading and writing, through the page cache, locked.
    pub fn new() -> FileOptions {
        FileOptions::default()
    }

    /// Only for reading: the device is a read-only one.
    pub fn read_only(mut self, read_only: bool) -> FileOptions {
        self.read_only = read_only;
        self
    }

    /// Past the page cache of the host (O_DIRECT), so that data is not kept in memory twice, and a disk does not push
    /// others out of the cache. What the storage cannot take directly, for not being aligned, goes through the page
    /// cache. Only on Linux.
    pub fn direct(mut self, direct: bool) -> FileOptions {
        self.direct = direct;
        self
    }

    /// Whether to lock the file, as it is unless this says otherwise: who writes it keeps away all others that write or
    /// read it, those that only read share it. The locks are those of QEMU, so that both respect each other. They keep
    /// nobody away who does not ask for them, and are released when the backend and its queues are dropped. File
    /// systems that have no locks are used without, with a line in the log. Only on Linux.
    pub fn lock(mut self, lock: bool) -> FileOptions {
        self.lock = lock;
        self
    }

    /// The block device can erase securely. The system does not tell, so that the device offers it only if it is said
    /// here; where it turns out not to be so, requests are answered as unsupported.
    pub fn secure_erase(mut self, secure_erase: bool) -> FileOptions {
        self.secure_erase = secure_erase;
        self
    }

    /// Opens the image or block device at `path`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileBackend, OpenError> {
        let path = path.as_ref();
        self.backend(self.open_file(path)?, path, Zones::No)
    }

    /// Opens a zoned block device: direct, and so that data that is not aligned is copied.
    #[cfg(target_os = "linux")]
    pub(in crate::backend) fn open_for_zones(&self, path: &Path) -> Result<FileBackend, OpenError> {
        let options = FileOptions { direct: true, secure_erase: false, ..self.clone() };
        options.backend(self.open_file(path)?, path, Zones::Kept)
    }

    fn open_file(&self, path: &Path) -> Result<File, OpenError> {
        let failed = |error| OpenError::new(path, !self.read_only, error);
        // Looked at before it is opened: opening a pipe waits for its other end.
        is_disk(&std::fs::metadata(path).map_err(failed)?, path)?;
        OpenOptions::new().read(true).write(!self.read_only).open(path).map_err(failed)
    }

    /// Takes a file that is open already, at whatever position. It is read-only if it was opened so, and direct if it
    /// was opened so. Where direct I/O is asked for, it is opened a second time.
    ///
    /// # Errors
    /// [`OpenError`], without a path.
    pub fn from_file(&self, file: File) -> Result<FileBackend, OpenError> {
        self.backend(file, Path::new(""), Zones::No)
    }

    fn backend(&self, file: File, path: &Path, zones: Zones) -> Result<FileBackend, OpenError> {
        let failed = |error| OpenError::new(path, false, error);
        let metadata = file.metadata().map_err(failed)?;
        is_disk(&metadata, path)?;
        let regular = metadata.is_file();
        if self.secure_erase && regular {
            return Err(OpenError::SecureErase { path: path.to_owned() });
        }
        let sysfs = Sysfs::of(&metadata);
        match zones {
            Zones::No if !regular && is_host_managed(&file, sysfs.as_ref()) => {
                return Err(OpenError::Zoned { path: path.to_owned() });
            }
            Zones::Kept if sysfs.as_ref().and_then(Sysfs::zoned).is_none() => {
                return Err(OpenError::NoZones { path: path.to_owned() });
            }
            Zones::No | Zones::Kept => {}
        }
        let flags = sys::open_flags(&file).map_err(failed)?;
        if flags & libc::O_ACCMODE == libc::O_WRONLY {
            return Err(OpenError::Flag { flag: "O_WRONLY" });
        }
        // An appending write ignores where it should go.
        if flags & libc::O_APPEND != 0 {
            return Err(OpenError::Flag { flag: "O_APPEND" });
        }
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let read_only = self.read_only || !writable;

        // Both ways to the file, if it is to be direct; the lock is on the one that is not.
        let (file, buffered) = if flags & sys::O_DIRECT != 0 {
            let buffered = reopen(&file, &metadata, path, writable, 0).map_err(failed)?;
            (file, Some(buffered))
        } else if self.direct {
            let direct = reopen(&file, &metadata, path, writable, direct_flag(path)?).map_err(|error| {
                match error.raw_os_error() {
                    Some(libc::EINVAL) => OpenError::Direct { path: path.to_owned() },
                    _ => failed(error),
                }
            })?;
            (direct, Some(file))
        } else {
            (file, None)
        };
        let lock =
            if self.lock { Some(lock::take(buffered.as_ref().unwrap_or(&file), !read_only, path)?) } else { None };
        let alignment = buffered.is_some().then(|| direct_alignment(&file, regular, path)).transpose()?;
        let mut disk = Disk::new(file, read_only, regular).with_lock(lock);
        if let (Some(buffered), Some((memory, offset))) = (buffered, alignment) {
            let bounce = zones == Zones::Kept;
            disk = disk.with_direct(Direct { buffered, memory, offset, bounce });
        }
        let size = disk.size().map_err(failed)?;
        if !size.is_multiple_of(SECTOR) {
            return Err(OpenError::Size { path: path.to_owned(), size });
        }
        let capabilities = limits::capabilities(&disk, size, sysfs.as_ref(), self.secure_erase);
        // BLK-LIFE-02: what tells nothing now is not asked later.
        let worn = sysfs.filter(|sysfs| sysfs.lifetime().is_some());
        Ok(FileBackend { disk: Arc::new(disk), capabilities, worn })
    }
}

/// Whether a block device has zones that have to be written in order. Where nothing else tells, having zones is enough.
fn is_host_managed(file: &File, sysfs: Option<&Sysfs>) -> bool {
    match sysfs {
        Some(sysfs) => sysfs.zoned() == Some(ZonedModel::HostManaged),
        None => sys::zone_sectors(file).is_ok_and(|sectors| sectors != 0),
    }
}

fn direct_flag(path: &Path) -> Result<libc::c_int, OpenError> {
    if sys::O_DIRECT == 0 { Err(OpenError::Direct { path: path.to_owned() }) } else { Ok(sys::O_DIRECT) }
}

/// Opens the same file again, with other flags.
fn reopen(file: &File, metadata: &Metadata, path: &Path, write: bool, flags: libc::c_int) -> io::Result<File> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let path = if path.as_os_str().is_empty() { &link } else { path };
    let again = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?;
    let same = again.metadata()?;
    if (same.dev(), same.ino(), same.rdev()) != (metadata.dev(), metadata.ino(), metadata.rdev()) {
        return Err(io::Error::other("another file took its place while it was opened"));
    }
    Ok(again)
}

/// What a file that is open for direct I/O wants: the alignment of memory, and that of offsets and lengths.
fn direct_alignment(file: &File, regular: bool, path: &Path) -> Result<(u32, u32), OpenError> {
    match sys::direct_alignment(file) {
        Ok(Some((0, _) | (_, 0))) => return Err(OpenError::Direct { path: path.to_owned() }),
        Ok(Some((memory, offset))) if memory.is_power_of_two() && offset.is_power_of_two() => {
            return Ok((memory, offset.max(512)));
        }
        // Older kernels do not know the question.
        Ok(_) | Err(_) => {}
    }
    let block = if regular { None } else { sys::block_number(file, BlockNumber::LogicalSize).ok() };
    let alignment = block.filter(|size| size.is_power_of_two() && *size >= 512).unwrap_or(SAFE_ALIGNMENT);
    Ok((alignment, alignment))
}

fn is_disk(metadata: &Metadata, path: &Path) -> Result<(), OpenError> {
    if metadata.is_file() || metadata.file_type().is_block_device() {
        return Ok(());
    }
    Err(OpenError::NotADisk { path: path.to_owned() })
}
