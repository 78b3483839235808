//! What may be done to a disk when: its zones, together with what is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::flights::{Flight, Flights, Moved};
use super::holes::Holes;
use super::record::Record;
use super::table::{Table, Zone};
use super::waker::Waker;
use crate::backend::zone::ZoneState;
use crate::backend::{OperationError, OperationKind, ZoneError};

/// Whether something can be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    Go(T),
    /// Something that is under way has to end first.
    Wait,
}

impl Verdict<()> {
    /// The same, for what nobody has to wait for.
    pub(super) fn without_flight(self) -> Verdict<Admitted> {
        match self {
            Verdict::Go(()) => Verdict::Go(Admitted { flight: None, gap: 0..0 }),
            Verdict::Wait => Verdict::Wait,
        }
    }
}

/// A write that was admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// By which it is known when it has ended; none if nobody cares.
    pub(super) flight: Option<u64>,
    /// A range before it that has to read as zeros from then on.
    pub(super) gap: Range<u64>,
}

/// A range that is to be reset: no new write is admitted there.
#[derive(Debug)]
struct Barrier {
    id: u64,
    range: Range<u64>,
}

/// The state of a disk that all its queues share.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) table: Table,
    flights: Flights,
    barriers: Vec<Barrier>,
    next_barrier: u64,
    holes: BTreeMap<u32, Holes>,
    /// Writes to a zone that is written at its pointer only wait for each other: a device of the host takes them so.
    pub(super) in_order: bool,
    /// Moves when something is admitted, and when it has ended.
    changes: u64,
    /// Queues that wait for something to end.
    waiting: Vec<Arc<Waker>>,
    /// Zones of which the state file does not know the pointer.
    moved: BTreeSet<u32>,
    /// Zones of which it does not know the state.
    changed: BTreeSet<u32>,
}

