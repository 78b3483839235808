//! What state zones are in, and what takes them to another one. Knows nothing of data or storage.
//!
//! ```text
//!            write, append            finish, or written to its capacity
//!   EMPTY ------------------> IOPEN ------------------------------------> FULL
//!     |  ^                    |  ^ close, or room needed                   ^
//!     |  | close, if nothing  v  | write, append                           |
//!     |  | was written       CLOSED ---------------------------------------|
//!     |  |                    |  ^                                         |
//!     |  |               open v  | close                                   |
//!     '------------------->  EOPEN ----------------------------------------'
//!           open
//! ```
//! A reset makes each of them EMPTY. An open may start at IOPEN, and a finish at EMPTY, which takes nothing from the
//! limits. Whoever owns the disk can make a zone RDONLY, and from everywhere OFFLINE, and nothing leads away from there.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::geometry::Geometry;
use crate::backend::ZoneError;
use crate::backend::zone::{ZoneDescriptor, ZoneState, ZoneType};

/// How many zones can be in use; zero for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) open: u32,
    pub(super) active: u32,
}

/// One zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) kind: ZoneType,
    pub(super) state: ZoneState,
    /// Bytes that can be written to it when it is empty.
    pub(super) capacity: u64,
    /// Bytes from its start on that were written. Kept where the zone is full, too: what is behind was never written.
    pub(super) pointer: u64,
}

/// All zones of a disk.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) geometry: Geometry,
    limits: Limits,
    zones: Vec<Zone>,
    open: u32,
    active: u32,
    /// The zones that are implicitly open.
    implicit: BTreeSet<u32>,
    /// The one that was closed last to make room: they take turns.
    closed_last: u32,
}

impl Table {
    /// With all sequential zones empty.
    pub(super) fn new(geometry: Geometry, limits: Limits) -> Table {
        let zone = |zone| {
            let (kind, capacity) = (geometry.kind(zone), geometry.capacity(zone));
            let conventional = kind == ZoneType::Conventional;
            let state = if conventional { ZoneState::NotWritePointer } else { ZoneState::Empty };
            Zone { kind, state, capacity, pointer: 0 }
        };
        let zones = (0..geometry.zones()).map(zone).collect();
        Table { geometry, limits, zones, open: 0, active: 0, implicit: BTreeSet::new(), closed_last: u32::MAX }
    }

    /// A zone. One that does not exist cannot be used.
    pub(super) fn zone(&self, zone: u32) -> Zone {
        let none = Zone { kind: ZoneType::Conventional, state: ZoneState::Offline, capacity: 0, pointer: 0 };
        self.zones.get(zone as usize).copied().unwrap_or(none)
    }

    /// Puts a zone into the state that it was in before, as it was stored.
    pub(super) fn restore(&mut self, zone: u32, state: ZoneState, pointer: u64) {
        self.set_pointer(zone, pointer);
        self.set(zone, state);
    }

    /// Replaces a zone by what the host's device says of it.
    pub(super) fn replace(&mut self, zone: u32, by: Zone) {
        self.set(zone, by.state);
        if let Some(place) = self.zones.get_mut(zone as usize) {
            *place = by;
        }
    }

    /// The only place where a state changes, so that the counts are right.
    fn set(&mut self, zone: u32, state: ZoneState) {
        let Some(place) = self.zones.get_mut(zone as usize) else {
            return;
        };
        let before = std::mem::replace(&mut place.state, state);
        let change = |count: &mut u32, test: fn(ZoneState) -> bool| match (test(before), test(state)) {
            (false, true) => *count = count.saturating_add(1),
            (true, false) => *count = count.saturating_sub(1),
            _ => {}
        };
        change(&mut self.open, is_open);
        change(&mut self.active, is_active);
        match state {
            ZoneState::ImplicitlyOpen => self.implicit.insert(zone),
            _ => self.implicit.remove(&zone),
        };
    }

    fn set_pointer(&mut self, zone: u32, pointer: u64) {
        if let Some(place) = self.zones.get_mut(zone as usize) {
            place.pointer = pointer;
        }
    }

