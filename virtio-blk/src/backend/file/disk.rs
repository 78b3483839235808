//! A file, and what is done with it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use virtio_core::memory::RawIoSlice;

use super::super::{Operation, OperationError, OperationKind, OperationResult, SyncDisk, sys};
use super::lock::ImageLock;
use super::ranges::Support;

/// A file that is a disk. Each way to do I/O has the rules of storage from here.
///
/// Send and Sync.
#[derive(Debug)]
pub(in crate::backend) struct Disk {
    file: File,
    direct: Option<Direct>,
    read_only: bool,
    /// A regular file: it would grow by a write behind its end.
    regular: bool,
    pub(super) support: Support,
    /// The system could not write out what it had taken, and may have forgotten it: no later sync can make it good.
    pub(in crate::backend) lost: AtomicBool,
    _lock: Option<ImageLock>,
}

/// What there is besides a file that is open for direct I/O.
///
/// Direct I/O takes only what is aligned, and what a driver asks for need not be. That goes through the same file opened
/// without O_DIRECT, by the page cache. The kernel keeps both coherent: a direct read waits until pages of its range
/// that were changed are written out, and a direct write drops the pages of its range. Requests that overlap and are in
/// flight at the same time have no order on any disk. A sync is for the file, however it was written.
#[derive(Debug)]
pub(super) struct Direct {
    /// The file without O_DIRECT.
    pub(super) buffered: File,
    /// Of the addresses of memory; a power of two.
    pub(super) memory: u32,
    /// Of offsets and lengths; a power of two.
    pub(super) offset: u32,
    /// What is not aligned in memory is copied, not written by the page cache, which does not keep the order of writes.
    pub(super) bounce: bool,
}

impl Direct {
    fn takes(&self, pieces: &[RawIoSlice], offset: u64) -> bool {
        let (memory, block) = (self.memory as usize, self.offset as usize);
        offset.is_multiple_of(u64::from(self.offset))
            && pieces.iter().all(|piece| piece.base.addr().is_multiple_of(memory) && piece.len.is_multiple_of(block))
    }
}

impl Disk {
    /// A disk in `file`, which is a regular file or a block device.
    pub(in crate::backend) fn new(file: File, read_only: bool, regular: bool) -> Disk {
        let (support, lost) = (Support::default(), AtomicBool::new(false));
        Disk { file, direct: None, read_only, regular, support, lost, _lock: None }
    }

    /// The image is locked for as long as the disk is there.
    pub(super) fn with_lock(mut self, lock: Option<ImageLock>) -> Disk {
        self._lock = lock;
        self
    }

    /// The file is open for direct I/O.
    pub(super) fn with_direct(mut self, direct: Direct) -> Disk {
        self.direct = Some(direct);
        self
    }

    /// The file that operations usually go to: open for direct I/O, if that was asked for.
    pub(in crate::backend) fn file(&self) -> &File {
        &self.file
    }

    /// The file for what direct I/O cannot take; [`file`](Self::file) itself if that is not direct.
    pub(in crate::backend) fn buffered(&self) -> &File {
        self.direct.as_ref().map_or(&self.file, |direct| &direct.buffered)
    }

    pub(super) fn direct(&self) -> Option<&Direct> {
        self.direct.as_ref()
    }

    /// Whether `operation` can go to [`file`](Self::file): always, but for direct I/O only if its offset, and each
    /// piece's address and length, are aligned. What direct I/O moved only in part may go on where it is not aligned.
    pub(in crate::backend) fn takes_direct(&self, operation: &Operation) -> bool {
        self.takes(operation.io_slices(), operation.offset())
    }

    fn takes(&self, pieces: &[RawIoSlice], offset: u64) -> bool {
        self.direct.as_ref().is_none_or(|direct| direct.takes(pieces, offset))
    }

    pub(in crate::backend) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether it is a regular file, not a block device.
    pub(in crate::backend) fn is_regular(&self) -> bool {
        self.regular
    }

