//! A zoned disk in memory, and short words for what is done to it.

use crate::backend::bench::{Bench, perform};
use crate::backend::zone::ZoneState;
use crate::backend::zoned::{ZonedBackend, ZonedBuilder};
use crate::backend::{
    BlockBackend, BlockQueue, MemoryBackend, Operation, OperationError, OperationKind, OperationResult, ZoneError,
};

pub(super) const KIB: u64 = 1 << 10;
/// Bytes of each zone.
pub(super) const ZONE: u64 = 64 * KIB;
/// Bytes of each that can be written.
pub(super) const CAPACITY: u64 = 48 * KIB;
/// The disk: eight zones, the last of which is half as long.
pub(super) const SIZE: u64 = 7 * ZONE + ZONE / 2;

pub(super) const WRITE: OperationKind = OperationKind::Write { durable: false };
pub(super) const APPEND: OperationKind = OperationKind::ZoneAppend { durable: false };
pub(super) const ZEROES: OperationKind = OperationKind::WriteZeroes { unmap: true, durable: false };

pub(super) struct Rig {
    pub(super) bench: Bench,
    /// What holds the data.
    pub(super) memory: MemoryBackend,
    pub(super) disk: ZonedBackend,
    pub(super) queue: Box<dyn BlockQueue>,
}

/// The usual zones: one conventional, then sequential ones, over old data.
pub(super) fn usual(inner: impl BlockBackend + 'static) -> ZonedBuilder {
    ZonedBackend::builder(inner).zone_len(ZONE).zone_capacity(CAPACITY).conventional(1).max_append_len(8 * KIB)
}

impl Rig {
    pub(super) fn new(change: impl FnOnce(ZonedBuilder) -> ZonedBuilder) -> Rig {
        let memory = MemoryBackend::new(vec![0xee; SIZE as usize]);
        Rig::of(change(usual(memory.clone())).build().unwrap(), memory)
    }

    /// With any disk.
    pub(super) fn of(disk: ZonedBackend, memory: MemoryBackend) -> Rig {
        let queue = disk.open_queue(64).unwrap();
        Rig { bench: Bench::new(), memory, disk, queue }
    }

    pub(super) fn usual() -> Rig {
        Rig::new(|builder| builder)
    }

    pub(super) fn aware() -> Rig {
        Rig::new(|builder| {
            let model = crate::backend::zone::ZonedModel::HostAware;
            builder.model(model).zone_capacity(ZONE).max_append_len(0)
        })
    }

    pub(super) fn perform(&mut self, operation: Box<Operation>) -> OperationResult {
        perform(&mut *self.queue, operation)
    }

    /// Something without data.
    pub(super) fn manage(&mut self, kind: OperationKind, offset: u64) -> OperationResult {
        let operation = self.bench.operation(0, kind, offset, &[]);
        self.perform(operation)
    }

    pub(super) fn range(&mut self, kind: OperationKind, offset: u64, len: u64) -> OperationResult {
        let operation = self.bench.range(0, kind, offset, len);
        self.perform(operation)
    }

    pub(super) fn write(&mut self, offset: u64, len: u64, byte: u8) -> OperationResult {
        let operation = self.bench.write(0, offset, &vec![byte; len as usize]);
        self.perform(operation)
    }

    pub(super) fn append(&mut self, offset: u64, len: u64, byte: u8) -> OperationResult {
        let at = self.bench.memory.place(&vec![byte; len as usize]);
        let operation = self.bench.operation(0, APPEND, offset, &[(at, len as u32)]);
        self.perform(operation)
    }

    pub(super) fn read(&mut self, offset: u64, len: u64) -> Result<Vec<u8>, OperationError> {
        let (operation, at) = self.bench.read(0, offset, len as u32);
        self.bench.memory.write(at, &vec![0x55; len as usize]);
        let read = self.perform(operation)?;
        assert_eq!(read, len);
        Ok(self.bench.memory.bytes(at, len as usize))
    }

    /// The runs of like bytes that are read.
    pub(super) fn runs(&mut self, offset: u64, len: u64) -> Vec<(u8, u64)> {
        runs(&self.read(offset, len).unwrap())
    }

    pub(super) fn state(&self, zone: u32) -> ZoneState {
        self.disk.zone(zone).unwrap().state
    }

    /// How far a zone is written.
    pub(super) fn pointer(&self, zone: u32) -> u64 {
        let zone = self.disk.zone(zone).unwrap();
        zone.write_pointer - zone.start
    }
}

pub(super) fn runs(bytes: &[u8]) -> Vec<(u8, u64)> {
    bytes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
}

pub(super) fn at(zone: u32) -> u64 {
    u64::from(zone) * ZONE
}

/// Which rule was broken.
#[track_caller]
pub(super) fn broken(result: OperationResult) -> ZoneError {
    match result {
        Err(OperationError::Zone(error)) => error,
        other => panic!("a rule of zones should have been broken: {other:?}"),
    }
}

#[track_caller]
pub(super) fn io_error(result: OperationResult) -> std::io::Error {
    match result {
        Err(OperationError::Io(error)) => error,
        other => panic!("it should have failed: {other:?}"),
    }
}
