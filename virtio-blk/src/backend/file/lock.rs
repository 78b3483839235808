//! Locks that keep two virtual machines from writing one image.
//!
//! They are those of QEMU, so that both respect each other: a shared lock on one byte for each thing that is done with
//! the image, and on another byte for each thing that others must not do with it. Whoever comes later takes its own
//! locks first, and then looks whether others hold the opposite ones. So two that come at the same time may both be
//! refused, but never both admitted.

use std::fs::File;
use std::io;
use std::path::Path;

use super::super::sys;
use super::OpenError;

/// Bytes that are locked for what is done, one for each permission.
const DONE: u8 = 100;
/// Bytes that are locked for what others must not do.
const NOT_SHARED: u8 = 200;

/// What can be done with an image, by the place of its byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Permission {
    ConsistentRead = 0,
    Write = 1,
    Resize = 3,
}

use Permission::{ConsistentRead, Resize, Write};

/// What is done here.
fn done(write: bool) -> &'static [Permission] {
    if write { &[ConsistentRead, Write] } else { &[ConsistentRead] }
}

/// What others must not do meanwhile, whether the image is written here or not.
const OTHERS_MUST_NOT: &[Permission] = &[Write, Resize];

/// The lock on an image. It is given back when this goes, even where others still have the same open file: a process that
/// was forked off, or the kernel while it takes an io_uring apart.
#[derive(Debug)]
pub(in crate::backend) struct ImageLock {
    file: File,
    write: bool,
}

impl Drop for ImageLock {
    fn drop(&mut self) {
        release(&self.file, self.write);
    }
}

/// Locks the image for writing or only for reading, until what is returned goes.
pub(in crate::backend) fn take(file: &File, write: bool, path: &Path) -> Result<ImageLock, OpenError> {
    let file = file.try_clone().map_err(|error| OpenError::new(path, write, error))?;
    // Given back too where it was not granted in full.
    let taken = ImageLock { file, write };
    judge(lock(&taken.file, write), write, path)?;
    Ok(taken)
}

/// Whether the image may be used, as far as locks say.
pub(super) fn judge(got: io::Result<Option<Holder>>, write: bool, path: &Path) -> Result<(), OpenError> {
    let error = match got {
        Ok(None) => return Ok(()),
        Ok(Some(holder)) => {
            return Err(OpenError::Locked { path: path.to_owned(), writer: holder == Holder::Changes, write });
        }
        Err(error) => error,
    };
    match error.raw_os_error() {
        // Others than QEMU lock the whole file, exclusively.
        Some(libc::EAGAIN | libc::EACCES) => Err(OpenError::Locked { path: path.to_owned(), writer: true, write }),
        Some(libc::EINVAL | libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP) => {
            log::warn!(
                "the file system of the disk image {} has no locks ({error}): \
                 nothing keeps a second virtual machine from writing it",
                path.display()
            );
            Ok(())
        }
        _ => Err(OpenError::new(path, write, error)),
    }
}

/// Who else has the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Does what must not be done meanwhile.
    Changes,
    /// Does not allow what is done here.
    Forbids,
}

fn lock(file: &File, write: bool) -> io::Result<Option<Holder>> {
    for permission in done(write) {
        sys::lock_byte(file, DONE + *permission as u8)?;
    }
    for permission in OTHERS_MUST_NOT {
        sys::lock_byte(file, NOT_SHARED + *permission as u8)?;
    }
    for permission in OTHERS_MUST_NOT {
        if sys::byte_is_locked(file, DONE + *permission as u8)? {
            return Ok(Some(Holder::Changes));
        }
    }
    for permission in done(write) {
        if sys::byte_is_locked(file, NOT_SHARED + *permission as u8)? {
            return Ok(Some(Holder::Forbids));
        }
    }
    Ok(None)
}

fn release(file: &File, write: bool) {
    let bytes = done(write).iter().map(|permission| DONE + *permission as u8);
    for byte in bytes.chain(OTHERS_MUST_NOT.iter().map(|permission| NOT_SHARED + *permission as u8)) {
        // It goes with the file at the latest.
        let _ = sys::unlock_byte(file, byte);
    }
}
