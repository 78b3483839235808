//! A disk with a cache that a power loss empties, which keeps the order of all that happens to it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use virtio_blk::backend::{RangeLimits, ZoneStorage};
use virtio_blk::{BlockBackend, BlockQueue, Capabilities, Completion, Operation, OperationKind};
use virtio_core::{Event, Source, Sources};

use crate::talk::Random;

pub(crate) const SECTOR: usize = 512;
pub(crate) type Sector = [u8; SECTOR];

/// What the disk says before it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// That a flush has ended.
    Flush,
    /// That a durable write is on stable storage.
    Durable,
    /// That the state file of zones is.
    State,
}

/// What happened, in order.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// An operation was submitted; a write with the sectors that it is to leave.
    Submitted { id: u64, kind: OperationKind, sector: usize, data: Vec<Sector> },
    /// It has ended, well.
    Ended { id: u64 },
    /// The state file of zones got another length.
    StateSized { len: usize },
    /// Bytes were written to it.
    StateWritten { at: usize, bytes: Vec<u8> },
    /// All of that is on stable storage.
    StateSynced,
    /// The driver has shown a request.
    Asked { request: usize },
    /// The driver has seen that it went well.
    Acknowledged { request: usize },
}

/// The disk and its record. Clones are the same.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

struct State {
    disk: Vec<Sector>,
    log: Vec<Happened>,
    random: Random,
    next: u64,
    lie: Lie,
    merge: bool,
    /// How many operations of a hundred fail.
    failing: u64,
}

struct RecorderQueue {
    recorder: Recorder,
    flying: Vec<(u64, Box<Operation>)>,
    event: Event,
}

impl Recorder {
    pub(crate) fn new(disk: Vec<Sector>, merge: bool, failing: u64, lie: Lie, seed: u64) -> Recorder {
        let (log, random) = (Vec::new(), Random(seed));
        Recorder(Arc::new(Mutex::new(State { disk, log, random, next: 0, lie, merge, failing })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test has panicked")
    }

    pub(crate) fn happened(&self, what: Happened) {
        self.state().log.push(what);
    }

    pub(crate) fn log(&self) -> Vec<Happened> {
        self.state().log.clone()
    }
}

/// The sectors that an operation is to leave on the disk.
fn sectors(operation: &Operation) -> Vec<Sector> {
    let len = operation.len() as usize;
    match operation.kind() {
        OperationKind::Write { .. } => {
            let mut bytes = vec![0; len];
            operation.reader().read(&mut bytes).expect("held memory");
            bytes.chunks(SECTOR).map(|sector| sector.try_into().expect("whole sectors")).collect()
        }
        OperationKind::WriteZeroes { .. } => vec![[0; SECTOR]; len / SECTOR],
        _ => vec![],
    }
}

impl State {
    /// Ends an operation; whether it went well.
    fn end(&mut self, id: u64, operation: &Operation) -> io::Result<u64> {
        let sector = operation.offset() as usize / SECTOR;
        if let OperationKind::Read = operation.kind() {
            let count = operation.len() as usize / SECTOR;
            let bytes = self.disk[sector..sector + count].as_flattened();
            operation.writer().write(bytes).expect("held memory");
            return Ok(operation.len());
        }
        for (at, data) in (sector..).zip(sectors(operation)) {
            // Some of it, where it fails.
            if self.failing == 0 || self.random.is(90) {
                self.disk[at] = data;
            }
        }
        if self.random.is(self.failing) {
            return Err(io::ErrorKind::Other.into());
        }
        for (at, data) in (sector..).zip(sectors(operation)) {
            self.disk[at] = data;
        }
        self.log.push(Happened::Ended { id });
        Ok(operation.len())
    }

    /// Whether the disk keeps no word about operations of this kind.
    fn lies(&self, kind: OperationKind) -> bool {
        match self.lie {
            Lie::None | Lie::State => false,
            Lie::Flush => kind == OperationKind::Flush,
            Lie::Durable => matches!(
                kind,
                OperationKind::Write { durable: true } | OperationKind::WriteZeroes { durable: true, .. }
            ),
        }
    }
}

impl BlockBackend for Recorder {
    fn size(&self) -> io::Result<u64> {
        Ok((self.state().disk.len() * SECTOR) as u64)
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.write_zeroes = Some(RangeLimits::NONE);
        can.merge = self.state().merge;
        can
    }

    fn open_queue(&self, _: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(RecorderQueue { recorder: self.clone(), flying: Vec::new(), event: Event::new()? }))
    }
}

impl BlockQueue for RecorderQueue {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.event.clone()), 0);
    }

    fn submit(&mut self, operation: Box<Operation>) {
        let mut state = self.recorder.state();
        let id = state.next;
        state.next += 1;
        let mut kind = operation.kind();
        if state.lies(kind) {
            kind = match kind {
                OperationKind::Flush => OperationKind::Read,
                _ => OperationKind::Write { durable: false },
            };
        }
        let sector = operation.offset() as usize / SECTOR;
        state.log.push(Happened::Submitted { id, kind, sector, data: sectors(&operation) });
        self.flying.push((id, operation));
        self.event.signal();
    }

    /// Some of them, in any order.
    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let mut ended = Vec::new();
        let mut state = self.recorder.state();
        while !self.flying.is_empty() && ended.len() < most && state.random.is(50) {
            let chosen = state.random.below(self.flying.len() as u64) as usize;
            let (id, operation) = self.flying.swap_remove(chosen);
            let result = state.end(id, &operation).map_err(Into::into);
            ended.push(Completion { operation, result });
        }
        drop(state);
        if !self.flying.is_empty() {
            self.event.signal();
        }
        ended.into_iter().for_each(done);
    }
}

/// A state file of zones in memory, with the record of a disk if it belongs to one.
pub(crate) struct StateFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) recorder: Option<Recorder>,
}

impl StateFile {
    fn happened(&self, what: Happened) {
        self.recorder.iter().for_each(|recorder| recorder.happened(what.clone()));
    }
}

impl ZoneStorage for StateFile {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn set_size(&mut self, len: u64) -> io::Result<()> {
        self.bytes.resize(len as usize, 0);
        self.happened(Happened::StateSized { len: len as usize });
        Ok(())
    }

    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let there = self.bytes.get(offset as usize..).and_then(|there| there.get(..bytes.len()));
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        if self.bytes.len() < at + bytes.len() {
            self.set_size((at + bytes.len()) as u64)?;
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.happened(Happened::StateWritten { at, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.recorder.as_ref().is_none_or(|recorder| recorder.state().lie != Lie::State) {
            self.happened(Happened::StateSynced);
        }
        Ok(())
    }
}

/// A sector that says who wrote it.
pub(crate) fn sector(request: usize, sector: usize) -> Sector {
    let mut bytes = [request as u8 ^ 0x5a; SECTOR];
    bytes[..8].copy_from_slice(&(request as u64 + 1).to_le_bytes());
    bytes[SECTOR - 8..].copy_from_slice(&(sector as u64).to_le_bytes());
    bytes
}
