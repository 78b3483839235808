//! Chains that leave the usual path of the walk: parts out of order, in several regions, not in memory, empty, or more
//! than there is room for.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use virtio_core::ring::wire::{INDIRECT, NEXT};
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory};
use virtio_core::{ChainFault, Features, RingFault, Virtqueue};

both_layouts! {
    a_chain_that_is_put_back_is_counted_once,
    a_buffer_over_two_regions_is_whole,
    what_is_readable_behind_writable_is_a_fault_and_left_out,
    what_is_not_in_memory_is_a_hole_and_the_rest_can_be_used,
    an_empty_buffer_is_a_fault_and_adds_nothing,
    more_pieces_than_descriptors_find_room,
    an_indirect_table_may_be_unaligned_and_lie_in_two_regions,
}

const PAGE: u64 = 4096;

/// A ring in the first of three regions; the second and third touch, and end at `END`.
const SECOND: u64 = 0x10_0000;
const THIRD: u64 = SECOND + PAGE;
const END: u64 = THIRD + PAGE;

fn ring<D: RingDriver>() -> (TestMemory, D, Virtqueue) {
    let memory = TestMemory::with_regions(&[(0, 1 << 16), (SECOND, PAGE as usize), (THIRD, PAGE as usize)]);
    let driver = D::new(&memory, 16, Features::EVENT_IDX | Features::INDIRECT_DESC);
    let queue = Virtqueue::new(driver.setup()).unwrap();
    (memory, driver, queue)
}

fn a_chain_that_is_put_back_is_counted_once<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 8, Features::VERSION_1);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    let to = memory.alloc(4, 1);
    driver.add(&[Buffer::writable(to, 4), Buffer::readable(to, 4)]);
    driver.show();
    for _ in 0..3 {
        queue.pop().unwrap().put_back();
    }
    queue.pop().unwrap().complete(0);
    queue.publish();
    let counts = queue.setup().counters.read();
    assert_eq!((counts.chains, counts.bytes, counts.chain_faults), (1, 4, 1));
}

