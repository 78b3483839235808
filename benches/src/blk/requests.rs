//! The driver of a measurement: what it asks for, and what it makes of the answers.

use std::time::{Duration, Instant};

use virtio_core::testing::{RingDriver, SplitDriver, TestMemory};
use virtio_core::{Buffer, Features, GuestRam, Virtqueue};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::FILE;
use crate::live::ring_features;
use crate::queues::{DESCRIPTORS, DEVICE_AREA, DRIVER_AREA, Layout, SIZE, queue};
use crate::ring::{Ring, ring};

/// Requests in a batch.
pub(super) const DEPTH: u32 = 32;
/// Bytes of memory.
const MEMORY: usize = 32 << 20;

/// What requests there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Where on the disk they go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    Random,
    Sequential,
}

/// What a driver does all the time.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) kind: Kind,
    pub(super) pattern: Pattern,
    /// Bytes of each request.
    pub(super) len: u32,
}

/// Guest memory.
pub(super) fn memory() -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("map guest memory")
}

/// Where the requests of a batch go: the same for all sides.
pub(super) struct Places {
    work: Work,
    random: u64,
    next: u64,
}

impl Places {
    pub(super) fn new(work: Work) -> Places {
        Places { work, random: 1, next: 0 }
    }

    /// The next place on the disk, in bytes.
    pub(super) fn next(&mut self) -> u64 {
        let (len, count) = (u64::from(self.work.len), FILE / u64::from(self.work.len));
        match self.work.pattern {
            Pattern::Random => {
                self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (self.random >> 32) % count * len
            }
            Pattern::Sequential => {
                self.next = (self.next + 1) % count;
                self.next * len
            }
        }
    }
}

/// One request of each batch.
struct Slot {
    header: u64,
    data: u64,
    status: u64,
    table: u64,
    /// Where it goes now.
    place: u64,
}

/// The driver's side of a ring. What it does within the time is little.
pub(super) trait Front {
    /// The descriptor, driver and device areas.
    fn areas(&self) -> (u64, u64, u64);
    /// A queue on it, without a device.
    fn queue(&self) -> Virtqueue;
    /// Adds a chain, to be shown later.
    fn add(&mut self, table: u64, buffers: &[Buffer]);
    /// Shows the device what was added, and rings if the device may want that.
    fn kick(&mut self, doorbell: &impl Fn());
    /// Whether all has come back.
    fn is_idle(&self) -> bool;
    /// Takes what has come back.
    fn take(&mut self);
}

impl Front for SplitDriver {
    fn areas(&self) -> (u64, u64, u64) {
        RingDriver::areas(self)
    }

    fn queue(&self) -> Virtqueue {
        Virtqueue::new(self.setup()).expect("a valid ring")
    }

    fn add(&mut self, table: u64, buffers: &[Buffer]) {
        self.add_table(table, buffers).expect("room in the ring");
    }

    fn kick(&mut self, doorbell: &impl Fn()) {
        RingDriver::kick(self, doorbell);
    }

    fn is_idle(&self) -> bool {
        self.waiting() == DEPTH as usize
    }

    fn take(&mut self) {
        for _ in 0..DEPTH {
            self.used().expect("all requests have come back");
        }
    }
}

/// The only ring of its memory.
pub(super) struct Alone {
    layout: Layout,
    ring: Box<dyn Ring>,
    ram: GuestRam,
}

impl Alone {
    pub(super) fn new(memory: &TestMemory, layout: Layout) -> Alone {
        let mut ring = ring(layout);
        ring.restart(memory.ram());
        // What the allocator must not hand out.
        memory.alloc(0, 0x10_000);
        Alone { layout, ring, ram: memory.ram().clone() }
    }
}

impl Front for Alone {
    fn areas(&self) -> (u64, u64, u64) {
        (DESCRIPTORS, DRIVER_AREA, DEVICE_AREA)
    }

    fn queue(&self) -> Virtqueue {
        queue(&self.ram, self.layout, Features::EVENT_IDX)
    }

    fn add(&mut self, table: u64, buffers: &[Buffer]) {
        self.ring.add(&self.ram, buffers, Some(table));
    }

    fn kick(&mut self, doorbell: &impl Fn()) {
        let store = self.ring.show();
        self.ram.write(store.address, &store.value.to_le_bytes()).expect("the ring");
        doorbell();
    }

    fn is_idle(&self) -> bool {
        self.ring.is_idle(&self.ram)
    }

    fn take(&mut self) {
        self.ring.ask(&self.ram);
    }
}

/// A driver, and its ring.
pub(super) struct Requests<D> {
    pub(super) driver: D,
    memory: TestMemory,
    places: Places,
    slots: Vec<Slot>,
    /// Whether data is looked at.
    checks: bool,
}

impl Requests<SplitDriver> {
    /// A driver of a new split ring in `memory`.
    pub(super) fn split(memory: &TestMemory, work: Work) -> Requests<SplitDriver> {
        let driver = SplitDriver::new(memory, SIZE, ring_features(Layout::Split));
        Requests::new(driver, memory, work, true)
    }
}

impl<D: Front> Requests<D> {
    /// A driver. `checks`: whether the disk has the content of [`file::make`](super::file::make).
    pub(super) fn new(driver: D, memory: &TestMemory, work: Work, checks: bool) -> Requests<D> {
        let slot = |_| Slot {
            header: memory.alloc(16, 64),
            data: memory.alloc(work.len.into(), 4096),
            status: memory.alloc(1, 64),
            table: memory.alloc(48, 64),
            place: 0,
        };
        let slots = (0..DEPTH).map(slot).collect();
        Requests { driver, memory: memory.clone(), places: Places::new(work), slots, checks }
    }

    /// Has `serve` do batches, and times each from the moment at which the device can see it: the driver rings if the device
    /// wants that. `serve` is called until all requests of the batch have come back, and told whether it is the first time.
    pub(super) fn time(&mut self, batches: u32, doorbell: impl Fn(), mut serve: impl FnMut(bool)) -> Vec<Duration> {
        (0..batches)
            .map(|_| {
                self.fill();
                let start = Instant::now();
                self.driver.kick(&doorbell);
                serve(true);
                while !self.driver.is_idle() {
                    serve(false);
                }
                let time = start.elapsed();
                self.check();
                time
            })
            .collect()
    }

    fn fill(&mut self) {
        let Work { kind, len, .. } = self.places.work;
        for slot in &mut self.slots {
            slot.place = self.places.next();
            let mut header = [0; 16];
            header[0] = u8::from(kind == Kind::Write);
            header[8..].copy_from_slice(&(slot.place / 512).to_le_bytes());
            self.memory.write(slot.header, &header);
            self.memory.write(slot.status, &[0xff]);
            // What the file has there all the time: whoever reads it finds its place.
            let content = if kind == Kind::Write { slot.place } else { u64::MAX };
            self.memory.write(slot.data, &content.to_le_bytes());
            let buffers = [
                Buffer::readable(slot.header, 16),
                Buffer { address: slot.data, len, writable: kind == Kind::Read },
                Buffer::writable(slot.status, 1),
            ];
            self.driver.add(slot.table, &buffers);
        }
    }

    fn check(&mut self) {
        self.driver.take();
        for slot in &self.slots {
            assert_eq!(self.memory.bytes(slot.status, 1), [0], "the status of a request");
            if self.checks {
                assert_eq!(self.memory.bytes(slot.data, 8), slot.place.to_le_bytes(), "its data");
            }
        }
    }
}
