//! Why a file cannot be a disk.

use std::io;
use std::path::{Path, PathBuf};

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
    /// It was opened with a flag that does not work here: for writing only, or for appending.
    #[error("the disk image is open with {flag}: open it without")]
    Flag {
        /// The flag's name.
        flag: &'static str,
    },
    /// Its file system has no direct I/O.
    #[error(
        "the file system of the disk image {} has no direct I/O (O_DIRECT): \
         open it without, or move it to a file system that has it, such as ext4 or xfs", path.display()
    )]
    Direct {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
    },
    /// Somebody else uses it, and one of both writes it.
    #[error(
        "the disk image {} is in use: another virtual machine or tool {}; stop it first{}", path.display(),
        if *writer { "writes it" } else { "reads it, and would see it change" },
        if *write { ", or open it read-only in both" } else { ", or have it open the image read-only" }
    )]
    Locked {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
        /// Whether the other one writes it.
        writer: bool,
        /// Whether it was to be written here.
        write: bool,
    },
    /// Secure erase was asked for, and it is no block device.
    #[error(
        "the disk image {} is a regular file, which cannot be erased securely: only block devices can be",
        path.display()
    )]
    SecureErase {
        /// The file; empty if it was given as an open file.
        path: PathBuf,
    },
    /// It is a block device whose zones have to be written in order, which no ordinary disk is.
    #[error(
        "{} is a host-managed zoned block device, and cannot be an ordinary disk: open it as a zoned one \
         (ZonedBackend::open)", path.display()
    )]
    Zoned {
        /// The device; empty if it was given as an open file.
        path: PathBuf,
    },
    /// It was to be opened with its zones, and has none.
    #[error(
        "{} is no block device with zones of its own, or /sys, which would tell, is not mounted: emulate zones on it, or \
         open it as an ordinary disk", path.display()
    )]
    NoZones {
        /// The file.
        path: PathBuf,
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

impl OpenError {
    pub(super) fn new(path: &Path, write: bool, error: io::Error) -> OpenError {
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
