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

/// Locks the image for as long as `file` is open, for writing or only for reading.
pub(in crate::backend) fn take(file: &File, write: bool, path: &Path) -> Result<(), OpenError> {
    let got = lock(file, write);
    if !matches!(got, Ok(None)) {
        release(file, write);
    }
    judge(got, write, path)
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

/// Gives the locks back at once: somebody else may have the same open file.
fn release(file: &File, write: bool) {
    let bytes = done(write).iter().map(|permission| DONE + *permission as u8);
    for byte in bytes.chain(OTHERS_MUST_NOT.iter().map(|permission| NOT_SHARED + *permission as u8)) {
        // It goes with the file at the latest.
        let _ = sys::unlock_byte(file, byte);
    }
}
