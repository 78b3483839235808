//! What all queues of a zoned disk share.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::host::Host;
use super::queue::Job;
use super::record::{RECORD_LEN, Record};
use super::store::Store;
use crate::backend::zone::{DESCRIPTOR_LEN, REPORT_HEADER_LEN, ZonedCharacteristics, ZonedModel, report_header};
use crate::backend::{BlockBackend, Operation, OperationError, OperationResult, RangeLimits, ZoneError};

/// Zones of a report that are looked at together.
const REPORTED: usize = 256;

/// Zones that are written to the state file at once.
const CHUNK: usize = (1 << 18) / RECORD_LEN;

/// How much of the zones has to be in the state file before an operation is said to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// Nothing in particular.
    Nothing,
    /// The states of zones, where the system can take it in without waiting.
    States,
    /// The pointers as well, on stable storage.
    All,
}

/// A zoned disk. The state file is locked before the disk is, and the disk for short times only.
pub(super) struct Shared {
    pub(super) inner: Arc<dyn BlockBackend>,
    pub(super) characteristics: ZonedCharacteristics,
    /// How zones can be erased.
    pub(super) secure_erase: Option<RangeLimits>,
    /// The most bytes that the inner disk zeroes at once.
    pub(super) most_zeroes: u64,
    pub(super) disk: Mutex<Disk>,
    pub(super) store: Option<Mutex<Store>>,
    /// The host's device whose zones they are, if they are not made up here.
    pub(super) host: Option<Host>,
}

impl Shared {
    /// Whether its sequential zones may be written anywhere.
    pub(super) fn is_aware(&self) -> bool {
        self.characteristics.model == ZonedModel::HostAware
    }

    /// Nobody hears any more of what was going on.
    pub(super) fn abandon(&self, job: Job) {
        match job {
            Job::None | Job::Passed | Job::Read { .. } => {}
            // What is on the disk is not known.
            Job::Write { flight, .. } | Job::Gap { flight, .. } => self.ended(flight, false),
            Job::Reset { barrier } => self.disk().lift(barrier),
            Job::Erase { flight, barrier } => {
                let mut disk = self.disk();
                disk.ended(flight, false);
                disk.lift(barrier);
            }
        }
    }

    /// What was admitted has ended, well or not. If not, the host's device is asked what has become of its zones.
    pub(super) fn ended(&self, flight: u64, well: bool) {
        let Some(host) = self.host.as_ref().filter(|_| !well) else {
            return self.disk().ended(flight, well);
        };
        let disk = self.disk();
        let zones = disk.table.geometry.zones_of(&disk.range_of_flight(flight)).unwrap_or_default();
        drop(disk);
        let seen = host.look(zones);
        let mut disk = self.disk();
        disk.ended(flight, well);
        match seen {
            Ok(seen) => seen.into_iter().for_each(|(number, zone)| disk.take_over(number, zone)),
            Err(error) => host.warn(&error),
        }
    }

    /// Has the zones be as the host's device says, where nothing goes on in them.
    fn refresh(&self, host: &Host, zones: Range<u32>) -> io::Result<()> {
        let before = self.disk().changes();
        let seen = host.look(zones)?;
        let mut disk = self.disk();
        // Else it may be older than what has ended meanwhile.
        if disk.changes() == before {
            seen.into_iter().for_each(|(number, zone)| disk.take_over(number, zone));
        }
        Ok(())
    }

    /// Describes zones from the one that holds the operation's offset on: as many as there is room for. Returns bytes.
    pub(super) fn report(&self, operation: &Operation) -> OperationResult {
        let gone = |error| OperationError::Io(io::Error::other(error));
        let geometry = self.disk().table.geometry;
        // DRV-BLK-18
        let first = geometry.zone_at(operation.offset()).ok_or(ZoneError::InvalidCommand)?;
        let mut writer = operation.writer();
        // DRV-BLK-21
        let Some(room) = writer.remaining().checked_sub(REPORT_HEADER_LEN) else {
            let line = format!("a report has {REPORT_HEADER_LEN} bytes at least");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, line).into());
        };
        let room = u32::try_from(room / DESCRIPTOR_LEN).unwrap_or(u32::MAX);
        let mut zones = first..geometry.zones().min(first.saturating_add(room));
        let count = zones.len() as u64;
        writer.write(&report_header(count)).map_err(gone)?;
        while !zones.is_empty() {
            if let Some(host) = &self.host {
                self.refresh(host, zones.start..zones.end.min(zones.start.saturating_add(REPORTED as u32)))?;
            }
            let mut bytes = [0; REPORTED * DESCRIPTOR_LEN];
            let mut filled = 0_usize;
            let disk = self.disk();
            for (place, zone) in bytes.chunks_exact_mut(DESCRIPTOR_LEN).zip(&mut zones) {
                place.copy_from_slice(&disk.table.describe(zone).to_bytes());
                filled = filled.saturating_add(DESCRIPTOR_LEN);
            }
            drop(disk);
            writer.write(bytes.get(..filled).unwrap_or_default()).map_err(gone)?;
        }
        Ok((REPORT_HEADER_LEN as u64).saturating_add(count.saturating_mul(DESCRIPTOR_LEN as u64)))
    }

    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the state file up to date. Waits for storage.
    pub(super) fn keep(&self, what: Keep) -> io::Result<()> {
        let Some(store) = self.store.as_ref().filter(|_| what > Keep::Nothing) else {
            return Ok(());
        };
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut disk = self.disk();
        let mut zones = disk.take_changed(what == Keep::All);
        let active = match what {
            Keep::All if self.characteristics.max_active_zones != 0 => disk.take_active(&mut zones),
            _ => Vec::new(),
        };
        drop(disk);
        let written = self.write(&mut store, &mut zones, &active, what);
        if written.is_err() {
            let active = active.iter().map(|record| record.zone);
            self.disk().give_back_changed(zones.into_iter().chain(active));
        }
        written
    }

    /// Writes what is to be said of `zones`, and then what is said of those that are `active`. Leaves the zones that
    /// were not written.
    ///
    /// BLK-INIT-13: a power failure may leave some of it. Until it is on stable storage that others are not active any
    /// more, nothing is said to be, or there could be too many afterwards.
    fn write(&self, store: &mut Store, zones: &mut BTreeSet<u32>, active: &[Record], what: Keep) -> io::Result<()> {
        let limited = self.characteristics.max_active_zones != 0;
        let mut records = Vec::new();
        while !zones.is_empty() {
            let behind = zones.iter().nth(CHUNK).copied();
            let mut disk = self.disk();
            let record = |zone: &u32| if limited { disk.idle_record(*zone) } else { disk.record(*zone) };
            records.clear();
            records.extend(zones.iter().take(CHUNK).map(record));
            drop(disk);
            store.write(&records)?;
            *zones = behind.map(|zone| zones.split_off(&zone)).unwrap_or_default();
        }
        if !active.is_empty() && store.freed {
            store.sync()?;
        }
        active.chunks(CHUNK).try_for_each(|records| store.write(records))?;
        match what {
            Keep::All => store.sync(),
            Keep::Nothing | Keep::States => Ok(()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.keep(Keep::All) {
            log::error!("the zones' state file does not have the last changes: {error}");
        }
    }
}
