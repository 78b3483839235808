//! The driver's side of a split ring.

use std::sync::atomic::{Ordering, fence};

use super::TestMemory;
use super::driver::{Batches, RingDriver, Used, Wish, writable};
use crate::event::Event;
use crate::features::Features;
use crate::memory::Buffer;
use crate::ring::{QueuePosition, QueueSetup};

/// The driver's side of a split ring in [`TestMemory`].
///
/// As a [`RingDriver`] it behaves as a driver must. The `set_` methods write what they are told, for tests of what a driver
/// must not do.
#[derive(Clone, Debug)]
pub struct SplitDriver {
    memory: TestMemory,
    size: u16,
    features: Features,
    descriptors: u64,
    available: u64,
    used: u64,
    doorbell: Event,
    free: Vec<u16>,
    /// The chain at each head.
    chains: Vec<Chain>,
    /// With IN_ORDER.
    batches: Batches,
    wish: Wish,
    /// The next entry of the available ring to fill.
    next_available: u16,
    /// The available index that was published.
    published: u16,
    /// The index that the device sees is further on than that by more than there is room for.
    broken: bool,
    /// The next entry of the used ring to read.
    next_used: u16,
}

/// A chain that the device may have.
#[derive(Clone, Debug, Default)]
struct Chain {
    descriptors: Vec<u16>,
    /// Bytes that the device may write.
    writable: u32,
}

impl SplitDriver {
    /// Descriptor flag: another follows.
    pub const NEXT: u16 = 1;
    /// Descriptor flag: for the device to write.
    pub const WRITE: u16 = 2;

    /// Descriptor flag: points at a table.
    pub const INDIRECT: u16 = 4;

    /// Goes on as if `index` chains had come and gone before. For a ring that has not been used yet.
    pub fn start_at(&mut self, index: u16) {
        (self.next_available, self.published, self.next_used) = (index, index, index);
        self.set_index(index);
        self.write_u16(self.used + 2, index);
    }

    fn offer(&mut self, descriptors: Vec<u16>, writable: u32) -> u16 {
        let head = descriptors[0];
        self.chains[usize::from(head)] = Chain { descriptors, writable };
        self.batches.offer(head);
        self.set_available(self.next_available, head);
        self.next_available = self.next_available.wrapping_add(1);
        head
    }

    fn show_index(&self) {
        let ahead = if self.broken { self.size + 1 } else { 0 };
        self.set_index(self.published.wrapping_add(ahead));
    }

    fn take(&mut self) -> Option<Used> {
        if self.next_used == self.used_index() {
            return None;
        }
        fence(Ordering::Acquire);
        let used = if self.features.contains(Features::IN_ORDER) {
            let mut batches = std::mem::take(&mut self.batches);
            let read = || self.used_element(self.next_used);
            let used = batches.take(read, |head| self.chains[usize::from(head)].writable);
            self.batches = batches;
            used
        } else {
            self.used_element(self.next_used)
        };
        self.next_used = self.next_used.wrapping_add(1);
        let chain = self.chains.get_mut(used.id as usize).map(std::mem::take).unwrap_or_default();
        self.free.extend(chain.descriptors.into_iter().rev());
        Some(used)
    }

    /// The used index as the device published it.
    pub fn used_index(&self) -> u16 {
        self.read_u16(self.used + 2)
    }

    /// The used ring's flags.
    pub fn used_flags(&self) -> u16 {
        self.read_u16(self.used)
    }

    /// The available index at which the device wants a doorbell.
    pub fn avail_event(&self) -> u16 {
        self.read_u16(self.used + 4 + 8 * u64::from(self.size))
    }

    /// The used element at `position`, whether published or not.
    pub fn used_element(&self, position: u16) -> Used {
        let address = self.used + 4 + 8 * u64::from(position % self.size);
        let mut bytes = [0; 8];
        self.memory.ram().read(address, &mut bytes).expect("the used ring");
        let [id, len] = [0, 4].map(|at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        Used { id, len }
    }

    /// Writes a descriptor of the table.
    pub fn set_descriptor(&self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        self.write_descriptor(self.descriptors + 16 * u64::from(index), address, len, flags, next);
    }

    /// Writes a descriptor at any address.
    pub fn write_descriptor(&self, at: u64, address: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        self.memory.ram().write(at, &bytes).expect("a descriptor's place");
    }

    /// Writes the entry of the available ring at `position`.
    pub fn set_available(&self, position: u16, head: u16) {
        self.write_u16(self.available + 4 + 2 * u64::from(position % self.size), head);
    }

    /// Writes the available index.
    pub fn set_index(&self, index: u16) {
        self.write_u16(self.available + 2, index);
    }

    /// Writes the available ring's flags.
    pub fn set_flags(&self, flags: u16) {
        self.write_u16(self.available, flags);
    }

    /// Writes the used index at which the driver wants an interrupt.
    pub fn set_used_event(&self, index: u16) {
        self.write_u16(self.available + 4 + 2 * u64::from(self.size), index);
    }

    fn read_u16(&self, address: u64) -> u16 {
        self.memory.load_u16(address)
    }

    fn write_u16(&self, address: u64, value: u16) {
        self.memory.store_u16(address, value);
    }
}

impl RingDriver for SplitDriver {
    const LAYOUT: Features = Features::NONE;

