//! Operations on an open image, by all queues.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use imago::format::PreallocateMode;
use imago::io_buffers::IoBuffer;

use super::super::file::lock::ImageLock;
use super::super::{Capabilities, Operation, OperationError, OperationKind, OperationResult, RangeLimits};
use super::open::{Image, Opened};
use crate::wire::SECTOR;

/// The most bytes that move at once between an image and guest memory.
const BUFFER: usize = 1 << 20;
/// The most that is discarded or zeroed at once: other queues wait for it.
const MOST_AT_ONCE: u64 = 1 << 30;

/// An open image.
///
/// The library locks its tables inside of it: reads and writes may be done by several threads at once. What takes clusters
/// away from the disk must be alone, since others may have looked up where they are, and not have moved their data yet.
#[derive(Debug)]
pub(super) struct Disk {
    image: RwLock<Image>,
    size: AtomicU64,
    can: Capabilities,
    mem_align: usize,
    /// The library gave up in the middle of something, or data was lost when it was written out: nothing can be promised any
    /// more.
    broken: AtomicBool,
    /// They go last: closing an image may still write it.
    _locks: Vec<ImageLock>,
}

impl Disk {
    pub(super) fn new(Opened { image, ranges }: Opened, locks: Vec<ImageLock>) -> Disk {
        let inner = image.inner();
        let read_only = !inner.writable();
        let granularity = inner.zero_granularity().filter(|_| ranges);
        let ranges = granularity.map(|granularity| RangeLimits {
            max_len: MOST_AT_ONCE,
            alignment: u32::try_from(granularity.next_multiple_of(SECTOR)).unwrap_or(512),
        });
        let can = Capabilities {
            read_only,
            discard: ranges,
            write_zeroes: ranges,
            zeroes_may_unmap: ranges.is_some(),
            ..Capabilities::default()
        };
        let (size, mem_align) = (image.size(), image.mem_align());
        Disk {
            image: RwLock::new(image),
            size: size.into(),
            can,
            mem_align,
            broken: AtomicBool::new(false),
            _locks: locks,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.can
    }

    /// What a queue's data goes through.
    pub(super) fn buffer(&self) -> io::Result<IoBuffer> {
        IoBuffer::new(BUFFER, self.mem_align)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        if self.can.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if !len.is_multiple_of(SECTOR) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{len} is not a multiple of {SECTOR}")));
        }
        let mut image = self.alone();
        let resized = self.run(image.resize(len, PreallocateMode::Zero));
        self.size.store(image.size(), Ordering::Release);
        resized
    }

    /// Does `operation`; data goes through `buffer`.
    pub(super) fn perform(&self, operation: &Operation, buffer: &mut IoBuffer) -> OperationResult {
        let (offset, kind) = (operation.offset(), operation.kind());
        if kind.changes() && self.can.read_only {
            return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into());
        }
        // What lies behind the disk's end is left out: a short transfer.
        let len = operation.len().min(self.size().saturating_sub(offset));
        if len == 0 && kind != OperationKind::Flush {
            return Ok(0);
        }
        match kind {
            OperationKind::Read => self.read(operation, len, buffer)?,
            OperationKind::Write { durable } => {
                self.write(operation, len, buffer)?;
                self.sync_if(durable)?;
            }
            OperationKind::Flush => self.sync()?,
            OperationKind::Discard => self.run(self.alone().discard_to_any(offset, len))?,
            OperationKind::WriteZeroes { unmap, durable } => {
                self.zero(offset, len, unmap)?;
                self.sync_if(durable)?;
            }
            _ => return Err(OperationError::Unsupported),
        }
        Ok(len)
    }

    fn read(&self, operation: &Operation, len: u64, buffer: &mut IoBuffer) -> io::Result<()> {
        let mut writer = operation.writer();
        let image = self.shared();
        for (offset, len) in chunks(operation.offset(), len) {
            self.run(image.read(buffer.as_mut_range(0..len), offset))?;
            writer.write(buffer.as_ref_range(0..len).into_slice()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn write(&self, operation: &Operation, len: u64, buffer: &mut IoBuffer) -> io::Result<()> {
        let mut reader = operation.reader();
        let image = self.shared();
        for (offset, len) in chunks(operation.offset(), len) {
            reader.read(buffer.as_mut_range(0..len).into_slice()).map_err(io::Error::other)?;
            self.run(image.write(buffer.as_ref_range(0..len), offset))?;
        }
        Ok(())
    }

    /// BLK-OP-09
    fn zero(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        match unmap {
            true => self.run(self.alone().discard_to_zero(offset, len)),
            false => self.run(self.shared().write_zeroes(offset, len)),
        }
    }

    fn sync_if(&self, durable: bool) -> io::Result<()> {
        if durable { self.sync() } else { Ok(()) }
    }

    /// BLK-STABLE-01: everything that was written is on stable storage after this, tables included.
    ///
    /// The system reports lost data once and takes its pages for clean from then on, so after a failure no later sync can be
    /// trusted.
    fn sync(&self) -> io::Result<()> {
        if self.can.read_only {
            return Ok(());
        }
        let image = self.shared();
        let synced = self.run(async {
            image.flush().await?;
            image.sync().await
        });
        if synced.is_err() {
            self.broken.store(true, Ordering::SeqCst);
        }
        synced
    }

    /// Runs a call of the library to its end.
    fn run<T>(&self, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the image cannot be used any more, since an error before"));
        }
        let done = guarded(call);
        if done.as_ref().is_err_and(|error| error.get_ref().is_some_and(|inner| inner.is::<GaveUp>())) {
            self.broken.store(true, Ordering::SeqCst);
        }
        done
    }

    fn shared(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, Image> {
        self.image.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.sync() {
            log::error!("an image could not be written out when it was closed: {error}");
        }
    }
}

/// Pieces of a range that fit a buffer.
fn chunks(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..len).step_by(BUFFER).map(move |done| {
        let len = usize::try_from(len - done).map_or(BUFFER, |left| left.min(BUFFER));
        (offset.saturating_add(done), len)
    })
}

/// The library stumbled over an image.
#[derive(Debug, thiserror::Error)]
#[error("the image is damaged in a way that is not provided for")]
struct GaveUp;

/// Runs a call of the library to its end, in this thread.
///
/// The library asserts in places what holds for images that are not damaged: what it has to say then is an error here. Its
/// locks are released on the way out.
pub(super) fn guarded<T>(call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let call = AssertUnwindSafe(|| pollster::block_on(call));
    catch_unwind(call).unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::InvalidData, GaveUp)))
}
