#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::vm_memory::bitmap::{AtomicBitmap, Bitmap};
use ::vm_memory::{GuestAddress, GuestMemoryMmap, GuestMemoryRegion};

use super::*;
use crate::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use crate::{Features, Virtqueue};

fn two_that_touch() -> TestMemory {
    TestMemory::with_regions(&[(0, 0x10000), (0x10000, 0x1000), (0x100_0000, 0x1000)])
}

fn queue(memory: &TestMemory) -> (SplitDriver, Virtqueue) {
    let driver = SplitDriver::new(memory, 8, Features::VERSION_1);
    let queue = Virtqueue::new(driver.setup()).unwrap();
    (driver, queue)
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(u64, u64)>>);

impl DirtyLog for Recorder {
    fn mark(&self, address: u64, len: u64) {
        self.0.lock().unwrap().push((address, len));
    }
}

#[test]
fn ranges_may_span_adjacent_regions() {
    let memory = two_that_touch();
    let bytes: Vec<u8> = (0..200).collect();
    memory.write(0xffa0, &bytes);
    assert_eq!(memory.bytes(0xffa0, 200), bytes);
    assert_eq!(memory.bytes(0x10000, 104), bytes[96..]);
    let ram = memory.ram();
    let mut two = [0; 2];
    assert_eq!(ram.read(0x10fff, &mut two), Err(MemoryError::Unmapped { address: 0x10fff, len: 2 }));
    assert_eq!(ram.read(u64::MAX, &mut two), Err(MemoryError::Unmapped { address: u64::MAX, len: 2 }));
    assert_eq!(ram.write(0x100_0fff, &[1]), Ok(()));
    assert_eq!(ram.write(0x100_1000, &[1]), Err(MemoryError::Unmapped { address: 0x100_1000, len: 1 }));
}

