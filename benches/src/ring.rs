//! The split virtqueue against `virtio_queue::Queue`.
//!
//! A ring of 256 with event indexes. The driver fills in as many chains as fit, up to eight batches of 32, outside of
//! the time. Within it, for each batch, the driver moves the available index on by 32 (one store, on either side), and
//! the device takes these chains, completes each with a length, publishes, and decides on the interrupt. Both devices
//! serve the same driver in the same memory, one after the other.
//!
//! - **Ours** pops (which walks the chain, checks it, and resolves every buffer), completes, and publishes once per
//!   batch.
//! - **The baseline** calls `pop_descriptor_chain` with a plain reference to memory, looks at each descriptor, calls
//!   `add_used` per chain (it has no publish of its own) and `needs_notification` per batch. It does not look at the
//!   memory behind a descriptor, as a device would have to: the cases named `resolved` add that.

use std::hint::black_box;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use virtio_core::{Event, Features, GuestRam, QueueSetup, Virtqueue};
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory};

use crate::contest::{Case, Contest};

/// Descriptors in the ring.
const SIZE: u16 = 256;
/// Chains in a batch.
const BATCH: u16 = 32;
/// Bytes of a buffer.
const BUFFER: u32 = 1024;

const DESCRIPTORS: u64 = 0x1000;
const AVAILABLE: u64 = 0x3000;
const USED: u64 = 0x4000;
/// Where the indirect tables of a batch start.
const TABLES: u64 = 0x1_0000;
/// Where the buffers start in each region.
const BUFFERS: u64 = 0x10_0000;
const REGION: u64 = 16 << 20;
/// From the start of one region to that of the next: they are no neighbours.
const STRIDE: u64 = 2 * REGION;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// What a batch consists of.
#[derive(Clone, Copy)]
struct Shape {
    /// Buffers of a chain: the first is for the device to read, the others to write.
    buffers: u16,
    indirect: bool,
    /// Regions that memory has.
    regions: u64,
    placement: Placement,
    /// Whether the baseline looks up the memory behind each descriptor.
    resolved: bool,
}

#[derive(Clone, Copy)]
enum Placement {
    /// All buffers are in the last region.
    Local,
    /// Each buffer is in any region.
    Random,
}

/// The cases of this area.
pub fn cases() -> Vec<Case> {
    let direct = |buffers| Shape { buffers, indirect: false, regions: 1, placement: Placement::Local, resolved: false };
    let indirect = |buffers| Shape { indirect: true, ..direct(buffers) };
    let resolved = |shape| Shape { resolved: true, ..shape };
    let regions = |placement| Shape { regions: 64, placement, ..direct(1) };
    [
        ("split/1", direct(1)),
        ("split/1/resolved", resolved(direct(1))),
        ("split/4", direct(4)),
        ("split/4/resolved", resolved(direct(4))),
        ("split/indirect-4", indirect(4)),
        ("split/indirect-4/resolved", resolved(indirect(4))),
        ("split/indirect-19", indirect(19)),
        ("split/indirect-128", indirect(128)),
        ("split/1/regions-64-local", regions(Placement::Local)),
        ("split/1/regions-64-random", regions(Placement::Random)),
    ]
    .into_iter()
    .map(|(name, shape)| Case {
        name,
        batches: 8192 / u32::from(shape.buffers),
        chains: u32::from(BATCH),
        contest: Box::new(move || Box::new(Driver::new(shape))),
    })
    .collect()
}

/// The driver, and the memory that it shares with both devices.
struct Driver {
    shape: Shape,
    memory: GuestMemoryMmap<()>,
    ram: GuestRam,
    /// The available index.
    next: u16,
    /// State of the generator that places buffers.
    random: u64,
    /// The descriptors of a chain, before they are written.
    chain: Vec<Descriptor>,
}

impl Driver {
    fn new(shape: Shape) -> Driver {
        let regions: Vec<_> =
            (0..shape.regions).map(|region| (GuestAddress(region * STRIDE), REGION as usize)).collect();
        let memory = GuestMemoryMmap::from_ranges(&regions).expect("map guest memory");
        let ram = GuestRam::from_vm_memory(&memory).expect("regions that do not overlap");
        Driver { shape, memory, ram, next: 0, random: 1, chain: Vec::new() }
    }

    /// An empty ring.
    fn restart(&mut self) {
        self.next = 0;
        for area in [AVAILABLE, USED] {
            self.write(area, 0u32);
        }
    }

    /// Batches that fit into the ring, at most eight, and whose tables fit into a processor's nearest cache.
    fn batches_at_once(&self) -> u16 {
        let direct = SIZE / (self.shape.buffers * BATCH).min(SIZE);
        let indirect = (1024 / (self.shape.buffers * BATCH)).clamp(1, SIZE / BATCH);
        if self.shape.indirect { indirect } else { direct }
    }

    /// Fills in the chains of these batches, and asks for an interrupt when the first comes back.
    fn refill(&mut self, batches: u16) {
        self.write(AVAILABLE + 4 + 2 * u64::from(SIZE), self.next);
        for slot in 0..batches * BATCH {
            let position = self.next.wrapping_add(slot);
            let head = self.place(slot, position);
            self.write(AVAILABLE + 4 + 2 * u64::from(position % SIZE), head);
        }
    }