    /// Bytes, now.
    pub(in crate::backend) fn size(&self) -> io::Result<u64> {
        if self.regular {
            return Ok(self.file.metadata()?.len());
        }
        // The metadata of a block device has no size. Nothing else uses the file's position.
        (&self.file).seek(SeekFrom::End(0))
    }

    /// Whether the disk still has all bytes before `end`. To be asked before a regular file is written: one that
    /// somebody cut short would grow again by the write, and what was cut off would come back as zeros. A block device
    /// does not grow, and takes no more than it has.
    pub(in crate::backend) fn has(&self, end: u64) -> io::Result<bool> {
        Ok(!self.regular || end <= self.size()?)
    }

    /// BLK-STABLE-01: what a sync gave, or that an earlier one failed.
    ///
    /// The system reports lost data once, to whoever asks next, and takes its pages for clean from then on. So after a
    /// failure nothing can be promised any more, and every later sync fails as well.
    pub(in crate::backend) fn synced(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.lost.store(true, Ordering::SeqCst);
        }
        if self.lost.load(Ordering::SeqCst) {
            return result.and(Err(io::Error::other("data was lost when it was written out before")));
        }
        result
    }

    /// BLK-STABLE-01: everything that was written is on stable storage after this, directly or not.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.synced(self.file.sync_data())
    }

    /// The mode of `fallocate` that does `kind` on a regular file; `None` for what is no matter of `fallocate`. Where it
    /// fails, [`perform`](Self::perform) finds another way.
    #[cfg_attr(not(all(feature = "uring", target_os = "linux")), allow(dead_code))]
    pub(in crate::backend) fn fallocate_mode(kind: OperationKind) -> Option<libc::c_int> {
        match kind {
            OperationKind::Discard | OperationKind::WriteZeroes { unmap: true, .. } => Some(sys::PUNCH),
            OperationKind::WriteZeroes { unmap: false, .. } => Some(sys::ZERO),
            _ => None,
        }
    }

    /// The file that these pieces go to.
    pub(super) fn way(&self, pieces: &[RawIoSlice], offset: u64) -> &File {
        if self.takes(pieces, offset) { self.file() } else { self.buffered() }
    }

    /// Moves data, directly where that takes it.
    fn transfer(&self, operation: &Operation) -> io::Result<u64> {
        if let Some(direct) = self.direct.as_ref().filter(|direct| direct.keeps_order(operation)) {
            return match self.takes_direct(operation) {
                true => sys::transfer(operation, |_, _| &self.file),
                false => direct.transfer(&self.file, operation),
            };
        }
        match sys::transfer(operation, |pieces, offset| self.way(pieces, offset)) {
            // Stricter than it said.
            Err(error) if self.direct.is_some() && error.raw_os_error() == Some(libc::EINVAL) => {
                sys::transfer(operation, |_, _| self.buffered())
            }
            result => result,
        }
    }

    /// Does an operation of whatever kind; waits for the storage.
    pub(in crate::backend) fn perform(&self, operation: &Operation) -> OperationResult {
        let end = operation.offset().saturating_add(operation.len());
        match operation.kind() {
            OperationKind::Read => Ok(self.transfer(operation)?),
            OperationKind::Write { durable } => {
                if !self.has(end)? {
                    return Ok(0);
                }
                let done = self.transfer(operation)?;
                if durable {
                    self.sync()?;
                }
                Ok(done)
            }
            OperationKind::Flush => {
                self.sync()?;
                Ok(0)
            }
            OperationKind::Discard => Ok(self.discard(operation.offset(), operation.len())?),
            OperationKind::WriteZeroes { unmap, durable } => {
                let done = self.write_zeroes(operation.offset(), operation.len(), unmap)?;
                if durable {
                    self.sync()?;
                }
                Ok(done)
            }
            OperationKind::SecureErase => self.secure_erase(operation.offset(), operation.len()),
            _ => Err(OperationError::Unsupported),
        }
    }
}

impl SyncDisk for Disk {
    fn perform(&self, operation: &Operation) -> OperationResult {
        Disk::perform(self, operation)
    }
}