    /// Gets hold of what it takes to open a zone, from which an implicitly open one may have to go.
    fn make_room(&mut self, zone: u32) -> Result<(), ZoneError> {
        let state = self.zone(zone).state;
        let reached = |limit: u32, count: u32| limit != 0 && count >= limit;
        // BLK-INIT-13, BLK-ZONE-05, BLK-ZONE-10: this is what is said if both limits are in the way.
        if !is_active(state) && reached(self.limits.active, self.active) {
            return Err(ZoneError::ActiveResource);
        }
        // BLK-INIT-12, BLK-ZONE-05, BLK-ZONE-10
        if !is_open(state) && reached(self.limits.open, self.open) {
            // BLK-ZONE-18
            let behind = (Bound::Excluded(self.closed_last), Bound::Unbounded);
            let next = self.implicit.range(behind).next().or_else(|| self.implicit.first());
            let chosen = *next.ok_or(ZoneError::OpenResource)?;
            self.closed_last = chosen;
            self.set(chosen, ZoneState::Closed);
        }
        Ok(())
    }

    /// Opens a zone explicitly.
    pub(super) fn open(&mut self, zone: u32) -> Result<(), ZoneError> {
        match self.zone(zone).state {
            ZoneState::Empty | ZoneState::ImplicitlyOpen | ZoneState::Closed => {
                self.make_room(zone)?;
                self.set(zone, ZoneState::ExplicitlyOpen);
                Ok(())
            }
            ZoneState::ExplicitlyOpen => Ok(()),
            // BLK-ZONE-02, BLK-ZONE-04, BLK-ZONE-20
            _ => Err(ZoneError::InvalidCommand),
        }
    }

    /// Closes a zone.
    pub(super) fn close(&mut self, zone: u32) -> Result<(), ZoneError> {
        let Zone { state, pointer, .. } = self.zone(zone);
        match state {
            ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen => {
                self.set(zone, if pointer == 0 { ZoneState::Empty } else { ZoneState::Closed });
                Ok(())
            }
            ZoneState::Closed => Ok(()),
            // BLK-ZONE-02, BLK-ZONE-06, BLK-ZONE-20
            _ => Err(ZoneError::InvalidCommand),
        }
    }

    /// Makes a zone full, wherever its pointer is. Says whether that changed something.
    pub(super) fn finish(&mut self, zone: u32) -> Result<bool, ZoneError> {
        match self.zone(zone).state {
            // An empty or closed zone may be finished as well, as the standards of zoned disks have it: a driver cannot
            // know which of its zones was closed to make room.
            ZoneState::Empty | ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen | ZoneState::Closed => {
                self.set(zone, ZoneState::Full);
                Ok(true)
            }
            ZoneState::Full => Ok(false),
            // BLK-ZONE-02, BLK-ZONE-07, BLK-ZONE-20
            _ => Err(ZoneError::InvalidCommand),
        }
    }

    /// Whether a zone can be reset.
    pub(super) fn can_reset(&self, zone: u32) -> Result<(), ZoneError> {
        match self.zone(zone).state {
            ZoneState::Empty
            | ZoneState::ImplicitlyOpen
            | ZoneState::ExplicitlyOpen
            | ZoneState::Closed
            | ZoneState::Full => Ok(()),
            // BLK-ZONE-02, BLK-ZONE-08, BLK-ZONE-20
            ZoneState::NotWritePointer | ZoneState::ReadOnly | ZoneState::Offline => Err(ZoneError::InvalidCommand),
        }
    }

    /// Makes a zone empty. Says whether that changed something.
    pub(super) fn reset(&mut self, zone: u32) -> Result<bool, ZoneError> {
        self.can_reset(zone)?;
        let before = self.zone(zone).state;
        self.set(zone, ZoneState::Empty);
        self.set_pointer(zone, 0);
        Ok(before != ZoneState::Empty)
    }

