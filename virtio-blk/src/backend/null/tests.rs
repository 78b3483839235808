#![allow(clippy::unwrap_used)] // a test fails by panicking

use crate::backend::bench::{Bench, perform};
use crate::backend::{BlockBackend, NullBackend, OperationKind};

#[test]
fn a_disk_that_keeps_nothing_is_all_zeros() {
    let mut bench = Bench::new();
    let mut queue = NullBackend::new(1 << 20).open_queue(8).unwrap();
    for (offset, len) in [(0, 512), (512, 4096), (0, 9216)] {
        let (read, at) = bench.read(0, offset, len);
        bench.memory.write(at, &vec![9; len as usize]);
        assert_eq!(perform(&mut *queue, read).unwrap(), u64::from(len));
        assert!(bench.memory.bytes(at, len as usize).iter().all(|byte| *byte == 0));
        let write = bench.write(0, offset, &vec![9; len as usize]);
        assert_eq!(perform(&mut *queue, write).unwrap(), u64::from(len));
    }
    for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: true, durable: false }] {
        let range = bench.range(0, kind, 0, 1 << 20);
        assert_eq!(perform(&mut *queue, range).unwrap(), 1 << 20);
    }
    let flush = bench.operation(0, OperationKind::Flush, 0, &[]);
    assert_eq!(perform(&mut *queue, flush).unwrap(), 0);
}