    /// Writes the descriptors of the chain at `position`, number `slot` of its batch; its head.
    fn place(&mut self, slot: u16, position: u16) -> u16 {
        let buffers = self.shape.buffers;
        let head = if self.shape.indirect { position } else { position.wrapping_mul(buffers) } % SIZE;
        let first = if self.shape.indirect { 0 } else { head };
        self.chain.clear();
        for i in 0..buffers {
            let address = self.address(u64::from(slot) * u64::from(buffers) + u64::from(i));
            let next = if i + 1 < buffers { NEXT } else { 0 };
            let write = if i > 0 { WRITE } else { 0 };
            self.chain.push(Descriptor::new(address, BUFFER, next | write, first + i + 1));
        }
        if self.shape.indirect {
            let len = 16 * u32::from(buffers);
            let table = TABLES + u64::from(slot) * u64::from(len);
            self.write_chain(table);
            self.chain = vec![Descriptor::new(table, len, INDIRECT, 0)];
        }
        self.write_chain(DESCRIPTORS + 16 * u64::from(head));
        head
    }

    /// Where buffer `number` of a batch is.
    fn address(&mut self, number: u64) -> u64 {
        let region = match self.shape.placement {
            Placement::Local => self.shape.regions - 1,
            Placement::Random => {
                self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (self.random >> 32) % self.shape.regions
            }
        };
        region * STRIDE + BUFFERS + number * u64::from(BUFFER)
    }

    /// Has `device` serve batches, and times it: what each batch took in the mean of those that were filled in at once.
    fn time(&mut self, batches: u32, mut device: impl FnMut(&GuestMemoryMmap<()>)) -> Vec<Duration> {
        let memory = self.memory.clone();
        let index = memory.get_slice(GuestAddress(AVAILABLE + 2), 2).expect("the ring");
        let index = index.get_ref::<u16>(0).expect("the index");
        let mut times = Vec::with_capacity(batches as usize);
        while times.len() < batches as usize {
            let left = batches as usize - times.len();
            let at_once = self.batches_at_once().min(u16::try_from(left).unwrap_or(u16::MAX));
            self.refill(at_once);
            let start = Instant::now();
            for _ in 0..at_once {
                self.next = self.next.wrapping_add(BATCH);
                fence(Ordering::Release);
                index.store(self.next);
                device(&memory);
            }
            times.extend(std::iter::repeat_n(start.elapsed() / at_once.into(), at_once.into()));
        }
        let used: u16 = self.memory.read_obj(GuestAddress(USED + 2)).expect("the ring");
        assert_eq!(used, self.next, "chains did not come back");
        times
    }

    fn write(&self, address: u64, value: impl vm_memory::ByteValued) {
        self.memory.write_obj(value, GuestAddress(address)).expect("the ring");
    }

    fn write_chain(&self, address: u64) {
        let place = self.memory.get_slice(GuestAddress(address), 16 * self.chain.len()).expect("the descriptors");
        let raw: Vec<_> = self.chain.iter().map(|descriptor| RawDescriptor::from(*descriptor)).collect();
        place.copy_from(&raw);
    }
}

impl Contest for Driver {
    fn ours(&mut self, batches: u32) -> Vec<Duration> {
        self.restart();
        let mut setup = QueueSetup::new(self.ram.clone(), Event::new().expect("an event"));
        setup.size = SIZE;
        (setup.descriptor_area, setup.driver_area, setup.device_area) = (DESCRIPTORS, AVAILABLE, USED);
        setup.features = Features::EVENT_IDX | Features::INDIRECT_DESC;
        let mut queue = Virtqueue::new(setup).expect("a valid ring");
        let times = self.time(batches, |_| serve(&mut queue));
        assert_eq!(queue.fault(), None);
        times
    }

    fn baseline(&mut self, batches: u32) -> Vec<Duration> {
        self.restart();
        let mut queue = Queue::new(SIZE).expect("a valid size");
        queue.set_size(SIZE);
        queue.set_desc_table_address(Some(DESCRIPTORS as u32), None);
        queue.set_avail_ring_address(Some(AVAILABLE as u32), None);
        queue.set_used_ring_address(Some(USED as u32), None);
        queue.set_event_idx(true);
        queue.set_ready(true);
        let serve = if self.shape.resolved { serve_baseline::<true> } else { serve_baseline::<false> };
        self.time(batches, |memory| serve(&mut queue, memory))
    }
}

/// One batch of ours.
#[inline(never)]
fn serve(queue: &mut Virtqueue) {
    while let Some(chain) = queue.pop() {
        black_box(&chain);
        chain.complete(BUFFER);
    }
    queue.publish();
}

/// One batch of the baseline's.
#[inline(never)]
fn serve_baseline<const RESOLVED: bool>(queue: &mut Queue, memory: &GuestMemoryMmap<()>) {
    while let Some(chain) = queue.pop_descriptor_chain(memory) {
        let head = chain.head_index();
        for descriptor in chain {
            black_box(&descriptor);
            if RESOLVED {
                black_box(memory.get_slice(descriptor.addr(), descriptor.len() as usize).is_ok());
            }
        }
        queue.add_used(memory, head, BUFFER).expect("the used ring");
    }
    black_box(queue.needs_notification(memory).expect("the rings"));
}
