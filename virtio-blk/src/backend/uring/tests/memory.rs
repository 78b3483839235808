//! Guest memory that is registered with rings.

use std::io::Write;

use virtio_core::testing::TestMemory;

use super::*;
use crate::backend::OperationKind;
use crate::backend::bench::{Bench, finish, perform};

fn registered(queue: &UringQueue) -> u32 {
    queue.ring.as_ref().unwrap().registered()
}

#[test]
fn data_moves_through_registered_memory() {
    let image = Image::new(&pattern(1 << 16, 1));
    let mut bench = Bench::new();
    let ram = bench.memory.ram().clone();
    let mut queue = open(&shared(image.file(), None, Some(ram.clone())), 64);
    assert!(ram.discards_inhibited());
    let (read, at) = bench.read(0, 4096, 8192);
    assert_eq!(perform(&mut queue, read).unwrap(), 8192);
    assert_eq!(bench.memory.bytes(at, 8192), pattern(1 << 16, 1)[4096..][..8192]);
    let write = bench.write(0, 512, &pattern(4096, 2));
    assert_eq!(perform(&mut queue, write).unwrap(), 4096);
    assert_eq!(image.content()[512..][..4096], pattern(4096, 2));
    // Of several pieces.
    let to = [(bench.memory.alloc(512, 8), 512), (bench.memory.alloc(1024, 1024), 512)];
    let read = bench.operation(0, OperationKind::Read, 0, &to);
    assert_eq!(perform(&mut queue, read).unwrap(), 1024);
    drop(queue);
    assert!(!ram.discards_inhibited());
}

#[test]
fn requests_of_one_piece_use_it() {
    let (file, mut writer) = waiting();
    let mut bench = Bench::new();
    let mut queue = open(&shared(file, None, Some(bench.memory.ram().clone())), 64);
    queue.submit(bench.read(0, 0, 512).0);
    let to = [(bench.memory.alloc(512, 8), 256), (bench.memory.alloc(1024, 1024), 256)];
    queue.submit(bench.operation(1, OperationKind::Read, 0, &to));
    // Of memory that is not registered.
    let mut other = Bench::new();
    queue.submit(other.read(2, 0, 512).0);
    queue.kick();
    assert_eq!(registered(&queue), 1);
    writer.write_all(&[1; 3 * 512]).unwrap();
    finish(&mut queue, 3);
    assert_eq!(registered(&queue), 0);
}

#[test]
fn a_change_of_memory_is_followed() {
    let (file, mut writer) = waiting();
    let mut bench = Bench::new();
    let ram = bench.memory.ram().clone();
    let mut queue = open(&shared(file, None, Some(ram.clone())), 64);
    queue.submit(bench.read(0, 0, 512).0);
    queue.kick();
    assert_eq!(registered(&queue), 1);

    let other = TestMemory::new(64 << 20);
    let barrier = ram.replace_with(other.ram());
    bench.memory.adopt(&other);
    bench.refresh();
    // One of the new memory, while one of the old memory is in flight.
    queue.submit(bench.read(1, 0, 512).0);
    queue.kick();
    assert_eq!(registered(&queue), 1, "only the one before the change");
    assert!(queue.ring.as_ref().unwrap().is_stale());
    assert!(!barrier.is_complete());

    writer.write_all(&[1; 1024]).unwrap();
    drop(finish(&mut queue, 2));
    assert!(barrier.is_complete());
    until(&mut queue, |queue| !queue.ring.as_ref().unwrap().is_stale());
    assert!(ram.discards_inhibited());
    let (read, at) = bench.read(2, 0, 512);
    queue.submit(read);
    queue.kick();
    assert_eq!(registered(&queue), 1, "the new memory is registered");
    writer.write_all(&pattern(512, 7)).unwrap();
    drop(finish(&mut queue, 1));
    assert_eq!(bench.memory.bytes(at, 512), pattern(512, 7));
    drop(queue);
    assert!(!ram.discards_inhibited());
}

#[test]
fn a_change_of_memory_does_not_wait_for_an_idle_queue() {
    let image = Image::new(&[7; 4096]);
    let mut bench = Bench::new();
    let ram = bench.memory.ram().clone();
    let mut queue = open(&shared(image.file(), None, Some(ram.clone())), 64);
    let barrier = ram.replace_with(TestMemory::new(1 << 20).ram());
    bench.refresh();
    assert!(barrier.is_complete());
    assert!(now(&mut queue).is_empty());
    assert!(!queue.ring.as_ref().unwrap().is_stale());
}

#[test]
fn many_regions_are_registered() {
    let image = Image::new(&pattern(4096, 3));
    let regions: Vec<_> = (0..64).map(|region| (region << 20, 0x4000)).collect();
    let memory = TestMemory::with_regions(&regions);
    let mut bench = Bench::over(memory);
    let ram = bench.memory.ram().clone();
    let mut queue = open(&shared(image.file(), None, Some(ram)), 64);
    for (tag, (start, len)) in (0..).zip(&regions).skip(1) {
        let at = start + *len as u64 - 512;
        let read = bench.operation(tag, OperationKind::Read, 512, &[(at, 512)]);
        assert_eq!(perform(&mut queue, read).unwrap(), 512);
        assert_eq!(bench.memory.bytes(at, 512), pattern(4096, 3)[512..1024]);
    }
}

#[test]
fn a_ring_that_is_used_elsewhere_registers_again() {
    let image = Image::new(&pattern(4096, 3));
    let mut bench = Bench::new();
    let ram = bench.memory.ram().clone();
    let shared = shared(image.file(), None, Some(ram.clone()));
    let mut queue = std::thread::spawn(move || open(&shared, 64)).join().unwrap();
    let read = bench.read(0, 0, 512).0;
    assert_eq!(perform(&mut queue, read).unwrap(), 512);
    drop(queue);
    assert!(!ram.discards_inhibited());
}
