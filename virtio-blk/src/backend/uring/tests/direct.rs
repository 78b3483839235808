//! Direct I/O by rings, and what it cannot take.

use super::*;
use crate::backend::bench::{Bench, perform};
use crate::backend::{BlockBackend, OperationKind, UringBackend};
use crate::{FileOptions, OpenError};

#[test]
fn what_is_not_aligned_goes_through_the_page_cache() {
    let mut tried = 0;
    for folder in folders() {
        let content = pattern(1 << 16, 1);
        let image = Image::under(&folder, &content);
        let file = match FileOptions::new().direct(true).open(&image.0) {
            // The file systems of memory do not take it on older kernels.
            Err(OpenError::Direct { .. }) => continue,
            file => file.unwrap(),
        };
        tried += 1;
        let backend = UringBackend::builder(file).entries(8).build();
        let mut queue = backend.open_queue(64).unwrap();
        let mut bench = Bench::new();
        let page = bench.memory.alloc(32768, 4096);
        let bytes = [
            // Aligned; memory, offset or length is not.
            (vec![(page, 8192)], 4096),
            (vec![(page + 8, 4096)], 4096),
            (vec![(page, 4096)], 512),
            (vec![(page, 512)], 4096),
            (vec![(page, 512), (page + 1024, 3584)], 0),
            (vec![(page, 4096), (page + 8192, 4096)], 8192),
            // Across the end.
            (vec![(page, 16384)], (1 << 16) - 8192),
            (vec![(page, 4096)], 1 << 16),
        ];
        for (at, offset) in bytes {
            let read = bench.operation(0, OperationKind::Read, offset, &at);
            let asked = read.len();
            let there = asked.min((1 << 16) - offset);
            assert_eq!(perform(&mut *queue, read).unwrap(), there, "{at:?} at {offset}");
            let seen: Vec<u8> = at.iter().flat_map(|(at, len)| bench.memory.bytes(*at, *len as usize)).collect();
            assert_eq!(seen[..there as usize], content[offset as usize..][..there as usize], "{at:?} at {offset}");
        }
        // Each sees what the other wrote.
        for (place, offset, len) in [(page, 4096, 4096), (page + 8, 4096, 4096), (page, 4608, 512), (page, 4096, 4096)]
        {
            let data = pattern(len, place as usize ^ offset as usize);
            bench.memory.write(place, &data);
            let kind = OperationKind::Write { durable: true };
            let write = bench.operation(0, kind, offset, &[(place, len as u32)]);
            assert_eq!(perform(&mut *queue, write).unwrap(), len as u64);
            let (read, at) = bench.read(0, offset, len as u32);
            assert_eq!(perform(&mut *queue, read).unwrap(), len as u64);
            assert_eq!(bench.memory.bytes(at, len), data);
        }
        let zeroes = bench.range(0, OperationKind::WriteZeroes { unmap: false, durable: true }, 512, 8192);
        assert_eq!(perform(&mut *queue, zeroes).unwrap(), 8192);
        assert_eq!(image.content()[512..][..8192], [0; 8192]);
        assert!(backend.is_uring());
    }
    assert_ne!(tried, 0, "a file system here takes direct I/O");
}
