//! A disk with zones, made of one without.
//!
//! The modules, from the inside out: `geometry` (where zones are), `table` (what state they are in),
//! `flights` and `holes` (what is being written, and what could not be), `disk` (what may be done when), `queue` with
//! `transfer` and `reset` (operations), `record` and `store` (the state file), `host` (zones that a device of the host has).

mod builder;
mod disk;
mod flights;
mod geometry;
mod holes;
mod host;
mod queue;
mod record;
mod reset;
mod shared;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod waker;

use std::fmt;
use std::io;
use std::sync::Arc;

use super::zone::{ZoneDescriptor, ZoneState};
use super::{BlockBackend, BlockQueue, Capabilities, Lifetime};
use queue::ZonedQueue;
use shared::{Keep, Shared};

pub use builder::{ZonedBuilder, ZonedError};
pub use host::{HostZonesError, ZoneFault};
pub use store::{StateFileError, ZoneStorage};

/// A zoned disk (virtio 1.4, section 5.2) over any other: the rules of zones are kept here, and the other disk holds the
/// data, at the same places. Or a zoned block device of the host, with its own zones: see `ZonedBackend::open`; what
/// follows is about the former.
///
/// ```
/// use virtio_blk::MemoryBackend;
/// use virtio_blk::backend::ZonedBackend;
///
/// let disk = ZonedBackend::builder(MemoryBackend::zeroed(64 << 20))
///     .zone_len(4 << 20)
///     .conventional(2)
///     .max_open(4)
///     .max_active(8)
///     .build()?;
/// assert_eq!(disk.zones(), 16);
/// # Ok::<(), virtio_blk::backend::ZonedError>(())
/// ```
///
/// **What is read.** Behind a zone's write pointer everything reads as zeros, whatever the other disk has there. So
/// without a [state file](ZonedBuilder::state_file) a disk begins with all sequential zones empty, and what the other
/// disk held before cannot be read.
///
/// **Order.** The pointer moves when a write is taken, so that a driver can have several under way in one zone. A read of
/// what is being written, a reset of a zone that is being written, and whatever is written to a zone that is about to be
/// reset wait for each other, also between queues: an older write never ends up among newer data.
///
/// **Writes that fail.** The pointer goes back if nothing was taken behind them in that zone. Else it stays, and what
/// they should have brought fails to be read until the zone is reset or, in a host-aware zone, written there again. Of
/// each zone four such ranges are told apart; if there are more, what is between the nearest cannot be read either.
///
/// **Host-aware zones** may be written anywhere. The pointer is behind the highest write; what is left out on the way there
/// is zeroed first. They have no limits on open and active zones, and take writes when they are full, so that a driver
/// that knows nothing of zones can use the disk.
///
/// **Not offered**: discarding and zeroing on a host-managed disk, which has resets for that. Where the other disk can
/// erase securely, whole zones can be erased, and are empty then.
///
/// **Size.** The disk is as long as the other one was when this was made, without what is less than the write granularity.
///
/// Cheap to clone; all clones are the same disk. Send and Sync. A queue waits for the state file, if there is one, when
/// it says that a flush, a durable write or the change of a zone has ended; else only if the other disk's queue waits.
#[derive(Clone)]
pub struct ZonedBackend {
    shared: Arc<Shared>,
}

impl ZonedBackend {
    /// Begins to make a zoned disk of `inner`: a host-managed one with zones of 256 MiB, unless said otherwise.
    pub fn builder(inner: impl BlockBackend + 'static) -> ZonedBuilder {
        ZonedBuilder::new(Arc::new(inner))
    }

    /// How many zones it has.
    pub fn zones(&self) -> u32 {
        self.shared.disk().table.geometry.zones()
    }

    /// What a zone is like now; `None` if there is no such zone.
    pub fn zone(&self, zone: u32) -> Option<ZoneDescriptor> {
        let disk = self.shared.disk();
        (zone < disk.table.geometry.zones()).then(|| disk.table.describe(zone))
    }

    /// From now on a zone can only be read, for good. For those that have to act out a failing disk. Waits for the state
    /// file.
    ///
    /// # Errors
    /// If it is a conventional zone, an offline one or none at all, if the zones are a device's of the host, or if the state
    /// file cannot be written; in the last case the zone is read-only all the same.
    pub fn set_read_only(&self, zone: u32) -> io::Result<()> {
        self.fail(zone, ZoneState::ReadOnly)
    }

    /// From now on a zone cannot be used at all, for good. Waits for the state file.
    ///
    /// # Errors
    /// As for [`set_read_only`](Self::set_read_only).
    pub fn set_offline(&self, zone: u32) -> io::Result<()> {
        self.fail(zone, ZoneState::Offline)
    }

    fn fail(&self, zone: u32, state: ZoneState) -> io::Result<()> {
        if self.shared.host.is_some() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the zones are those of a device of the host"));
        }
        if !self.shared.disk().fail(zone, state) {
            let line = format!("zone {zone} cannot become {state:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, line));
        }
        self.shared.keep(Keep::All)
    }
}

impl BlockBackend for ZonedBackend {
    fn size(&self) -> io::Result<u64> {
        Ok(self.shared.disk().table.geometry.size)
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.shared.inner.capabilities();
        let aware = self.shared.is_aware();
        Capabilities {
            // A device of the host takes it for a reset, or refuses it.
            discard: inner.discard.filter(|_| aware && self.shared.host.is_none()),
            write_zeroes: inner.write_zeroes.filter(|_| aware),
            zeroes_may_unmap: inner.zeroes_may_unmap && aware,
            secure_erase: self.shared.secure_erase,
            zoned: Some(self.shared.characteristics),
            // A run of requests may go over the border of a zone although none of them does.
            merge: false,
            ..inner
        }
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        self.shared.inner.lifetime()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(ZonedQueue::open(&self.shared, depth)?))
    }
}

impl fmt::Debug for ZonedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZonedBackend({} zones, {:?})", self.zones(), self.shared.characteristics)
    }
}
