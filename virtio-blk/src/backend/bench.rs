//! Operations for the tests of backends: on memory that stands for a guest's, without a device.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::time::{Duration, Instant};

#[cfg(feature = "file")]
use virtio_core::memory::RawIoSlice;
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, Virtqueue};

use super::{BlockQueue, Completion, Operation, OperationKind, OperationResult};

/// Guest memory, and a ring through which operations get hold of it.
pub(crate) struct Bench {
    pub(crate) memory: TestMemory,
    driver: SplitDriver,
    ring: Virtqueue,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::over(TestMemory::new(64 << 20))
    }

    /// The same in memory of any shape.
    pub(crate) fn over(memory: TestMemory) -> Bench {
        let driver = SplitDriver::new(&memory, 256, Features::VERSION_1);
        let ring = Virtqueue::new(driver.setup()).unwrap();
        Bench { memory, driver, ring }
    }

    /// An operation on the pieces of memory at these addresses, of these lengths.
    pub(crate) fn operation(
        &mut self,
        tag: u16,
        kind: OperationKind,
        offset: u64,
        at: &[(u64, u32)],
    ) -> Box<Operation> {
        let mut operation = Box::new(Operation::new(tag));
        (operation.kind, operation.offset) = (kind, offset);
        let writable = matches!(kind, OperationKind::Read | OperationKind::ZoneReport);
        let chain: Vec<_> = at.iter().map(|(address, len)| Buffer { address: *address, len: *len, writable }).collect();
        if !chain.is_empty() {
            self.driver.add(&chain).expect("room in the ring");
            self.driver.show();
            let chain = self.ring.pop().expect("a chain");
            match writable {
                true => operation.buffers.hold_writable(&chain.writer()).unwrap(),
                false => operation.buffers.hold_readable(&chain.reader()).unwrap(),
            }
            chain.complete(0);
            self.ring.publish();
            self.driver.used();
        }
        operation
    }

    /// Takes over a change of memory, as each batch of a device begins with.
    #[cfg_attr(not(feature = "uring"), allow(dead_code))]
    pub(crate) fn refresh(&mut self) {
        self.ring.refresh_memory();
    }

    /// A read of `len` bytes into new memory, and where that is.
    pub(crate) fn read(&mut self, tag: u16, offset: u64, len: u32) -> (Box<Operation>, u64) {
        let at = self.memory.alloc(u64::from(len), 4096);
        (self.operation(tag, OperationKind::Read, offset, &[(at, len)]), at)
    }

    /// A write of `data`.
    pub(crate) fn write(&mut self, tag: u16, offset: u64, data: &[u8]) -> Box<Operation> {
        let at = self.memory.alloc(data.len() as u64, 4096);
        self.memory.write(at, data);
        self.operation(tag, OperationKind::Write { durable: false }, offset, &[(at, data.len() as u32)])
    }

    /// An operation on a range of the disk.
    pub(crate) fn range(&mut self, tag: u16, kind: OperationKind, offset: u64, len: u64) -> Box<Operation> {
        let mut operation = self.operation(tag, kind, offset, &[]);
        operation.range = len;
        operation
    }
}

/// Has the queue do one operation, for up to a minute.
pub(crate) fn perform(queue: &mut dyn BlockQueue, operation: Box<Operation>) -> OperationResult {
    queue.submit(operation);
    queue.kick();
    finish(queue, 1).pop().expect("a completion").result
}

/// Waits for `count` operations, for up to a minute.
pub(crate) fn finish(queue: &mut dyn BlockQueue, count: usize) -> Vec<Completion> {
    let mut done = Vec::new();
    let limit = Instant::now() + Duration::from_secs(60);
    while done.len() < count {
        assert!(Instant::now() < limit, "{} of {count} operations have come back", done.len());
        queue.completions(count - done.len(), &mut |completion| done.push(completion));
        std::thread::yield_now();
    }
    done
}

/// Pieces of these lengths, side by side from address 0 on: an address says which byte it is.
#[cfg(feature = "file")]
pub(crate) fn pieces(lengths: &[usize]) -> Vec<RawIoSlice> {
    let mut at = 0usize;
    let piece = |len: &usize| {
        let base = std::ptr::without_provenance_mut(at);
        at += len;
        RawIoSlice { base, len: *len }
    };
    lengths.iter().map(piece).collect()
}