impl Disk {
    pub(super) fn new(table: Table) -> Disk {
        Disk {
            table,
            flights: Flights::default(),
            barriers: Vec::new(),
            next_barrier: 0,
            holes: BTreeMap::new(),
            in_order: false,
            changes: 0,
            waiting: Vec::new(),
            moved: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Wakes `queue` when something has ended. To be called before whoever was told to wait lets go of the lock.
    pub(super) fn wait(&mut self, queue: &Arc<Waker>) {
        if !self.waiting.iter().any(|other| Arc::ptr_eq(other, queue)) {
            self.waiting.push(Arc::clone(queue));
        }
    }

    pub(super) fn wait_no_more(&mut self, queue: &Arc<Waker>) {
        self.waiting.retain(|other| !Arc::ptr_eq(other, queue));
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(|queue| queue.wake());
    }

    /// Has no write admitted in `range` until the barrier is lifted.
    pub(super) fn bar(&mut self, range: Range<u64>) -> u64 {
        let id = self.next_barrier;
        self.next_barrier = id.wrapping_add(1);
        self.barriers.push(Barrier { id, range });
        id
    }

    pub(super) fn lift(&mut self, barrier: u64) {
        self.barriers.retain(|other| other.id != barrier);
        self.wake();
    }

    fn barred(&self, range: &Range<u64>) -> bool {
        self.barriers.iter().any(|other| other.range.start < range.end && range.start < other.range.end)
    }

    /// The zones that a transfer touches, if it may touch them together.
    fn zones(&self, range: &Range<u64>) -> Result<Range<u32>, ZoneError> {
        let zones = self.table.geometry.zones_of(range).ok_or(ZoneError::InvalidCommand)?;
        // BLK-ZONE-16
        if zones.len() > 1 && zones.clone().any(|zone| self.table.is_write_required(zone)) {
            return Err(ZoneError::InvalidCommand);
        }
        // BLK-ZONE-20
        if zones.clone().any(|zone| self.table.zone(zone).state == ZoneState::Offline) {
            return Err(ZoneError::InvalidCommand);
        }
        Ok(zones)
    }

    /// Bytes from the start of a zone on to the place `at` on the disk, or to its end if that comes first.
    fn within(&self, zone: u32, at: u64) -> u64 {
        let geometry = &self.table.geometry;
        at.min(geometry.end(zone)).saturating_sub(geometry.start(zone))
    }

    /// Admits a write of a range of the disk.
    pub(super) fn write(&mut self, range: Range<u64>) -> Result<Verdict<Admitted>, ZoneError> {
        let zones = self.zones(&range)?;
        let none = range.start..range.start;
        // BLK-ZONE-19
        if zones.clone().any(|zone| self.table.zone(zone).state == ZoneState::ReadOnly) {
            return Err(ZoneError::InvalidCommand);
        }
        if zones.clone().all(|zone| self.table.is_conventional(zone)) {
            return Ok(Verdict::Go(Admitted { flight: None, gap: none }));
        }
        let first = zones.start;
        let at = self.within(first, range.start);
        let mut flight = Flight { end: range.end, ..Flight::default() };
        let mut gap = none;
        if self.table.is_write_required(first) {
            // The host's device takes them one after the other.
            let alone = self.in_order && self.flights.overlap(&self.span(zones.clone()));
            if self.barred(&range) || alone {
                return Ok(Verdict::Wait);
            }
            let from = self.table.write_at_pointer(first, at, range.end.saturating_sub(range.start))?;
            let to = self.within(first, range.end);
            flight.push(Moved { zone: first, from, to });
        } else {
            let pointer = self.table.geometry.start(first).saturating_add(self.table.zone(first).pointer);
            if !self.table.is_conventional(first) && pointer < range.start {
                // It would come to be below the pointer without having been written.
                gap = pointer..range.start;
            }
            let all = gap.start.min(range.start)..range.end;
            if self.barred(&all) || self.flights.overlap(&all) {
                return Ok(Verdict::Wait);
            }
            for zone in zones {
                if self.table.is_conventional(zone) {
                    continue;
                }
                let to = self.within(zone, range.end);
                let from = self.table.write_anywhere(zone, to)?;
                if from < to {
                    flight.push(Moved { zone, from, to });
                }
            }
        }
        let start = gap.start.min(range.start);
        self.admit(start, flight);
        Ok(Verdict::Go(Admitted { flight: Some(start), gap }))
    }

    /// Where data that is appended to the zone that starts at `offset` would go.
    pub(super) fn append_to(&self, offset: u64, len: u64, most: u64) -> Result<u64, OperationError> {
        let geometry = &self.table.geometry;
        let zone = geometry.zone_at(offset).ok_or(ZoneError::InvalidCommand)?;
        // BLK-ZONE-03
        if !self.table.is_write_required(zone) {
            return Err(ZoneError::InvalidCommand.into());
        }
        // BLK-ZONE-14
        if most == 0 {
            return Err(OperationError::Unsupported);
        }
        // BLK-ZONE-11, DRV-BLK-18
        if offset != geometry.start(zone) {
            return Err(ZoneError::InvalidCommand.into());
        }
        // BLK-ZONE-15, DRV-BLK-19
        if len > most || !len.is_multiple_of(geometry.granularity.into()) {
            return Err(ZoneError::InvalidCommand.into());
        }
        Ok(offset.saturating_add(self.table.zone(zone).pointer))
    }

    /// Admits something that changes data in a range where any bytes may be: it only keeps others away from there.
    pub(super) fn discard(&mut self, range: Range<u64>) -> Result<Verdict<Admitted>, ZoneError> {
        let zones = self.zones(&range)?;
        // BLK-ZONE-19
        if zones.clone().any(|zone| self.table.zone(zone).state == ZoneState::ReadOnly) {
            return Err(ZoneError::InvalidCommand);
        }
        if self.barred(&range) || self.flights.overlap(&range) {
            return Ok(Verdict::Wait);
        }
        Ok(Verdict::Go(self.occupy(range)))
    }

    fn admit(&mut self, start: u64, flight: Flight) {
        self.changes = self.changes.wrapping_add(1);
        self.flights.add(start, flight);
    }

    fn occupy(&mut self, range: Range<u64>) -> Admitted {
        self.admit(range.start, Flight { end: range.end, ..Flight::default() });
        Admitted { flight: Some(range.start), gap: range.start..range.start }
    }

    /// What was admitted has ended, well or not.
    pub(super) fn ended(&mut self, flight: u64, well: bool) {
        let Some(ended) = self.flights.remove(flight) else {
            return;
        };
        self.changes = self.changes.wrapping_add(1);
        if well {
            self.filled(&(flight..ended.end));
        }
        for moved in ended.moved() {
            self.moved.insert(moved.zone);
            match well {
                true => self.table.written(moved.zone, moved.to),
                false => self.lost(moved),
            }
        }
        self.wake();
    }

    /// There is data in this range now, where there may have been none.
    fn filled(&mut self, range: &Range<u64>) {
        if self.holes.is_empty() {
            return;
        }
        for zone in self.table.geometry.zones_of(range).unwrap_or_default() {
            let part = self.within(zone, range.start)..self.within(zone, range.end);
            if let Some(holes) = self.holes.get_mut(&zone) {
                holes.fill(&part);
                self.moved.insert(zone);
                if holes.is_empty() {
                    self.holes.remove(&zone);
                }
            }
        }
    }

    /// A pointer had been moved for data that is not there.
    fn lost(&mut self, moved: Moved) {
        let Moved { zone, from, to } = moved;
        let holes = self.holes.entry(zone).or_default();
        if self.table.zone(zone).pointer != to {
            // Others come behind it already. What is there now cannot be read.
            holes.add(from..to);
            return;
        }
        let mut pointer = from;
        while let Some(start) = holes.take_last(pointer) {
            pointer = start;
        }
        if holes.is_empty() {
            self.holes.remove(&zone);
        }
        self.table.not_written(zone, pointer);
    }

    /// Whether a range can be read, or part of it, now.
    pub(super) fn read(&self, range: &Range<u64>) -> Result<Verdict<()>, OperationError> {
        let zones = self.zones(range)?;
        if zones.clone().all(|zone| self.table.is_conventional(zone)) {
            return Ok(Verdict::Go(()));
        }
        if self.flights.overlap(range) {
            return Ok(Verdict::Wait);
        }
        for (zone, holes) in self.holes.range(zones) {
            if holes.overlap(&(self.within(*zone, range.start)..self.within(*zone, range.end))) {
                let at = range.start;
                return Err(io::Error::other(format!("a write to what is read at {at:#x} failed before")).into());
            }
        }
        Ok(Verdict::Go(()))
    }

    /// How many bytes from the start of a range on are alike: there to be read, or never written.
    pub(super) fn alike(&self, range: &Range<u64>) -> (u64, bool) {
        let geometry = &self.table.geometry;
        let (mut at, mut kind) = (range.start, None);
        while let Some(zone) = geometry.zone_at(at).filter(|_| at < range.end) {
            // BLK-ZONE-21
            let pointer = match self.table.is_conventional(zone) {
                true => geometry.end(zone),
                false => geometry.start(zone).saturating_add(self.table.zone(zone).pointer),
            };
            let there = at < pointer;
            if *kind.get_or_insert(there) != there {
                break;
            }
            at = if there { pointer } else { geometry.end(zone) };
        }
        (at.min(range.end).saturating_sub(range.start), kind.unwrap_or(false))
    }

    /// The zone that starts at `offset`.
    pub(super) fn zone_from(&self, offset: u64) -> Result<u32, ZoneError> {
        // DRV-BLK-18
        self.table.geometry.zone_from(offset).ok_or(ZoneError::InvalidCommand)
    }

    /// Makes a zone full.
    pub(super) fn finish(&mut self, zone: u32) -> Result<(), ZoneError> {
        if self.table.finish(zone)? {
            self.changed.insert(zone);
        }
        Ok(())
    }

    /// From the first of these zones to the end of the last.
    pub(super) fn span(&self, zones: Range<u32>) -> Range<u64> {
        let geometry = &self.table.geometry;
        geometry.start(zones.start)..geometry.end(zones.end.saturating_sub(1))
    }

    /// Makes these zones empty once nothing is being written to them, if all of them can be. An older write that ended
    /// afterwards would be among newer ones.
    pub(super) fn reset(&mut self, zones: Range<u32>) -> Result<Verdict<()>, ZoneError> {
        zones.clone().try_for_each(|zone| self.table.can_reset(zone))?;
        if self.flights.overlap(&self.span(zones.clone())) {
            return Ok(Verdict::Wait);
        }
        zones.for_each(|zone| self.reset_one(zone));
        Ok(Verdict::Go(()))
    }

    /// The same, and keeps everything else away from there until that has [ended](Self::ended).
    pub(super) fn erase(&mut self, zones: Range<u32>) -> Result<Verdict<Admitted>, ZoneError> {
        match self.reset(zones.clone())? {
            Verdict::Wait => Ok(Verdict::Wait),
            Verdict::Go(()) => Ok(Verdict::Go(self.occupy(self.span(zones)))),
        }
    }

    /// Makes all zones empty that can be, once nothing is being written.
    pub(super) fn reset_all(&mut self) -> Verdict<()> {
        if !self.flights.is_empty() {
            return Verdict::Wait;
        }
        // BLK-ZONE-09
        (0..self.table.geometry.zones()).for_each(|zone| self.reset_one(zone));
        Verdict::Go(())
    }

    /// Does to zones what a device of the host is about to do, once nothing is being written there, and keeps everything
    /// else away until that has [ended](Self::ended).
    pub(super) fn command(
        &mut self,
        command: OperationKind,
        zones: Range<u32>,
    ) -> Result<Verdict<Admitted>, ZoneError> {
        let (first, span) = (zones.start, self.span(zones.clone()));
        if self.flights.overlap(&span) {
            return Ok(Verdict::Wait);
        }
        match command {
            OperationKind::ZoneOpen => self.table.open(first)?,
            OperationKind::ZoneClose => self.table.close(first)?,
            OperationKind::ZoneFinish => self.finish(first)?,
            OperationKind::ZoneReset => {
                self.table.can_reset(first)?;
                self.reset_one(first);
            }
            _ => zones.for_each(|zone| self.reset_one(zone)),
        }
        Ok(Verdict::Go(self.occupy(span)))
    }

    /// The range in which something goes on.
    pub(super) fn range_of_flight(&self, flight: u64) -> Range<u64> {
        self.flights.range(flight).unwrap_or_default()
    }

    /// How often something was admitted, or has ended.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// A zone is as the host's device says, unless something goes on in it.
    pub(super) fn take_over(&mut self, number: u32, zone: Zone) {
        if !self.flights.overlap(&self.span(number..number.saturating_add(1))) {
            self.table.replace(number, zone);
        }
    }

    fn reset_one(&mut self, zone: u32) {
        if let Ok(true) = self.table.reset(zone) {
            self.holes.remove(&zone);
            self.changed.insert(zone);
        }
    }

    /// Makes a zone fail. False where it cannot.
    pub(super) fn fail(&mut self, zone: u32, state: ZoneState) -> bool {
        let possible = self.table.fail(zone, state);
        if possible {
            self.changed.insert(zone);
        }
        possible
    }

    /// The zones of which the state file does not know the state, or, with `pointers`, not even the pointer.
    pub(super) fn take_changed(&mut self, pointers: bool) -> BTreeSet<u32> {
        let mut zones = std::mem::take(&mut self.changed);
        if pointers {
            zones.append(&mut self.moved);
        }
        for zone in &zones {
            self.moved.remove(zone);
        }
        zones
    }

    /// What the state file should say of those of the zones that are active, which are taken from them.
    pub(super) fn take_active(&mut self, zones: &mut BTreeSet<u32>) -> Vec<Record> {
        let active: Vec<u32> = zones.extract_if(.., |zone| self.table.is_active(*zone)).collect();
        active.into_iter().map(|zone| self.record(zone)).collect()
    }

    /// The state file could not take these.
    pub(super) fn give_back_changed(&mut self, zones: impl Iterator<Item = u32>) {
        for zone in zones {
            // An active one that had only to say its state would be said to be empty.
            let set = if self.table.is_active(zone) { &mut self.moved } else { &mut self.changed };
            set.insert(zone);
        }
    }

    /// What the state file should say of a zone that was not active when it was asked for. One that is by now was emptied
    /// first, or was empty: its pointer comes later.
    pub(super) fn idle_record(&mut self, zone: u32) -> Record {
        if !self.table.is_active(zone) {
            return self.record(zone);
        }
        self.moved.insert(zone);
        Record::new(zone, ZoneState::Empty, 0, Holes::default())
    }

    /// What the state file should say of a zone.
    pub(super) fn record(&mut self, zone: u32) -> Record {
        let (start, now) = (self.table.geometry.start(zone), self.table.zone(zone));
        let pointer = self.flights.settled(zone, start, now.pointer);
        if pointer != now.pointer {
            // There is more to say when those writes have ended.
            self.moved.insert(zone);
        }
        Record::new(zone, now.state, pointer, self.holes.get(&zone).cloned().unwrap_or_default())
    }

    /// Puts a zone into the state that the state file says.
    pub(super) fn restore(&mut self, record: Record) {
        let Record { zone, state, pointer, holes } = record;
        self.table.restore(zone, state, pointer);
        if !holes.is_empty() {
            self.holes.insert(zone, holes);
        }
    }
}