    /// Moves the pointer of a zone that is written at its pointer only: `len` bytes at `at` bytes from its start are to
    /// be written. Says where the pointer was.
    pub(super) fn write_at_pointer(&mut self, zone: u32, at: u64, len: u64) -> Result<u64, ZoneError> {
        let Zone { state, pointer, capacity, .. } = self.zone(zone);
        if !is_writable(state) {
            // BLK-ZONE-19, BLK-ZONE-20
            return Err(ZoneError::InvalidCommand);
        }
        // BLK-ZONE-17, BLK-INIT-17: also where the end is off the granularity.
        if at != pointer || !len.is_multiple_of(self.geometry.granularity.into()) {
            return Err(ZoneError::UnalignedWritePointer);
        }
        let end = pointer.saturating_add(len);
        if end > capacity {
            // BLK-ZONE-12
            return Err(ZoneError::InvalidCommand);
        }
        self.open_for_write(zone)?;
        self.set_pointer(zone, end);
        Ok(pointer)
    }

    /// Moves the pointer of a zone that is written anywhere, as bytes up to `end` from its start are to be written. Says
    /// where the pointer was.
    pub(super) fn write_anywhere(&mut self, zone: u32, end: u64) -> Result<u64, ZoneError> {
        let Zone { state, pointer, .. } = self.zone(zone);
        match state {
            // BLK-ZONE-19, BLK-ZONE-20
            ZoneState::ReadOnly | ZoneState::Offline => return Err(ZoneError::InvalidCommand),
            // It takes writes all the same: a driver that does not know zones fills them, and writes them again.
            ZoneState::Full | ZoneState::NotWritePointer => {}
            _ => self.open_for_write(zone)?,
        }
        self.set_pointer(zone, pointer.max(end));
        Ok(pointer)
    }

    fn open_for_write(&mut self, zone: u32) -> Result<(), ZoneError> {
        if matches!(self.zone(zone).state, ZoneState::Empty | ZoneState::Closed) {
            self.make_room(zone)?;
            self.set(zone, ZoneState::ImplicitlyOpen);
        }
        Ok(())
    }

    /// What was to be written up to the pointer is there: a zone that has no more room is full.
    pub(super) fn written(&mut self, zone: u32, end: u64) {
        let Zone { state, capacity, .. } = self.zone(zone);
        if end == capacity && is_writable(state) {
            self.set(zone, ZoneState::Full);
        }
    }

    /// Takes the pointer back: what was to be written from `pointer` on is not there.
    pub(super) fn not_written(&mut self, zone: u32, pointer: u64) {
        self.set_pointer(zone, pointer);
        if pointer == 0 && matches!(self.zone(zone).state, ZoneState::ImplicitlyOpen | ZoneState::Closed) {
            self.set(zone, ZoneState::Empty);
        }
    }

    /// Makes a zone one that can only be read, or not be used at all. False where it cannot become that: a conventional
    /// zone, or one that is offline.
    pub(super) fn fail(&mut self, zone: u32, state: ZoneState) -> bool {
        let possible = !matches!(self.zone(zone).state, ZoneState::NotWritePointer | ZoneState::Offline);
        if possible {
            self.set(zone, state);
        }
        possible
    }

    /// The zone as a report has it.
    pub(super) fn describe(&self, zone: u32) -> ZoneDescriptor {
        let (geometry, Zone { kind, state, capacity, pointer }) = (&self.geometry, self.zone(zone));
        let start = geometry.start(zone);
        let has_pointer = is_writable(state);
        ZoneDescriptor {
            capacity,
            start,
            write_pointer: if has_pointer { start.saturating_add(pointer) } else { geometry.end(zone) },
            kind,
            state,
        }
    }

    pub(super) fn is_active(&self, zone: u32) -> bool {
        is_active(self.zone(zone).state)
    }

    pub(super) fn is_write_required(&self, zone: u32) -> bool {
        self.zone(zone).kind == ZoneType::SequentialWriteRequired
    }

    pub(super) fn is_conventional(&self, zone: u32) -> bool {
        self.zone(zone).kind == ZoneType::Conventional
    }

    /// How many zones are open, and how many active.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> (u32, u32) {
        (self.open, self.active)
    }
}

/// Whether it takes one of the zones that can be open.
fn is_open(state: ZoneState) -> bool {
    matches!(state, ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen)
}

/// Whether it takes one of the zones that can be active.
fn is_active(state: ZoneState) -> bool {
    is_open(state) || state == ZoneState::Closed
}

/// Whether it can be written at its pointer.
fn is_writable(state: ZoneState) -> bool {
    is_active(state) || state == ZoneState::Empty
}