fn a_buffer_over_two_regions_is_whole<D: RingDriver>() {
    let (memory, mut driver, mut queue) = ring::<D>();
    memory.write(THIRD - 2, b"abcd");
    driver.add(&[Buffer::readable(THIRD - 2, 4), Buffer::writable(THIRD - 3, 6)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert_eq!(chain.fault(), None);
    assert_eq!((chain.reader().remaining(), chain.writer().remaining()), (4, 6));
    assert_eq!(&chain.reader().read_array::<4>().unwrap(), b"abcd");
    chain.writer().write(b"uvwxyz").unwrap();
    chain.complete(6);
    assert_eq!(memory.bytes(THIRD - 3, 6), b"uvwxyz");
}

fn what_is_readable_behind_writable_is_a_fault_and_left_out<D: RingDriver>() {
    let (memory, mut driver, mut queue) = ring::<D>();
    let [first, second] = [b"first", b"other"].map(|text| memory.place(text));
    let answers = [memory.alloc(2, 1), memory.alloc(3, 1)];
    driver.add(&[
        Buffer::readable(first, 5),
        Buffer::writable(answers[0], 2),
        Buffer::readable(second, 5),
        Buffer::writable(answers[1], 3),
    ]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert!(matches!(chain.fault(), Some(ChainFault::Order { .. })));
    assert_eq!(&chain.reader().read_array::<5>().unwrap(), b"first");
    assert_eq!(chain.reader().remaining(), 5);
    assert_eq!(chain.writer().remaining(), 5);
    chain.writer().write(b"12345").unwrap();
    chain.complete(5);
    assert_eq!(memory.bytes(answers[0], 2), b"12");
    assert_eq!(memory.bytes(answers[1], 3), b"345");

    // And the next chain is as if nothing had been.
    driver.add(&[Buffer::readable(first, 5)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert_eq!((chain.fault(), chain.reader().remaining(), chain.writer().remaining()), (None, 5, 0));
}

fn what_is_not_in_memory_is_a_hole_and_the_rest_can_be_used<D: RingDriver>() {
    let (memory, mut driver, mut queue) = ring::<D>();
    driver.add(&[Buffer::readable(END - 1, 3), Buffer::writable(SECOND, 1), Buffer::writable(u64::MAX, 2)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert_eq!(chain.fault(), Some(ChainFault::Unmapped { address: END - 1, len: 3 }));
    assert_eq!((chain.reader().remaining(), chain.writer().remaining()), (3, 3));
    let mut reader = chain.reader();
    assert!(reader.read_array::<1>().is_ok());
    assert!(reader.read_array::<1>().is_err());
    let mut writer = chain.writer();
    assert!(writer.write(b"!").is_ok());
    assert!(writer.write(b"!").is_err());
    chain.complete(1);
    assert_eq!(memory.bytes(SECOND, 1), b"!");
}

fn an_empty_buffer_is_a_fault_and_adds_nothing<D: RingDriver>() {
    let (_memory, mut driver, mut queue) = ring::<D>();
    driver.add(&[Buffer::readable(SECOND, 0), Buffer::readable(SECOND, 4), Buffer::writable(SECOND, 4)]);
    driver.show();
    let chain = queue.pop().unwrap();
    assert!(matches!(chain.fault(), Some(ChainFault::Empty { .. })));
    assert_eq!((chain.reader().remaining(), chain.writer().remaining()), (4, 4));
}

fn more_pieces_than_descriptors_find_room<D: RingDriver>() {
    let (_memory, mut driver, mut queue) = ring::<D>();
    let buffers = [Buffer::writable(THIRD - 1, 2); 16];
    driver.add_indirect(&buffers);
    driver.show();
    let chain = queue.pop().unwrap();
    assert_eq!((chain.fault(), chain.writer().remaining()), (None, 32));
    chain.writer().write(&[7; 32]).unwrap();
}

fn an_indirect_table_may_be_unaligned_and_lie_in_two_regions<D: RingDriver>() {
    let (memory, mut driver, mut queue) = ring::<D>();
    let text = memory.place(b"text");
    for table in [THIRD - 24, SECOND + 1] {
        driver.add_table(table, &[Buffer::readable(text, 4); 3]);
        driver.show();
        let chain = queue.pop().unwrap();
        assert_eq!((chain.fault(), chain.reader().remaining()), (None, 12));
        chain.complete(0);
    }
}

#[test]
fn an_indirect_table_may_be_as_long_as_an_index_reaches() {
    let memory = TestMemory::new(4 << 20);
    let driver = SplitDriver::new(&memory, 16, Features::INDIRECT_DESC);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    let (byte, table) = (memory.place(b"x"), memory.alloc(16 << 16, 16));
    for (index, next) in [(0, u16::MAX), (u16::MAX, 0)] {
        driver.write_descriptor(table + 16 * u64::from(index), byte, 1, NEXT, next);
    }
    driver.set_descriptor(0, table, 16 << 16, INDIRECT, 0);
    driver.set_available(0, 0);
    driver.set_index(1);
    assert!(queue.pop().is_none());
    assert_eq!(queue.fault(), Some(RingFault::Endless { head: 0, limit: 16 }), "from the last entry back to the first");
}

#[test]
fn a_next_outside_of_the_table_breaks_the_ring() {
    let (_memory, mut driver, mut queue) = ring::<SplitDriver>();
    let head = driver.add(&[Buffer::readable(SECOND, 4)]).unwrap();
    driver.set_descriptor(head, SECOND, 4, NEXT, 16);
    driver.show();
    assert!(queue.pop().is_none());
    assert_eq!(queue.fault(), Some(RingFault::Next { index: head, next: 16, size: 16 }));
}

#[test]
fn a_head_outside_of_the_table_breaks_the_ring() {
    let (_memory, mut driver, mut queue) = ring::<SplitDriver>();
    driver.add(&[Buffer::readable(SECOND, 4)]);
    driver.set_available(0, 16);
    driver.show();
    assert!(queue.pop().is_none());
    assert_eq!(queue.fault(), Some(RingFault::Head { head: 16, size: 16 }));
}

fn packed_ring(size: u16) -> (TestMemory, PackedDriver, Virtqueue) {
    let memory = TestMemory::new(1 << 20);
    let driver = PackedDriver::new(&memory, size, Features::EVENT_IDX | Features::INDIRECT_DESC);
    let queue = Virtqueue::new(driver.setup()).unwrap();
    (memory, driver, queue)
}

#[test]
fn an_unfinished_list_breaks_the_ring_and_is_named() {
    let (_memory, mut driver, mut queue) = packed_ring(5);
    driver.start_at(0, true);
    driver.break_ring();
    assert!(queue.pop().is_none());
    assert_eq!(queue.fault(), Some(RingFault::Unfinished { slot: 1 }));
}

#[test]
fn a_list_of_the_whole_ring_may_begin_anywhere() {
    let (memory, mut driver, mut queue) = packed_ring(5);
    let text = memory.place(b"round");
    for round in 0..12u16 {
        assert_eq!(driver.next(), (round % 5, round % 2 == u16::from(round / 5 % 2 == 1)));
        let buffers: Vec<_> = (0..5).map(|i| Buffer::readable(text + i, 1)).collect();
        assert!(driver.add(&buffers).is_some());
        driver.show();
        let chain = queue.pop().unwrap();
        assert_eq!(&chain.reader().read_array::<5>().unwrap(), b"round");
        chain.complete(0);
        queue.publish();
        assert!(driver.used().is_some());
        // One more slot, so that the next list begins elsewhere.
        driver.add(&buffers[..1]);
        driver.show();
        queue.pop().unwrap().complete(0);
        queue.publish();
        assert!(driver.used().is_some());
    }
}

/// The driver looks at the first slot; while that is not used, it sees nothing of the rest.
#[test]
fn ring_packed_16_the_first_of_a_batch_is_marked_used_last() {
    let (memory, mut driver, mut queue) = packed_ring(7);
    let to = memory.alloc(8, 1);
    for round in 0..10 {
        for _ in 0..3 {
            driver.add(&[Buffer::writable(to, 4), Buffer::writable(to + 4, 4)]);
        }
        driver.show();
        let (first, _) = driver.next_used();
        let before = driver.descriptor(first);
        for _ in 0..3 {
            queue.pop().unwrap().complete(8);
            assert_eq!((driver.descriptor(first), driver.waiting()), (before, 0), "round {round}");
        }
        queue.publish();
        assert_eq!(driver.waiting(), 3);
        while driver.used().is_some() {}
    }
}
