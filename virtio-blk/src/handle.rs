//! What can be done with a device that runs.

use std::io;
use std::sync::Arc;

use crate::counters::BlockCounts;
use crate::policy::Stopped;
use crate::shared::Shared;
use crate::wire::SECTOR;

/// A hold on a [`Block`](crate::Block) device, for whoever manages it.
///
/// Cheap to clone; all clones are of the same device. Send and Sync. No call waits for a queue task; [`resize`] and
/// [`refresh`] ask the backend for its size.
///
/// [`resize`]: Self::resize
/// [`refresh`]: Self::refresh
#[derive(Clone, Debug)]
pub struct BlockHandle(pub(crate) Arc<Shared>);

/// The disk cannot have this size.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// A disk consists of whole sectors.
    #[error("{len} bytes are not a multiple of 512")]
    NotSectors {
        /// The size that was asked for.
        len: u64,
    },
    /// The storage is smaller.
    #[error("the storage has {size} bytes only, {len} were asked for")]
    TooLarge {
        /// The size that was asked for.
        len: u64,
        /// The size of the storage.
        size: u64,
    },
    /// A disk with zones has as many as it has.
    #[error("a disk with zones cannot change its size")]
    Zoned,
    /// The storage could not be asked for its size.
    #[error("the size of the storage is not known: {0}")]
    Backend(#[from] io::Error),
}

impl BlockHandle {
    /// The disk's size as the driver sees it, in sectors of 512 bytes (BLK-CFG-01).
    pub fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    /// Shows the driver a disk of `len` bytes, at most as many as the storage has, and tells it (BLK-OP-02).
    ///
    /// A disk that is to become smaller should do so here before the storage does; one that is to become larger, after.
    /// Requests behind the new end fail from now on; those that are in flight may still get through.
    ///
    /// # Errors
    /// [`ResizeError`]; nothing has changed then.
    pub fn resize(&self, len: u64) -> Result<(), ResizeError> {
        if !len.is_multiple_of(SECTOR) {
            return Err(ResizeError::NotSectors { len });
        }
        if self.0.backend.capabilities().zoned.is_some() {
            return Err(ResizeError::Zoned);
        }
        let size = self.0.backend.size()?;
        if len > size {
            return Err(ResizeError::TooLarge { len, size });
        }
        self.0.set_capacity(len / SECTOR);
        Ok(())
    }

    /// Shows the driver the storage as it is now, and tells it if that is a change: its size in whole sectors, unless it has
    /// zones, and whether zeroing may give storage back (BLK-OP-12).
    ///
    /// # Errors
    /// [`ResizeError::Backend`].
    pub fn refresh(&self) -> Result<(), ResizeError> {
        if self.0.backend.capabilities().zoned.is_none() {
            self.0.set_capacity(self.0.backend.size()? / SECTOR);
        }
        self.0.look_whether_zeroes_unmap();
        Ok(())
    }

    /// Why the device has stopped: [`OnError::Stop`](crate::OnError::Stop). None while it serves.
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.stopped()
    }

    /// Has a device that has stopped do again what failed, and go on. False where it had not stopped.
    pub fn resume(&self) -> bool {
        self.0.resume()
    }

    /// Whether completed writes may still be in a cache, for the driver to flush; otherwise each is on stable storage
    /// when it completes.
    pub fn writeback(&self) -> bool {
        self.0.writeback()
    }

    /// What the device has counted.
    pub fn counts(&self) -> BlockCounts {
        let mut counts = BlockCounts::default();
        for counters in &self.0.counters {
            counters.add_to(&mut counts);
        }
        counts
    }
}