    fn new(memory: &TestMemory, size: u16, features: Features) -> SplitDriver {
        let n = u64::from(size);
        SplitDriver {
            descriptors: memory.alloc(16 * n, 16),
            available: memory.alloc(6 + 2 * n, 2),
            used: memory.alloc(6 + 8 * n, 4),
            memory: memory.clone(),
            size,
            features,
            doorbell: Event::new().expect("an event"),
            free: (0..size).rev().collect(),
            chains: vec![Chain::default(); usize::from(size)],
            batches: Batches::default(),
            wish: Wish::Always,
            next_available: 0,
            published: 0,
            broken: false,
            next_used: 0,
        }
    }

    fn start_after(&mut self, chains: u16) {
        self.start_at(chains);
    }

    fn setup(&self) -> QueueSetup {
        let mut setup = QueueSetup::new(self.memory.ram().clone(), self.doorbell.clone());
        setup.size = self.size;
        (setup.descriptor_area, setup.driver_area, setup.device_area) = self.areas();
        setup.features = self.features;
        setup
    }

    fn position(&self, decided: bool) -> QueuePosition {
        QueuePosition::Split { available: self.next_used, used: self.next_used, decided }
    }

    fn areas(&self) -> (u64, u64, u64) {
        (self.descriptors, self.available, self.used)
    }

    fn size(&self) -> u16 {
        self.size
    }

    fn free(&self) -> usize {
        self.free.len()
    }

    fn add(&mut self, buffers: &[Buffer]) -> Option<u16> {
        if buffers.is_empty() || buffers.len() > self.free.len() {
            return None;
        }
        let chain = self.free.split_off(self.free.len() - buffers.len());
        for (i, (index, buffer)) in chain.iter().zip(buffers).enumerate() {
            let (next, flag) = chain.get(i + 1).map_or((0, 0), |next| (*next, SplitDriver::NEXT));
            self.set_descriptor(*index, buffer.address, buffer.len, flags(buffer) | flag, next);
        }
        Some(self.offer(chain, writable(buffers)))
    }

    fn add_indirect(&mut self, buffers: &[Buffer]) -> Option<u16> {
        let table = self.memory.alloc(16 * buffers.len() as u64, 16);
        self.add_table(table, buffers)
    }

    fn add_table(&mut self, table: u64, buffers: &[Buffer]) -> Option<u16> {
        let index = *self.free.last()?;
        for (i, buffer) in (0u16..).zip(buffers) {
            let last = usize::from(i) + 1 == buffers.len();
            let flags = flags(buffer) | if last { 0 } else { SplitDriver::NEXT };
            self.write_descriptor(table + 16 * u64::from(i), buffer.address, buffer.len, flags, i + 1);
        }
        self.add_pointer(table, 16 * buffers.len() as u32);
        self.chains[usize::from(index)].writable = writable(buffers);
        Some(index)
    }

    fn add_pointer(&mut self, table: u64, len: u32) -> Option<u16> {
        let index = self.free.pop()?;
        self.set_descriptor(index, table, len, SplitDriver::INDIRECT, 0);
        Some(self.offer(vec![index], 0))
    }

    fn publish(&mut self) -> bool {
        let before = std::mem::replace(&mut self.published, self.next_available);
        fence(Ordering::Release);
        self.show_index();
        fence(Ordering::SeqCst);
        if self.features.contains(Features::EVENT_IDX) {
            let event = self.read_u16(self.used + 4 + 8 * u64::from(self.size));
            self.published.wrapping_sub(event).wrapping_sub(1) < self.published.wrapping_sub(before)
        } else {
            self.used_flags() & 1 == 0
        }
    }

    fn used(&mut self) -> Option<Used> {
        let used = self.take()?;
        if self.wish == Wish::Always {
            self.want(Wish::Always);
        }
        Some(used)
    }

    fn waiting(&self) -> usize {
        usize::from(self.used_index().wrapping_sub(self.next_used))
    }

    fn want(&mut self, wish: Wish) {
        self.wish = wish;
        if self.features.contains(Features::EVENT_IDX) {
            self.set_used_event(match wish {
                Wish::Always => self.next_used,
                // Where the index comes last.
                Wish::Never => self.next_used.wrapping_sub(1),
                Wish::After(elements) => self.next_used.wrapping_add(elements),
            });
        } else {
            self.set_flags(u16::from(wish == Wish::Never));
        }
        // The wish is visible before the driver looks whether something has come back meanwhile.
        fence(Ordering::SeqCst);
    }

    fn break_ring(&mut self) {
        self.broken = true;
        self.show_index();
    }
}

fn flags(buffer: &Buffer) -> u16 {
    if buffer.writable { SplitDriver::WRITE } else { 0 }
}
