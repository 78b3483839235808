//! The driver of a measurement: the buffers that it makes available, and what it finds in them.

use std::time::{Duration, Instant};

use virtio_core::testing::TestMemory;
use virtio_core::{Buffer, Features, Virtqueue};
use virtio_net::Generator;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::live::Enabled;
use crate::queues::{DESCRIPTORS, DEVICE_AREA, DRIVER_AREA, Layout, queue};
use crate::ring::{Ring, ring};

/// Frames in a batch.
pub(super) const BATCH: u32 = 64;
/// Bytes of the header with mergeable buffers, or without.
pub(super) const HEADER: u32 = 12;
/// Bytes of a buffer to receive into.
const ROOM: u32 = 1536;
/// Bytes of memory.
const MEMORY: usize = 16 << 20;

/// Which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Receive,
    Transmit,
}

impl Direction {
    /// The number of the queue.
    pub(super) fn queue(self) -> u16 {
        match self {
            Direction::Receive => 0,
            Direction::Transmit => 1,
        }
    }
}

/// A driver with one queue.
pub(super) struct Frames {
    layout: Layout,
    direction: Direction,
    ring: Box<dyn Ring>,
    memory: TestMemory,
    buffers: Vec<Buffer>,
    frame: Vec<u8>,
}

impl Frames {
    pub(super) fn new(layout: Layout, direction: Direction) -> Frames {
        let map = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("map guest memory");
        let memory = TestMemory::over(&map);
        let mut ring = ring(layout);
        ring.restart(memory.ram());
        // What the allocator must not hand out.
        memory.alloc(0, 0x10_000);
        let frame = Generator::new().frame().to_vec();
        let len = HEADER + frame.len() as u32;
        let buffer = |_| match direction {
            Direction::Receive => Buffer::writable(memory.alloc(ROOM.into(), 64), ROOM),
            Direction::Transmit => Buffer::readable(memory.alloc(len.into(), 64), len),
        };
        let buffers: Vec<_> = (0..BATCH).map(buffer).collect();
        if direction == Direction::Transmit {
            buffers.iter().for_each(|buffer| memory.write(buffer.address + u64::from(HEADER), &frame));
        }
        Frames { layout, direction, ring, memory, buffers, frame }
    }

    pub(super) fn memory(&self) -> &TestMemory {
        &self.memory
    }

    /// The queue, for a device.
    pub(super) fn enabled(&self) -> Enabled {
        Enabled { index: self.direction.queue(), areas: (DESCRIPTORS, DRIVER_AREA, DEVICE_AREA) }
    }

    /// The queue, without a device.
    pub(super) fn queue(&self) -> Virtqueue {
        queue(self.memory.ram(), self.layout, Features::EVENT_IDX)
    }

    /// Has `serve` do batches, and times each from the moment at which the device can see it. `serve` is called until all of
    /// the batch has come back, and told whether it is the first time.
    pub(super) fn time(&mut self, batches: u32, doorbell: impl Fn(), mut serve: impl FnMut(bool)) -> Vec<Duration> {
        (0..batches)
            .map(|_| {
                self.fill();
                let start = Instant::now();
                let store = self.ring.show();
                self.memory.ram().write(store.address, &store.value.to_le_bytes()).expect("the ring");
                doorbell();
                serve(true);
                while !self.ring.is_idle(self.memory.ram()) {
                    serve(false);
                }
                let time = start.elapsed();
                self.check();
                time
            })
            .collect()
    }

    fn fill(&mut self) {
        let ram = self.memory.ram();
        self.ring.ask(ram);
        for buffer in &self.buffers {
            if self.direction == Direction::Receive {
                self.memory.write(buffer.address, &[0xee; HEADER as usize + 16]);
            }
            self.ring.add(ram, std::slice::from_ref(buffer), None);
        }
    }

    /// What was received is the frame, in one buffer each.
    fn check(&self) {
        if self.direction == Direction::Transmit {
            return;
        }
        for buffer in &self.buffers {
            let bytes = self.memory.bytes(buffer.address, HEADER as usize + self.frame.len());
            let (header, frame) = bytes.split_at(HEADER as usize);
            assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "a header");
            assert_eq!(frame, self.frame, "a frame");
        }
    }
}
