//! The driver of a measurement: the buffers that it makes available, and what it finds in them.

use std::time::{Duration, Instant};

use virtio_core::testing::TestMemory;
use virtio_core::{Buffer, Features, Virtqueue};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::live::Enabled;
use crate::queues::{DESCRIPTORS, DEVICE_AREA, DRIVER_AREA, Layout, queue};
use crate::ring::{Ring, ring};

/// Bytes of the header with mergeable buffers, or without.
pub(super) const HEADER: u32 = 12;
/// Bytes of it that say how long a frame's own headers are: a hint, which not every side knows.
const HDR_LEN: std::ops::Range<usize> = 2..4;
/// Where it says how many buffers a frame is spread over.
const NUM_BUFFERS: usize = 10;
/// Bytes of memory that Linux takes at a time, and cuts buffers to receive into from.
const CUT: u32 = 32 << 10;
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

/// What is sent or received.
#[derive(Clone)]
pub(super) struct Traffic {
    pub(super) direction: Direction,
    /// Frames in a batch.
    pub(super) batch: u32,
    /// What goes before each frame, for one that is not spread.
    pub(super) header: [u8; HEADER as usize],
    pub(super) frame: Vec<u8>,
    /// Bytes of a buffer: that a frame is received into, or that a frame to be sent is cut into behind what is in the first
    /// one.
    pub(super) room: u32,
    /// Bytes of the first buffer of a frame to be sent, with its header; more than there are if it is one buffer.
    pub(super) first: u32,
}

impl Traffic {
    /// Bytes of a frame with its header.
    pub(super) fn len(&self) -> u32 {
        HEADER + self.frame.len() as u32
    }

    /// Buffers that a frame is received into.
    pub(super) fn spread(&self) -> u32 {
        self.len().div_ceil(self.room)
    }

    /// A header and the frame, as a driver sends them.
    fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.frame].concat()
    }

    /// The lengths of the buffers that a frame to be sent is in.
    fn pieces(&self) -> Vec<u32> {
        let first = self.first.min(self.len());
        let rest = (first..self.len()).step_by(self.room as usize).map(|at| self.room.min(self.len() - at));
        std::iter::once(first).chain(rest).collect()
    }
}

/// A driver with one queue.
pub(super) struct Frames {
    layout: Layout,
    traffic: Traffic,
    ring: Box<dyn Ring>,
    memory: TestMemory,
    chains: Vec<Posted>,
}

/// A chain of a batch.
struct Posted {
    buffers: Vec<Buffer>,
    /// Where its indirect table is, if it has one.
    table: Option<u64>,
}

impl Frames {
    pub(super) fn new(layout: Layout, traffic: Traffic) -> Frames {
        let map = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("map guest memory");
        let memory = TestMemory::over(&map);
        let mut ring = ring(layout);
        ring.restart(memory.ram());
        // What the allocator must not hand out.
        memory.alloc(0, 0x10_000);
        let chains = match traffic.direction {
            Direction::Receive => {
                let buffer = |place| {
                    if place % (CUT / traffic.room) == 0 {
                        // What lies between them.
                        memory.alloc(64, 64);
                    }
                    Posted::room(&memory, &traffic)
                };
                (0..traffic.batch * traffic.spread()).map(buffer).collect()
            }
            Direction::Transmit => (0..traffic.batch).map(|_| Posted::frame(&memory, &traffic)).collect(),
        };
        Frames { layout, traffic, ring, memory, chains }
    }

    pub(super) fn memory(&self) -> &TestMemory {
        &self.memory
    }

    /// The queue, for a device.
    pub(super) fn enabled(&self) -> Enabled {
        Enabled { index: self.traffic.direction.queue(), areas: (DESCRIPTORS, DRIVER_AREA, DEVICE_AREA) }
    }

    /// The queue, without a device.
    pub(super) fn queue(&self) -> Virtqueue {
        queue(self.memory.ram(), self.layout, Features::EVENT_IDX)
    }

    /// Has `serve` do batches, and times each from the moment at which the device can see it. `serve` is called until all of
    /// the batch has come back, and told whether it is the first time. `feed` is called before each batch, outside of the
    /// time: the network can be given what is to be received.
    pub(super) fn time(
        &mut self,
        batches: u32,
        mut feed: impl FnMut(),
        doorbell: impl Fn(),
        mut serve: impl FnMut(bool),
    ) -> Vec<Duration> {
        (0..batches)
            .map(|_| {
                self.fill();
                feed();
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
        for Posted { buffers, table } in &self.chains {
            if self.traffic.direction == Direction::Receive {
                let buffer = buffers.first().expect("a buffer");
                self.memory.write(buffer.address, &[0xee; HEADER as usize + 16]);
            }
            self.ring.add(ram, buffers, *table);
        }
    }

    /// What was received is the frame, in as many buffers as it needs each time.
    fn check(&self) {
        if self.traffic.direction == Direction::Transmit {
            return;
        }
        let mut expected = self.traffic.bytes();
        expected[NUM_BUFFERS] = self.traffic.spread() as u8; // up to 17
        for chains in self.chains.chunks(self.traffic.spread() as usize) {
            let buffers = chains.iter().flat_map(|chain| &chain.buffers);
            for (place, (buffer, expected)) in buffers.zip(expected.chunks(self.traffic.room as usize)).enumerate() {
                let mut bytes = self.memory.bytes(buffer.address, expected.len());
                if place == 0 {
                    bytes[HDR_LEN].copy_from_slice(&expected[HDR_LEN]);
                }
                assert!(bytes == expected, "another frame: {:?}", &bytes[..16]);
            }
        }
    }
}

impl Posted {
    /// A buffer to receive into.
    fn room(memory: &TestMemory, traffic: &Traffic) -> Posted {
        let address = memory.alloc(traffic.room.into(), 64);
        Posted { buffers: vec![Buffer::writable(address, traffic.room)], table: None }
    }

    /// A frame to be sent.
    fn frame(memory: &TestMemory, traffic: &Traffic) -> Posted {
        let bytes = traffic.bytes();
        let mut rest = &bytes[..];
        let piece = |len: u32| {
            let (piece, behind) = rest.split_at(len as usize);
            rest = behind;
            let address = memory.alloc(len.into(), 64);
            memory.write(address, piece);
            Buffer::readable(address, len)
        };
        let buffers: Vec<_> = traffic.pieces().into_iter().map(piece).collect();
        let table = (buffers.len() > 1).then(|| memory.alloc(16 * buffers.len() as u64, 16));
        Posted { buffers, table }
    }
}
