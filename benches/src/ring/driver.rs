//! The driver of a measurement: the same for both sides.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use virtio_core::{Buffer, GuestRam};
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory};

use super::packed::Packed;
use super::shape::{BUFFER, Placement, Shape, fold};
use super::split::Split;
use crate::contest::Run;
use crate::queues::{BATCH, Layout};

/// Where the indirect tables of a batch start.
const TABLES: u64 = 0x1_0000;
/// Where the buffers start in each region.
const BUFFERS: u64 = 0x10_0000;
const REGION: u64 = 16 << 20;
/// From the start of one region to that of the next: they are no neighbours.
const STRIDE: u64 = 2 * REGION;

/// Memory with a dirty log `B` of each region; `()` is none.
pub(super) type Memory<B> = GuestMemoryMmap<B>;

/// Memory of so many regions.
pub(super) fn map<B: vm_memory::bitmap::NewBitmap>(regions: u64) -> Memory<B> {
    let ranges: Vec<_> = (0..regions).map(|region| (GuestAddress(region * STRIDE), REGION as usize)).collect();
    GuestMemoryMmap::from_ranges(&ranges).expect("map guest memory")
}

/// The driver's side of a ring. Nothing of it is timed, but for the store that [`show`](Self::show) returns.
pub(crate) trait Ring {
    /// An empty ring.
    fn restart(&mut self, ram: &GuestRam);

    /// Asks for an interrupt when the next chain comes back.
    fn ask(&mut self, ram: &GuestRam);

    /// Adds a chain of these buffers, through a table at `table` if there is one. The device does not see it yet.
    fn add(&mut self, ram: &GuestRam, buffers: &[Buffer], table: Option<u64>);

    /// What makes the chains available that were added since the last call.
    fn show(&mut self) -> Store;

    /// Whether the device has given everything back.
    fn is_idle(&self, ram: &GuestRam) -> bool;
}

/// A value that the driver has to store, and where.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    pub(crate) address: u64,
    pub(crate) value: u16,
}

/// An empty ring.
pub(crate) fn ring(layout: Layout) -> Box<dyn Ring> {
    match layout {
        Layout::Split => Box::new(Split::default()),
        Layout::Packed => Box::new(Packed::default()),
    }
}

/// A driver, which fills in chains of one shape.
pub(super) struct Driver {
    shape: Shape,
    ram: GuestRam,
    ring: Box<dyn Ring>,
    /// State of the generator that places buffers.
    random: u64,
    /// The buffers of a chain, before they are added.
    chain: Vec<Buffer>,
    /// What the device should have folded.
    folded: u64,
}

impl Driver {
    pub(super) fn new(shape: Shape, layout: Layout, ram: GuestRam) -> Driver {
        Driver { shape, ram, ring: ring(layout), random: 1, chain: Vec::new(), folded: 0 }
    }

    /// An empty ring.
    pub(super) fn restart(&mut self) {
        self.ring.restart(&self.ram);
        self.folded = 0;
    }

    /// Has `device` serve batches, and times it: what each batch took in the mean of those
    /// that were filled in at once. A device returns the fold of the batch.
    pub(super) fn time<B: Bitmap>(&mut self, memory: &Memory<B>, batches: u32, mut device: impl FnMut() -> u64) -> Run {
        let rings = memory.get_slice(GuestAddress(0), TABLES as usize).expect("the ring");
        let word = |address: u64| rings.get_atomic_ref::<AtomicU16>(address as usize).expect("the ring");
        let mut times = Vec::with_capacity(batches as usize);
        let mut folded = 0u64;
        while times.len() < batches as usize {
            let left = batches as usize - times.len();
            let stores = self.refill(self.shape.batches_at_once().min(left));
            let at_once = stores.len();
            let start = Instant::now();
            for Store { address, value } in stores {
                word(address).store(value, Ordering::Release);
                folded = folded.wrapping_add(device());
            }
            times.extend(std::iter::repeat_n(start.elapsed() / at_once as u32, at_once));
        }
        assert!(self.ring.is_idle(&self.ram), "chains did not come back");
        assert_eq!(folded, self.folded, "the device saw other buffers");
        Run { times, round_trip: None }
    }

    /// Fills in the chains of these batches, and asks for an interrupt when the first comes back. The stores that make
    /// the batches available, one after the other.
    fn refill(&mut self, batches: usize) -> Vec<Store> {
        self.ring.ask(&self.ram);
        let fill = |batch| {
            (0..BATCH).for_each(|chain| self.add(batch as u64 * u64::from(BATCH) + u64::from(chain)));
            self.ring.show()
        };
        (0..batches).map(fill).collect()
    }

    /// Adds chain `slot` of those that are filled in at once.
    fn add(&mut self, slot: u64) {
        let buffers = u64::from(self.shape.buffers);
        self.chain.clear();
        for i in 0..buffers {
            let address = self.address(slot * buffers + i);
            let buffer = Buffer { address, len: BUFFER, writable: i > 0 };
            self.folded = fold(self.folded, address, BUFFER, buffer.writable);
            self.chain.push(buffer);
        }
        let table = self.shape.indirect.then_some(TABLES + slot * buffers * 16);
        self.ring.add(&self.ram, &self.chain, table);
    }

    /// Where buffer `number` is.
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
}

/// A descriptor: its last two words differ from layout to layout.
pub(super) fn descriptor(address: u64, len: u32, words: [u16; 2]) -> [u8; 16] {
    let value = u128::from(address) | u128::from(len) << 64 | u128::from(words[0]) << 96 | u128::from(words[1]) << 112;
    value.to_le_bytes()
}

/// Writes what the driver has to, where it has made room.
pub(super) fn write(ram: &GuestRam, address: u64, data: &[u8]) {
    ram.write(address, data).expect("the driver's own memory");
}

/// Reads a word of the ring.
pub(super) fn read(ram: &GuestRam, address: u64) -> u16 {
    let mut word = [0; 2];
    ram.read(address, &mut word).expect("the driver's own memory");
    u16::from_le_bytes(word)
}
