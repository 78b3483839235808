//! Discarding, zeroing and erasing ranges of the disk.
//!
//! None of it makes a file grow: a range that lies behind the end of a file that was cut short is not done at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::super::sys::{self, BlockRange};
use super::super::{OperationError, OperationResult};
use super::disk::Disk;

/// The most bytes that are discarded by one operation: a file may have them in any number of pieces.
pub(super) const DISCARD_MOST: u64 = 1 << 30;
/// The most bytes that are zeroed by one operation: where the storage has no better way, all of them are written.
pub(super) const ZERO_MOST: u64 = 128 << 20;

/// Zeros that are written by one call.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What the storage was seen not to do; what it is not asked for again.
#[derive(Debug)]
pub(super) struct Support {
    /// Give back storage of a range.
    pub(super) punch: AtomicBool,
    /// Zero a range without writing all of it.
    pub(super) zero: AtomicBool,
    /// Take the hint of a block device's range that is not needed any more.
    pub(super) discard: AtomicBool,
}

impl Default for Support {
    /// Everything, until it is seen.
    fn default() -> Support {
        let yes = || AtomicBool::new(true);
        Support { punch: yes(), zero: yes(), discard: yes() }
    }
}

/// What came of asking the storage for one way to do something.
pub(super) enum Way {
    Done,
    /// It does not know that way.
    Never,
    /// Not for this range: one that is not aligned to the blocks of a block device, for instance.
    NotHere,
}

/// Asks, unless it was seen not to help.
pub(super) fn ask(support: &AtomicBool, call: impl FnOnce() -> io::Result<()>) -> io::Result<Way> {
    if !support.load(Relaxed) {
        return Ok(Way::Never);
    }
    match call() {
        Ok(()) => Ok(Way::Done),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOTTY)) => {
            support.store(false, Relaxed);
            Ok(Way::Never)
        }
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Way::NotHere),
        Err(error) => Err(error),
    }
}

impl Disk {
    /// A block device tells about a range behind its end by an error that says nothing else.
    fn has_range(&self, offset: u64, len: u64) -> io::Result<bool> {
        Ok(offset.saturating_add(len) <= self.size()?)
    }

    /// A hint: storage that cannot take it does nothing.
    pub(super) fn discard(&self, offset: u64, len: u64) -> io::Result<u64> {
        if !self.has_range(offset, len)? {
            return Ok(0);
        }
        match self.is_regular() {
            true => ask(&self.support.punch, || sys::fallocate(self.buffered(), sys::PUNCH, offset, len))?,
            false => {
                ask(&self.support.discard, || sys::block_range(self.buffered(), BlockRange::Discard, offset, len))?
            }
        };
        Ok(len)
    }

    /// BLK-OP-09: the range reads as zeros afterwards.
    pub(super) fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<u64> {
        if !self.has_range(offset, len)? {
            return Ok(0);
        }
        let file = self.buffered();
        let punch = || sys::fallocate(file, sys::PUNCH, offset, len);
        if unmap && matches!(ask(&self.support.punch, punch)?, Way::Done) {
            return Ok(len);
        }
        match ask(&self.support.zero, || sys::fallocate(file, sys::ZERO, offset, len))? {
            Way::Done => Ok(len),
            Way::Never | Way::NotHere => self.write_zeros(file, offset, len),
        }
    }

    /// Zeros by the page cache, which takes them at any offset.
    fn write_zeros(&self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < len {
            let now = usize::try_from(len - done).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            let at = offset.saturating_add(done);
            if !self.has(at.saturating_add(now as u64))? {
                break;
            }
            match file.write_at(ZEROS.get(..now).unwrap_or(&ZEROS), at) {
                Ok(0) => break,
                Ok(written) => done += written as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Never done in another way: what merely looks erased is not.
    pub(super) fn secure_erase(&self, offset: u64, len: u64) -> OperationResult {
        if self.is_regular() {
            return Err(OperationError::Unsupported);
        }
        if !self.has_range(offset, len)? {
            return Ok(0);
        }
        match sys::block_range(self.buffered(), BlockRange::SecureErase, offset, len) {
            Ok(()) => Ok(len),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY)) => {
                Err(OperationError::Unsupported)
            }
            Err(error) => Err(error.into()),
        }
    }
}