#[test]
fn chains_may_span_adjacent_regions() {
    let memory = two_that_touch();
    let (mut driver, mut queue) = queue(&memory);
    memory.write(0xfff0, b"0123456789abcdefghijklmnopqrstuv");
    driver.add(&[Buffer::readable(0xfff0, 32), Buffer::writable(0xffff, 2)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert_eq!(chain.fault(), None);
    assert_eq!(&chain.reader().read_array::<32>().unwrap(), b"0123456789abcdefghijklmnopqrstuv");
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    assert_eq!(held.io_slices().len(), 2, "two pieces on the host");
    chain.writer().write(b"XY").unwrap();
    chain.complete(2);
    assert_eq!(memory.bytes(0xfffe, 4), b"eXYh");
}

#[test]
fn held_pieces_are_put_together_and_taken_apart_again() {
    let memory = two_that_touch();
    let (mut driver, mut queue) = queue(&memory);
    driver.add(&[Buffer::readable(0xfff0, 32)]);
    driver.add(&[Buffer::readable(0x100, 8), Buffer::readable(0x200, 8)]);
    driver.add(&[Buffer::writable(0x300, 8)]);
    driver.show();
    let held: Vec<GuestBuffers> = (0..3)
        .map(|_| {
            let chain = queue.pop().unwrap();
            let mut held = GuestBuffers::new();
            match chain.writer().remaining() {
                0 => held.hold_readable(&chain.reader()).unwrap(),
                _ => held.hold_writable(&chain.writer()).unwrap(),
            }
            chain.complete(0);
            held
        })
        .collect();
    let [mut first, second, writable] = <[GuestBuffers; 3]>::try_from(held).unwrap();
    memory.write(0xfff0, b"0123456789abcdefghijklmnopqrstuv");
    memory.write(0x100, b"first...");
    memory.write(0x200, b"second..");

    assert!(!first.append(&writable), "not of another direction");
    assert!(!first.append(&GuestBuffers::new()), "nor of nothing");
    assert!(!GuestBuffers::new().append(&second));
    assert_eq!((first.len(), first.io_slices().len()), (32, 2), "nothing has changed");
    assert!(first.append(&second));
    assert_eq!((first.len(), first.io_slices().len()), (48, 4));
    let mut all = [0; 48];
    first.reader().read(&mut all).unwrap();
    assert_eq!(&all, b"0123456789abcdefghijklmnopqrstuvfirst...second..");

    let tail = first.split_off(20);
    assert_eq!((first.len(), tail.len()), (20, 28));
    assert_eq!((first.io_slices().len(), tail.io_slices().len()), (2, 3), "cut within a piece");
    let mut rest = [0; 28];
    tail.reader().read(&mut rest).unwrap();
    assert_eq!(&rest, b"klmnopqrstuvfirst...second..");
    assert!(first.append(&tail));
    first.truncate(36);
    first.truncate(100);
    assert_eq!((first.len(), first.io_slices().len()), (36, 4));
    assert_eq!(first.io_slices().iter().map(|piece| piece.len).sum::<usize>(), 36);
    assert_eq!(first.split_off(1000).len(), 0);
    first.truncate(0);
    assert!(first.is_empty() && first.io_slices().is_empty());

    // What is put together and taken apart has no part in the trailer.
    queue.publish();
    while driver.used().is_some() {}
    driver.add(&[Buffer::readable(0x100, 8), Buffer::writable(0xffff, 2)]);
    driver.show();
    let chain = queue.pop().unwrap();
    let mut request = GuestBuffers::new();
    request.hold_readable(&chain.reader()).unwrap();
    request.hold_trailer(&chain.writer()).unwrap();
    chain.complete(0);
    assert_eq!((request.len(), request.io_slices().len()), (8, 1));
    assert!(request.append(&second));
    request.truncate(8);
    request.write_trailer(queue.view(), b"ok").unwrap();
    assert_eq!(memory.bytes(0xfffe, 4), *b"eokh");
    request.clear();
    assert_eq!(request.write_trailer(queue.view(), b"o"), Err(MemoryError::Short { wanted: 1, left: 0 }));
    // A trailer alone keeps memory mapped, too.
    driver.add(&[Buffer::writable(0x100, 2)]);
    driver.show();
    let chain = queue.pop().unwrap();
    request.hold_trailer(&chain.writer()).unwrap();
    chain.complete(0);
    request.write_trailer(queue.view(), b"OK").unwrap();
    assert_eq!(memory.bytes(0x100, 3), *b"OKr");
    assert!(request.is_empty());

    // Pieces of two versions of memory do not go together.
    queue.publish();
    while driver.used().is_some() {}
    memory.ram().set_log(None).on_complete(|| {});
    driver.add(&[Buffer::readable(0x100, 8)]);
    driver.show();
    queue.refresh_memory();
    let chain = queue.pop().unwrap();
    let mut later = GuestBuffers::new();
    later.hold_readable(&chain.reader()).unwrap();
    assert!(!later.append(&second));
    chain.complete(0);
    driver.add(&[Buffer::writable(0x100, 2)]);
    driver.show();
    let chain = queue.pop().unwrap();
    let mut before = second;
    assert!(before.hold_trailer(&chain.writer()).is_err());
    assert!(before.is_empty(), "nothing is held then");
    chain.complete(0);
}

#[test]
fn regions_must_not_overlap_or_wrap() {
    let owner = || Arc::new(()) as Arc<dyn std::any::Any + Send + Sync>;
    let mut bytes = [0u64; 16];
    let host = bytes.as_mut_ptr().cast::<u8>();
    let make = |regions: &[(u64, usize)]| {
        let regions = regions.iter().map(|(start, len)| RawRegion::new(*start, host, *len)).collect();
        // SAFETY: nothing is accessed.
        unsafe { GuestRam::from_raw(regions, owner()) }.map(|ram| ram.regions())
    };
    assert_eq!(make(&[(0, 8), (8, 8)]), Ok(vec![(0, 8), (8, 8)]));
    assert_eq!(make(&[(8, 8), (0, 9)]), Err(MemoryError::Overlap { start: 8, len: 8 }));
    assert_eq!(make(&[(0, 0)]), Err(MemoryError::BadRegion { start: 0, len: 0 }));
    assert_eq!(make(&[(u64::MAX - 7, 8)]), Ok(vec![(u64::MAX - 7, 8)]), "up to the last address");
    assert_eq!(make(&[(u64::MAX - 7, 9)]), Err(MemoryError::BadRegion { start: u64::MAX - 7, len: 9 }));
    let longest = isize::MAX as usize;
    assert_eq!(make(&[(0, longest)]), Ok(vec![(0, longest as u64)]));
    assert_eq!(make(&[(0, longest + 1)]), Err(MemoryError::BadRegion { start: 0, len: longest as u64 + 1 }));
}

#[test]
fn reader_and_writer_split_anywhere() {
    let memory = TestMemory::new(0x10000);
    let (mut driver, mut queue) = queue(&memory);
    let from = memory.place(b"headerdata");
    let to = memory.alloc(6, 1);
    driver.add(&[
        Buffer::readable(from, 3),
        Buffer::readable(from + 3, 7),
        Buffer::writable(to, 1),
        Buffer::writable(to + 1, 5),
    ]);
    driver.show();
    let chain = queue.pop().unwrap();
    let (mut header, mut data) = chain.reader().split_at(6).unwrap();
    assert_eq!((header.remaining(), data.remaining()), (6, 4));
    assert_eq!(&header.read_array::<6>().unwrap(), b"header");
    assert_eq!(header.read(&mut [0]), Err(MemoryError::Short { wanted: 1, left: 0 }));
    data.skip(1).unwrap();
    assert_eq!(&data.clone().read_array::<3>().unwrap(), b"ata");
    assert_eq!(data.read(&mut [0; 4]), Err(MemoryError::Short { wanted: 4, left: 3 }));
    assert_eq!(&data.read_array::<3>().unwrap(), b"ata", "an error does not move");
    let (mut body, mut status) = chain.writer().split_at(5).unwrap();
    status.write(b"!").unwrap();
    body.skip(2).unwrap();
    body.write(b"xyz").unwrap();
    assert_eq!(body.write(b"z"), Err(MemoryError::Short { wanted: 1, left: 0 }));
    assert!(chain.writer().split_at(7).is_err());
    chain.complete(6);
    assert_eq!(memory.bytes(to, 6), b"\0\0xyz!");
}

#[test]
fn what_is_not_memory_cannot_be_accessed() {
    let memory = TestMemory::new(0x10000);
    let (mut driver, mut queue) = queue(&memory);
    let from = memory.place(b"good");
    driver.add(&[Buffer::readable(from, 4), Buffer::readable(0xdead_0000, 4), Buffer::writable(0xfffe, 4)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert!(matches!(chain.fault(), Some(crate::ChainFault::Unmapped { address: 0xdead_0000, len: 4 })));
    let mut reader = chain.reader();
    assert_eq!(&reader.read_array::<4>().unwrap(), b"good");
    assert_eq!(reader.read(&mut [0]), Err(MemoryError::Unmapped { address: 0xdead_0000, len: 1 }));
    assert!(chain.writer().write(b"ok").is_ok());
    assert!(chain.writer().write(b"bad").is_err());
    let mut held = GuestBuffers::new();
    assert!(held.hold_readable(&chain.reader()).is_err());
    assert!(held.hold_writable(&chain.writer()).is_err());
    assert!(held.is_empty());
}

#[test]
fn copies_of_every_length_and_alignment() {
    let memory = TestMemory::new(0x10000);
    let bytes: Vec<u8> = (0..300u32).map(|i| (i * 7) as u8).collect();
    let mut back = vec![0; 400];
    for start in (0..9).chain([12, 20, 52, 60, 63]) {
        for len in (0..40).chain([127, 128, 129, 200, 290]) {
            memory.write(0x2000, &[0; 400]);
            memory.write(0x2000 + start, &bytes[..len]);
            assert_eq!(memory.bytes(0x2000 + start, len), bytes[..len]);
            assert_eq!(memory.bytes(0x2000 + start + len as u64, 4), [0; 4]);
            let at = (start as usize * 5) % 64;
            back.fill(0xee);
            memory.ram().read(0x2000 + start, &mut back[at..at + len]).unwrap();
            assert_eq!(back[at..at + len], bytes[..len]);
            assert_eq!([&back[..at], &back[at + len..]].concat(), vec![0xee; 400 - len]);
        }
    }
}

#[test]
fn every_write_of_a_device_is_in_the_log() {
    let memory = TestMemory::new(0x10000);
    let driver_features = Features::VERSION_1 | Features::EVENT_IDX;
    let mut driver = SplitDriver::new(&memory, 8, driver_features);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    let log = Arc::new(Recorder::default());
    let (from, to) = (memory.place(b"in"), memory.alloc(8, 8));

    // A request that is in flight when the log starts marks in it when it completes.
    driver.add(&[Buffer::writable(to, 8)]);
    driver.show();
    let chain = queue.pop().unwrap();
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    let ticket = chain.into_ticket();

    let barrier = memory.ram().set_log(Some(log.clone()));
    assert!(!barrier.is_complete(), "the queue has not passed a batch boundary");
    assert!(queue.pop().is_none());
    assert!(barrier.is_complete(), "although a request of before is in flight");
    held.mark_written(queue.view(), 5);
    queue.complete(ticket, 5).unwrap();

    driver.add(&[Buffer::readable(from, 2), Buffer::writable(to, 8)]);
    driver.show();
    let chain = queue.pop().unwrap();
    chain.writer().write(b"out").unwrap();
    chain.complete(3);
    queue.publish();
    assert!(!queue.arm());

    let (_, _, used) = driver.areas();
    // Behind the driver's own areas: what the test's driver writes is in the log too.
    let marks: Vec<_> = log.0.lock().unwrap().iter().copied().filter(|(address, _)| *address >= used).collect();
    let expected = [(to, 5), (to, 3), (used + 4, 16), (used + 2, 2), (used + 4 + 64, 2)];
    for mark in expected {
        assert!(marks.contains(&mark), "{mark:x?} of {marks:x?}");
    }
    assert_eq!(marks.len(), expected.len(), "{marks:x?}");
    memory.ram().set_log(None).on_complete(|| {});
    queue.refresh_memory();
    let before = log.0.lock().unwrap().len();
    memory.write(to, b"quiet");
    assert_eq!(log.0.lock().unwrap().len(), before);
}

#[test]
fn the_bitmap_of_vm_memory_is_marked() {
    let ranges = [(GuestAddress(0), 0x10000), (GuestAddress(0x10000), 0x10000)];
    let mmap = GuestMemoryMmap::<AtomicBitmap>::from_ranges(&ranges).unwrap();
    let ram = GuestRam::from_vm_memory(&mmap).unwrap();
    ram.write(0xfffe, &[1; 4]).unwrap();
    let dirty: Vec<Vec<usize>> = ::vm_memory::GuestMemoryBackend::iter(&mmap)
        .map(|region| (0..0x10000).step_by(0x1000).filter(|at| region.bitmap().dirty_at(*at)).collect())
        .collect();
    assert_eq!(dirty, [vec![0xf000], vec![0]]);
}

#[test]
fn memory_of_vm_memory_takes_the_place_of_other() {
    let map = |len| GuestMemoryMmap::<AtomicBitmap>::from_ranges(&[(GuestAddress(0), len)]).unwrap();
    let (small, large) = (map(0x10000), map(0x20000));
    let ram = GuestRam::from_vm_memory(&small).unwrap();
    let barrier = ram.replace_from_vm_memory(&large).unwrap();
    assert!(barrier.is_complete(), "nobody looks at the old one");
    ram.write(0x1_8000, &[1]).unwrap();
    let region = ::vm_memory::GuestMemoryBackend::iter(&large).next().unwrap();
    assert!(region.bitmap().dirty_at(0x1_8000));
}

#[test]
fn a_change_is_complete_when_nobody_uses_what_was() {
    let memory = two_that_touch();
    let (mut driver, mut queue) = queue(&memory);
    driver.add(&[Buffer::writable(0x10000, 8)]);
    driver.show();
    let chain = queue.pop().unwrap();
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    let ticket = chain.into_ticket();
    queue.setup().doorbell.take();

    let barrier = memory.ram().unmap(0x10000, 0x1000).unwrap();
    let fired = Arc::new(AtomicBool::new(false));
    assert_eq!(queue.setup().doorbell.take(), 1, "the task is woken, idle or not");
    assert!(!barrier.wait(Duration::ZERO));
    assert!(queue.pop().is_none());
    assert!(!barrier.is_complete(), "the queue has moved on, but the operation has not ended");
    let flag = fired.clone();
    barrier.on_complete(move || flag.store(true, SeqCst));

    held.writer(queue.view()).write(b"safe").unwrap();
    queue.complete(ticket, 4).unwrap();
    assert!(!fired.load(SeqCst));
    held.clear();
    assert!(fired.load(SeqCst));
    assert_eq!(queue.fault(), None);
    assert!(memory.ram().write(0x10000, &[1]).is_err());
}

#[test]
fn a_queue_at_rest_lets_go_of_what_was() {
    let memory = two_that_touch();
    let (_, mut stopped) = queue(&memory);
    let (broken_driver, mut broken) = queue(&memory);
    stopped.stop();
    broken_driver.set_index(999);
    assert!(broken.pop().is_none() && broken.fault().is_some());
    let barrier = memory.ram().unmap(0x10000, 0x1000).unwrap();
    assert!(stopped.pop().is_none() && !broken.arm());
    assert!(barrier.is_complete());

    // The same where the memory of the ring itself goes.
    let (_, mut lost) = queue(&memory);
    let barrier = memory.ram().unmap(0, 0x10000).unwrap();
    for queue in [&mut stopped, &mut broken, &mut lost] {
        assert!(queue.pop().is_none() && queue.fault().is_some());
    }
    assert!(barrier.is_complete(), "a broken ring has no use for its areas");
}

#[test]
fn a_mapping_lives_as_long_as_it_is_used() {
    struct Owner(Arc<AtomicU64>, #[allow(dead_code)] Vec<u64>);
    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicU64::new(0));
    let region = |start| {
        let mut words = vec![0u64; 512];
        let raw = RawRegion::new(start, words.as_mut_ptr().cast(), 4096);
        (vec![raw], Arc::new(Owner(dropped.clone(), words)))
    };
    let (first, owner) = region(0);
    // SAFETY: the owner holds the words, which nobody else touches.
    let ram = unsafe { GuestRam::from_raw(first, owner) }.unwrap();
    let (second, owner) = region(0x1000);
    // SAFETY: as above.
    unsafe { ram.map(second, owner) }.unwrap().on_complete(|| {});
    assert_eq!(ram.regions(), [(0, 4096), (0x1000, 4096)]);
    let view = ram.view(None);
    let barrier = ram.unmap(0, 4096).unwrap();
    assert_eq!(ram.unmap(0, 4096).map(|_| ()), Err(MemoryError::NoRegion { start: 0, len: 4096 }));
    assert_eq!((dropped.load(SeqCst), barrier.is_complete()), (0, false));
    view.write(0, b"still there").unwrap();
    drop(view);
    assert_eq!((dropped.load(SeqCst), barrier.is_complete()), (1, true));
    drop(ram);
    assert_eq!(dropped.load(SeqCst), 2);
}

#[test]
fn a_barrier_can_be_waited_for() {
    let memory = two_that_touch();
    let view = memory.ram().view(None);
    let barrier = memory.ram().unmap(0x10000, 0x1000).unwrap();
    let waiter = std::thread::spawn(move || barrier.wait(Duration::from_secs(60)));
    drop(view);
    assert!(waiter.join().unwrap());
}

#[test]
fn discards_are_inhibited_while_somebody_asks() {
    let memory = two_that_touch();
    let ram = memory.ram();
    assert!(!ram.discards_inhibited());
    let (one, two) = (ram.inhibit_discards(), ram.clone().inhibit_discards());
    drop(one);
    assert!(ram.discards_inhibited());
    assert_eq!(ram.discard(|| panic!("somebody asked")), None::<()>);
    drop(two);
    assert!(!ram.discards_inhibited());
    assert_eq!(ram.discard(|| 1), Some(1));
}

#[test]
fn nobody_pins_pages_while_some_are_discarded() {
    let memory = two_that_touch();
    let ram = memory.ram();
    for _ in 0..100 {
        let (begun, discarding) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ram.discard(|| {
                    discarding.store(true, SeqCst);
                    begun.store(true, SeqCst);
                    (0..20).for_each(|_| std::thread::yield_now());
                    discarding.store(false, SeqCst);
                })
            });
            while !begun.load(SeqCst) {
                std::thread::yield_now();
            }
            let pinned = ram.pin_pages(|_| if discarding.load(SeqCst) { Err("they go away") } else { Ok(()) });
            assert!(pinned.is_ok());
        });
    }
}

#[test]
fn many_regions_are_found() {
    let regions: Vec<_> = (0..64).map(|i| (i * 0x10000, 0x1000)).collect();
    let memory = TestMemory::with_regions(&regions);
    for (start, len) in regions {
        memory.write(start + len as u64 - 8, &start.to_le_bytes());
        assert_eq!(memory.bytes(start + len as u64 - 8, 8), start.to_le_bytes());
        assert!(memory.ram().write(start + len as u64, &[0]).is_err());
    }
}
