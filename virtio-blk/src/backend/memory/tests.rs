#![allow(clippy::unwrap_used)] // a test fails by panicking

use crate::backend::bench::{Bench, perform};
use crate::backend::{BlockBackend, MemoryBackend, OperationError, OperationKind};

#[test]
fn a_disk_in_memory_does_what_it_says() {
    let mut bench = Bench::new();
    let disk = MemoryBackend::new((0..=255).cycle().take(4096).collect());
    let mut queue = disk.open_queue(8).unwrap();
    let (read, at) = bench.read(0, 512, 1024);
    assert_eq!(perform(&mut *queue, read).unwrap(), 1024);
    assert_eq!(bench.memory.bytes(at, 1024), disk.content()[512..1536]);
    let write = bench.write(0, 3584, &[7; 1024]);
    assert_eq!(perform(&mut *queue, write).unwrap(), 512, "the disk ends there");
    assert_eq!(disk.content()[3583..], [[255].as_slice(), &[7; 512]].concat());

    for kind in [
        OperationKind::Discard,
        OperationKind::WriteZeroes { unmap: false, durable: false },
        OperationKind::WriteZeroes { unmap: true, durable: true },
        OperationKind::SecureErase,
    ] {
        let fill = bench.write(0, 0, &[9; 4096]);
        assert_eq!(perform(&mut *queue, fill).unwrap(), 4096);
        let range = bench.range(0, kind, 512, 1024);
        assert_eq!(perform(&mut *queue, range).unwrap(), 1024, "{kind:?}");
        assert_eq!(disk.content(), [vec![9; 512], vec![0; 1024], vec![9; 2560]].concat(), "{kind:?}");
        let behind = bench.range(0, kind, 8192, 1 << 40);
        assert_eq!(perform(&mut *queue, behind).unwrap(), 0, "{kind:?}");
    }
    let open = bench.operation(0, OperationKind::ZoneOpen, 0, &[]);
    assert!(matches!(perform(&mut *queue, open), Err(OperationError::Unsupported)));
}
