//! A device with zones: it takes writes to a sequential zone at its pointer only, keeps limits, fails when it is told to,
//! and reports what it is told to.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::rig::{CAPACITY, ZONE};
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::ZonedBackend;
use crate::backend::zoned::host::{Command, Facts, HostZonesError, Reported, ZoneDevice, open};
use crate::backend::{BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationKind, ZoneError};
use crate::wire::SECTOR;

pub(super) const CONVENTIONAL: u8 = 1;
pub(super) const SEQUENTIAL: u8 = 2;
pub(super) const PREFERRED: u8 = 3;

/// The states of zones, as a report has them.
pub(super) const NO_POINTER: u8 = 0;
pub(super) const EMPTY: u8 = 1;
pub(super) const IMPLICIT: u8 = 2;
pub(super) const EXPLICIT: u8 = 3;
pub(super) const CLOSED: u8 = 4;
pub(super) const READ_ONLY: u8 = 13;
pub(super) const FULL: u8 = 14;
pub(super) const OFFLINE: u8 = 15;

/// What the device does wrong the next time that it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    /// A write fails after so many bytes.
    Write(u64),
    Command,
    Report,
}

/// What a report says of a zone instead of the truth.
pub(super) type Lie = fn(&mut Vec<Reported>);

pub(super) struct State {
    pub(super) zones: Vec<Reported>,
    pub(super) bytes: Vec<u8>,
    pub(super) max_open: usize,
    pub(super) max_active: usize,
    /// The most zones in one answer.
    pub(super) at_once: usize,
    pub(super) wrong: VecDeque<Wrong>,
    pub(super) lie: Option<Lie>,
    /// Nothing ends.
    pub(super) held: bool,
    pub(super) commands: Vec<(Command, Range<u64>)>,
    /// Where, and how many bytes.
    pub(super) reads: Vec<(u64, u64)>,
    /// Writes that it refused because of its rules.
    pub(super) refused: usize,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// Zones of these kinds, as they are at first; the last one is half as long.
    pub(super) fn new(kinds: &[u8]) -> Fake {
        let sectors = ZONE / SECTOR;
        let count = kinds.len();
        let zone = |(number, kind): (usize, &u8)| {
            let start = number as u64 * sectors;
            let len = if number + 1 == count { sectors / 2 } else { sectors };
            let conventional = *kind == CONVENTIONAL;
            let capacity = if *kind == SEQUENTIAL { len.min(CAPACITY / SECTOR) } else { len };
            let condition = if conventional { NO_POINTER } else { EMPTY };
            let write_pointer = if conventional { u64::MAX } else { start };
            Reported { start, len, capacity, write_pointer, kind: *kind, condition }
        };
        let zones: Vec<_> = kinds.iter().enumerate().map(zone).collect();
        let bytes = vec![0xee; (zones.iter().map(|zone| zone.len).sum::<u64>() * SECTOR) as usize];
        Fake(Arc::new(Mutex::new(State {
            zones,
            bytes,
            max_open: 0,
            max_active: 0,
            at_once: 3,
            wrong: VecDeque::new(),
            lie: None,
            held: false,
            commands: Vec::new(),
            reads: Vec::new(),
            refused: 0,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Puts a zone into a state, with its pointer so many bytes from its start.
    pub(super) fn put(&self, zone: usize, condition: u8, pointer: u64) {
        let zone = &mut self.state().zones[zone];
        (zone.condition, zone.write_pointer) = (condition, zone.start + pointer / SECTOR);
    }

    /// Its state, and how far it is written.
    pub(super) fn zone(&self, zone: u32) -> (u8, u64) {
        let zone = self.state().zones[zone as usize];
        (zone.condition, zone.write_pointer.wrapping_sub(zone.start).wrapping_mul(SECTOR))
    }

    pub(super) fn goes_wrong(&self, wrong: Wrong) {
        self.state().wrong.push_back(wrong);
    }

    pub(super) fn facts(&self) -> Facts {
        let state = self.state();
        let aware = state.zones.iter().any(|zone| zone.kind == PREFERRED);
        Facts {
            model: if aware { ZonedModel::HostAware } else { ZonedModel::HostManaged },
            zone_len: ZONE,
            zones: state.zones.len() as u32,
            max_open: state.max_open as u32,
            max_active: state.max_active as u32,
            granularity: SECTOR,
            max_append_len: 8 << 10,
        }
    }

    pub(super) fn open(&self, facts: &Facts) -> Result<ZonedBackend, HostZonesError> {
        open(Arc::new(self.clone()), Box::new(self.clone()), facts)
    }
}

impl State {
    /// Whether the next thing to be asked is to go wrong like this.
    fn goes_wrong(&mut self, test: impl Fn(&Wrong) -> bool) -> Option<Wrong> {
        self.wrong.pop_front_if(|wrong| test(wrong))
    }

    fn count(&self, states: &[u8]) -> usize {
        self.zones.iter().filter(|zone| states.contains(&zone.condition)).count()
    }

    fn open(&mut self, zone: usize, to: u8) -> io::Result<()> {
        let from = self.zones[zone].condition;
        let (open, active) = (&[IMPLICIT, EXPLICIT], &[IMPLICIT, EXPLICIT, CLOSED]);
        if self.max_active != 0 && !active.contains(&from) && self.count(active) >= self.max_active {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        if self.max_open != 0 && !open.contains(&from) && self.count(open) >= self.max_open {
            // The last one, where the table would take the first.
            let implicit = self.zones.iter().rposition(|zone| zone.condition == IMPLICIT);
            self.zones[implicit.ok_or(ErrorKind::ResourceBusy)?].condition = CLOSED;
        }
        self.zones[zone].condition = to;
        Ok(())
    }

    fn write(&mut self, range: &Range<u64>, data: &[u8]) -> io::Result<u64> {
        let number = (range.start / ZONE) as usize;
        let Reported { start, capacity, write_pointer, kind, condition, .. } = self.zones[number];
        let first = range.start / SECTOR;
        let mut most = data.len() as u64;
        if let Some(Wrong::Write(bytes)) = self.goes_wrong(|wrong| matches!(wrong, Wrong::Write(_))) {
            most = bytes;
        }
        if kind == SEQUENTIAL {
            let writable = [EMPTY, IMPLICIT, EXPLICIT, CLOSED].contains(&condition);
            if !writable || first != write_pointer || range.end / SECTOR > start + capacity {
                self.refused += 1;
                return Err(io::Error::other("out of order"));
            }
        }
        if kind != CONVENTIONAL {
            if [EMPTY, CLOSED].contains(&condition) {
                self.open(number, IMPLICIT)?;
            }
            let zone = &mut self.zones[number];
            zone.write_pointer = zone.write_pointer.max(first + most / SECTOR);
            if zone.write_pointer == start + capacity {
                zone.condition = FULL;
            }
        }
        let at = range.start as usize;
        self.bytes[at..at + most as usize].copy_from_slice(&data[..most as usize]);
        if most < data.len() as u64 { Err(io::Error::other("a bad sector")) } else { Ok(most) }
    }

    fn command(&mut self, command: Command, number: usize) -> io::Result<()> {
        let Reported { condition, start, capacity, write_pointer, .. } = self.zones[number];
        let impossible = [NO_POINTER, READ_ONLY, OFFLINE].contains(&condition);
        match command {
            _ if impossible => return Err(io::Error::other("not with this zone")),
            Command::Open if condition == FULL => return Err(io::Error::other("it is full")),
            Command::Open => self.open(number, EXPLICIT)?,
            Command::Close if ![IMPLICIT, EXPLICIT, CLOSED].contains(&condition) => {
                return Err(io::Error::other("it is not open"));
            }
            Command::Close => self.zones[number].condition = if write_pointer == start { EMPTY } else { CLOSED },
            Command::Finish => {
                let zone = &mut self.zones[number];
                (zone.condition, zone.write_pointer) = (FULL, start + capacity);
            }
            Command::Reset => {
                let zone = &mut self.zones[number];
                (zone.condition, zone.write_pointer) = (EMPTY, start);
            }
        }
        Ok(())
    }

    fn perform(&mut self, operation: &Operation) -> io::Result<u64> {
        let range = operation.offset()..operation.offset() + operation.len();
        match operation.kind() {
            OperationKind::Read => {
                let data = &self.bytes[range.start as usize..range.end as usize];
                operation.writer().write(data).unwrap();
                self.reads.push((range.start, operation.len()));
                Ok(operation.len())
            }
            OperationKind::Write { .. } => {
                let mut data = vec![0; operation.len() as usize];
                operation.reader().read(&mut data).unwrap();
                self.write(&range, &data)
            }
            OperationKind::WriteZeroes { .. } => self.write(&range, &vec![0; operation.len() as usize]),
            OperationKind::Flush => Ok(0),
            other => panic!("not for the data: {other:?}"),
        }
    }
}

impl ZoneDevice for Fake {
    fn report(&self, offset: u64, most: u32) -> io::Result<Vec<Reported>> {
        let mut state = self.state();
        if state.goes_wrong(|wrong| matches!(wrong, Wrong::Report)).is_some() {
            return Err(io::Error::other("no report"));
        }
        let most = state.at_once.min(most as usize);
        let mut zones: Vec<_> = state.zones.iter().skip((offset / ZONE) as usize).take(most).copied().collect();
        if let Some(lie) = &state.lie {
            lie(&mut zones);
        }
        Ok(zones)
    }

    fn command(&self, command: Command, range: &Range<u64>) -> io::Result<()> {
        let mut state = self.state();
        state.commands.push((command, range.clone()));
        if state.goes_wrong(|wrong| matches!(wrong, Wrong::Command)).is_some() {
            return Err(io::Error::other("a command failed"));
        }
        if *range == (0..state.bytes.len() as u64) {
            assert_eq!(command, Command::Reset);
            (0..state.zones.len()).for_each(|zone| drop(state.command(command, zone)));
            return Ok(());
        }
        let zone = (range.start / ZONE) as usize;
        let Reported { start, len, .. } = state.zones[zone];
        assert_eq!((start * SECTOR, (start + len) * SECTOR), (range.start, range.end), "one whole zone");
        state.command(command, zone)
    }

    fn rule(&self, error: &io::Error) -> Option<ZoneError> {
        match error.kind() {
            ErrorKind::ResourceBusy => Some(ZoneError::OpenResource),
            ErrorKind::QuotaExceeded => Some(ZoneError::ActiveResource),
            _ => None,
        }
    }
}

impl BlockBackend for Fake {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn capabilities(&self) -> Capabilities {
        let limits = Some(crate::backend::RangeLimits::NONE);
        Capabilities { discard: limits, write_zeroes: limits, secure_erase: limits, ..Capabilities::default() }
    }

    fn open_queue(&self, _depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(FakeQueue { fake: self.clone(), waiting: Vec::new() }))
    }
}

/// Does what it has in the opposite order: nobody may rely on any.
struct FakeQueue {
    fake: Fake,
    #[allow(clippy::vec_box)] // as it was submitted
    waiting: Vec<Box<Operation>>,
}

impl BlockQueue for FakeQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        self.waiting.push(operation);
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        for _ in 0..most {
            let mut state = self.fake.state();
            let Some(operation) = self.waiting.pop_if(|_| !state.held) else {
                break;
            };
            let result = state.perform(&operation).map_err(Into::into);
            drop(state);
            done(Completion { operation, result });
        }
    }
}
