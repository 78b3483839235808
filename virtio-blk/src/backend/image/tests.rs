//! Images that `qemu-img` made are used here, and what was written is checked by it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod content;
mod files;
mod hostile;
mod shared;
mod tools;

use super::super::bench::{Bench, perform};
use super::super::{BlockQueue, Operation, OperationKind, OperationResult};
use super::*;

/// A disk, one queue on it, and memory to move its data to and from.
struct Rig {
    backend: ImageBackend,
    queue: Box<dyn BlockQueue>,
    bench: Bench,
    /// Where data goes.
    at: u64,
}

/// Bytes at [`Rig::at`].
const ROOM: u32 = 8 << 20;

impl Rig {
    fn new(backend: ImageBackend) -> Rig {
        let queue = backend.open_queue(8).unwrap();
        let bench = Bench::new();
        let at = bench.memory.alloc(u64::from(ROOM), 4096);
        Rig { backend, queue, bench, at }
    }

    fn perform(&mut self, operation: Box<Operation>) -> OperationResult {
        perform(&mut *self.queue, operation)
    }

    /// Also when it fails: what was read.
    fn read(&mut self, offset: u64, len: u32) -> (OperationResult, Vec<u8>) {
        // In pieces, one of which is of no round size.
        let pieces = [(self.at, len.min(1000)), (self.at + 1000, len - len.min(1000))];
        let pieces = if len > 1000 { &pieces[..] } else { &pieces[..1] };
        let operation = self.bench.operation(0, OperationKind::Read, offset, pieces);
        let result = self.perform(operation);
        (result, self.bench.memory.bytes(self.at, len as usize))
    }

    fn read_all(&mut self, offset: u64, len: u32) -> Vec<u8> {
        let (result, data) = self.read(offset, len);
        assert_eq!(result.unwrap(), u64::from(len));
        data
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> OperationResult {
        self.write_as(OperationKind::Write { durable: false }, offset, data)
    }

    fn write_as(&mut self, kind: OperationKind, offset: u64, data: &[u8]) -> OperationResult {
        self.bench.memory.write(self.at, data);
        let operation = self.bench.operation(0, kind, offset, &[(self.at, data.len() as u32)]);
        self.perform(operation)
    }

    fn range(&mut self, kind: OperationKind, offset: u64, len: u64) -> OperationResult {
        let operation = self.bench.range(0, kind, offset, len);
        self.perform(operation)
    }

    fn flush(&mut self) {
        self.range(OperationKind::Flush, 0, 0).unwrap();
    }
}

/// Numbers that look random, and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // Numerical Recipes' generator; its upper half is good enough.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
