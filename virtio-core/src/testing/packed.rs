//! The driver's side of a packed ring.

use std::sync::atomic::{Ordering, fence};

use super::TestMemory;
use super::driver::{Batches, RingDriver, Used, Wish, writable};
use crate::event::Event;
use crate::features::Features;
use crate::memory::Buffer;
use crate::ring::{QueuePosition, QueueSetup};

/// The driver's side of a packed ring in [`TestMemory`].
///
/// As a [`RingDriver`] it behaves as a driver must. The `set_` methods write what they are told, for tests of what a driver
/// must not do.
///
/// Ids are handed out in an order that is not that of the slots. All descriptors of a list but the last carry an id
/// that means nothing.
#[derive(Clone, Debug)]
pub struct PackedDriver {
    memory: TestMemory,
    size: u16,
    features: Features,
    ring: u64,
    driver_event: u64,
    device_event: u64,
    doorbell: Event,
    free: usize,
    free_ids: Vec<u16>,
    /// The chain of each id.
    chains: Vec<Chain>,
    /// With IN_ORDER.
    batches: Batches,
    wish: Wish,
    /// Where the next descriptor goes.
    next: Position,
    /// The flags of first descriptors, which make lists available: slot and value.
    unpublished: Vec<(u16, u16)>,
    /// Slots filled since the last time that the device was shown any.
    filled: u16,
    /// Where the next used descriptor will be.
    next_used: Position,
}

/// A chain that the device may have.
#[derive(Clone, Debug, Default)]
struct Chain {
    slots: u16,
    /// Bytes that the device may write.
    writable: u32,
}

/// A slot, and the wrap counter there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    slot: u16,
    wrap: bool,
}

impl Position {
    fn on(self, slots: u16, size: u16) -> Position {
        let slot = u32::from(self.slot) + u32::from(slots);
        let size = u32::from(size);
        Position { slot: (slot % size) as u16, wrap: self.wrap ^ (slot / size % 2 == 1) }
    }

    /// As in the event areas.
    fn word(self) -> u16 {
        self.slot | u16::from(self.wrap) << 15
    }
}

impl PackedDriver {
    /// Descriptor flag: another follows.
    pub const NEXT: u16 = 1;
    /// Descriptor flag: for the device to write; in a used descriptor: it has written.
    pub const WRITE: u16 = 2;

    /// Descriptor flag: points at a table.
    pub const INDIRECT: u16 = 4;
    /// Descriptor flag: available, if it is as the wrap counter and USED is not.
    pub const AVAIL: u16 = 1 << 7;

    /// Descriptor flag: used, if it is as the wrap counter and AVAIL is too.
    pub const USED: u16 = 1 << 15;

    /// Goes on at `slot` with this wrap counter, as if all before it had come and gone. For a ring that has not been
    /// used yet.
    pub fn start_at(&mut self, slot: u16, wrap: bool) {
        self.next = Position { slot, wrap };
        self.next_used = self.next;
        for at in 0..self.size {
            let used_in = if at < slot { wrap } else { !wrap };
            self.set_flags(at, if used_in { PackedDriver::AVAIL | PackedDriver::USED } else { 0 });
        }
    }

    /// Where the next descriptor goes: slot and wrap counter.
    pub fn next(&self) -> (u16, bool) {
        (self.next.slot, self.next.wrap)
    }

    /// Where the next used descriptor will be: slot and wrap counter.
    pub fn next_used(&self) -> (u16, bool) {
        (self.next_used.slot, self.next_used.wrap)
    }

    /// Fills the next slot for a list that begins at `first`, whose own flags are for [`publish`](RingDriver::publish) to
    /// write.
    fn fill(&mut self, first: Position, address: u64, len: u32, id: u16, flags: u16) {
        let Position { slot, wrap } = self.next;
        let flags = flags | PackedDriver::available(wrap);
        if self.next == first {
            self.write_element(self.slot(slot), address, len, id);
            self.unpublished.push((slot, flags));
        } else {
            self.set_descriptor(slot, address, len, id, flags);
        }
        self.next = self.next.on(1, self.size);
        self.filled += 1;
    }

    fn offer(&mut self, id: u16, slots: u16, writable: u32) -> u16 {
        self.free -= usize::from(slots);
        self.chains[usize::from(id)] = Chain { slots, writable };
        self.batches.offer(id);
        id
    }

    /// The flags that make a descriptor available where the wrap counter is `wrap`.
    pub fn available(wrap: bool) -> u16 {
        if wrap { PackedDriver::AVAIL } else { PackedDriver::USED }
    }

    /// Whether the descriptor at `event` is one of the last `filled`.
    fn passes(&self, event: u16, wrap: bool, filled: u16) -> bool {
        let Position { slot: now, wrap: counter } = self.next;
        let lap = if wrap == counter { 0 } else { self.size };
        let event = event.wrapping_sub(lap);
        now.wrapping_sub(event).wrapping_sub(1) < filled
    }

    fn take(&mut self) -> Option<Used> {
        let slot = self.next_used.slot;
        if !self.batches.goes_on() && !self.is_used(self.next_used) {
            return None;
        }
        let used = if self.features.contains(Features::IN_ORDER) {
            let mut batches = std::mem::take(&mut self.batches);
            let used = batches.take(|| self.used_element(slot), |id| self.chains[usize::from(id)].writable);
            self.batches = batches;
            used
        } else {
            self.used_element(slot)
        };
        let chain = self.chains.get_mut(used.id as usize).map(std::mem::take).unwrap_or_default();
        if chain.slots != 0 {
            self.free += usize::from(chain.slots);
            self.free_ids.push(used.id as u16);
        }
        // An id that is not out has no slots; so as not to stand still, the driver takes it for one.
        self.next_used = self.next_used.on(chain.slots.max(1), self.size);
        Some(used)
    }

    /// Whether the device has marked the descriptor at `position` used.
    fn is_used(&self, position: Position) -> bool {
        let flags = self.flags(position.slot);
        let [available, used] = [PackedDriver::AVAIL, PackedDriver::USED].map(|flag| flags & flag != 0);
        self.free != usize::from(self.size) && (available, used) == (position.wrap, position.wrap)
    }

    /// The used descriptor in a slot, whatever its flags say but for WRITE.
    pub fn used_element(&self, slot: u16) -> Used {
        let (_, len, id, flags) = self.descriptor(slot);
        // Without WRITE the length means nothing.
        Used { id: id.into(), len: if flags & PackedDriver::WRITE != 0 { len } else { 0 } }
    }

    fn want_at(&self, ahead: u16) {
        let Position { slot, wrap } = self.next_used.on(ahead, self.size);
        self.set_driver_event(slot, wrap, 2);
    }

    /// Address, length, id and flags of the descriptor in a slot.
    pub fn descriptor(&self, slot: u16) -> (u64, u32, u16, u16) {
        let flags = self.flags(slot);
        let at = self.slot(slot);
        let bytes = self.memory.bytes(at, 14);
        let address = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        let len = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
        (address, len, u16::from_le_bytes([bytes[12], bytes[13]]), flags)
    }

    /// The flags of the descriptor in a slot.
    pub fn flags(&self, slot: u16) -> u16 {
        self.memory.load_u16(self.slot(slot) + 14)
    }

    /// The device's event area: offset, wrap counter and flags, with the reserved bits.
    pub fn device_event(&self) -> (u16, bool, u16) {
        let word = self.memory.load_u32(self.device_event);
        (word as u16 & 0x7fff, word & 0x8000 != 0, (word >> 16) as u16)
    }

    /// Writes the driver's event area: offset, wrap counter and flags.
    pub fn set_driver_event(&self, offset: u16, wrap: bool, flags: u16) {
        let position = Position { slot: offset, wrap };
        self.memory.store_u32(self.driver_event, u32::from(position.word()) | u32::from(flags) << 16);
    }

    /// Writes the descriptor in a slot, its flags last.
    pub fn set_descriptor(&self, slot: u16, address: u64, len: u32, id: u16, flags: u16) {
        self.write_element(self.slot(slot), address, len, id);
        self.set_flags(slot, flags);
    }

    /// Writes the flags of the descriptor in a slot.
    pub fn set_flags(&self, slot: u16, flags: u16) {
        self.memory.store_u16(self.slot(slot) + 14, flags);
    }

    /// Writes a descriptor at any address.
    pub fn write_descriptor(&self, at: u64, address: u64, len: u32, id: u16, flags: u16) {
        self.write_element(at, address, len, id);
        self.memory.write(at + 14, &flags.to_le_bytes());
    }

    fn write_element(&self, at: u64, address: u64, len: u32, id: u16) {
        let mut bytes = [0; 14];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..].copy_from_slice(&id.to_le_bytes());
        self.memory.write(at, &bytes);
    }

    fn slot(&self, slot: u16) -> u64 {
        self.ring + 16 * u64::from(slot)
    }
}

impl RingDriver for PackedDriver {
    const LAYOUT: Features = Features::RING_PACKED;

    fn new(memory: &TestMemory, size: u16, features: Features) -> PackedDriver {
        let start = Position { slot: 0, wrap: true };
        PackedDriver {
            ring: memory.alloc(16 * u64::from(size), 16),
            driver_event: memory.alloc(4, 4),
            device_event: memory.alloc(4, 4),
            memory: memory.clone(),
            size,
            features: features | Features::RING_PACKED,
            doorbell: Event::new().expect("an event"),
            free: size.into(),
            // The last one is handed out first: the odd ones from above, then the even ones.
            free_ids: (0..size).filter(|id| id % 2 == 0).chain((0..size).filter(|id| id % 2 == 1)).collect(),
            chains: vec![Chain::default(); usize::from(size)],
            batches: Batches::default(),
            wish: Wish::Always,
            next: start,
            unpublished: Vec::new(),
            filled: 0,
            next_used: start,
        }
    }

    fn start_after(&mut self, chains: u16) {
        self.start_at(chains % self.size, (chains / self.size).is_multiple_of(2));
    }

    fn setup(&self) -> QueueSetup {
        let mut setup = QueueSetup::new(self.memory.ram().clone(), self.doorbell.clone());
        setup.size = self.size;
        (setup.descriptor_area, setup.driver_area, setup.device_area) = self.areas();
        setup.features = self.features;
        setup
    }

    fn position(&self, decided: bool) -> QueuePosition {
        let Position { slot, wrap } = self.next_used;
        QueuePosition::Packed { available: slot, available_wrap: wrap, used: slot, used_wrap: wrap, decided }
    }

    fn areas(&self) -> (u64, u64, u64) {
        (self.ring, self.driver_event, self.device_event)
    }

    fn size(&self) -> u16 {
        self.size
    }

    fn free(&self) -> usize {
        self.free
    }

    fn add(&mut self, buffers: &[Buffer]) -> Option<u16> {
        if buffers.is_empty() || buffers.len() > self.free {
            return None;
        }
        let id = self.free_ids.pop()?;
        let (first, last) = (self.next, buffers.len() - 1);
        for (i, buffer) in buffers.iter().enumerate() {
            let (id, flag) = if i == last { (id, 0) } else { (!id, PackedDriver::NEXT) };
            self.fill(first, buffer.address, buffer.len, id, flags(buffer) | flag);
        }
        Some(self.offer(id, buffers.len() as u16, writable(buffers)))
    }

    fn add_indirect(&mut self, buffers: &[Buffer]) -> Option<u16> {
        let table = self.memory.alloc(16 * buffers.len() as u64, 16);
        self.add_table(table, buffers)
    }

    fn add_table(&mut self, table: u64, buffers: &[Buffer]) -> Option<u16> {
        if self.free == 0 {
            return None;
        }
        for (i, buffer) in (0u64..).zip(buffers) {
            self.write_descriptor(table + 16 * i, buffer.address, buffer.len, 0, flags(buffer));
        }
        let id = self.add_pointer(table, 16 * buffers.len() as u32)?;
        self.chains[usize::from(id)].writable = writable(buffers);
        Some(id)
    }

    fn add_pointer(&mut self, table: u64, len: u32) -> Option<u16> {
        if self.free == 0 {
            return None;
        }
        let id = self.free_ids.pop()?;
        self.fill(self.next, table, len, id, PackedDriver::INDIRECT);
        Some(self.offer(id, 1, 0))
    }

    fn publish(&mut self) -> bool {
        // The rest of the lists, and the buffers they speak of, are written before the flags of the first descriptors.
        fence(Ordering::Release);
        for (slot, flags) in std::mem::take(&mut self.unpublished).into_iter().rev() {
            self.set_flags(slot, flags);
        }
        // The flags are visible before the device's wish is read.
        fence(Ordering::SeqCst);
        let filled = std::mem::take(&mut self.filled);
        match self.device_event() {
            (event, wrap, 2) if self.features.contains(Features::EVENT_IDX) => self.passes(event, wrap, filled),
            (_, _, 1) => false,
            _ => true,
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
        let mut driver = self.clone();
        std::iter::from_fn(|| driver.take()).count()
    }

    fn want(&mut self, wish: Wish) {
        self.wish = wish;
        match wish {
            Wish::Never => self.set_driver_event(0, false, 1),
            _ if !self.features.contains(Features::EVENT_IDX) => self.set_driver_event(0, false, 0),
            Wish::Always => self.want_at(0),
            Wish::After(slots) => self.want_at(slots),
        }
        // The wish is visible before the driver looks whether something has come back meanwhile.
        fence(Ordering::SeqCst);
    }

    fn break_ring(&mut self) {
        let Position { slot, wrap } = self.next;
        // Flags of zero are available nowhere.
        self.set_flags(self.next.on(1, self.size).slot, 0);
        self.set_descriptor(slot, 0x2000, 4, 0, PackedDriver::NEXT | PackedDriver::available(wrap));
        // Those two never come back, so that nothing is ever written over them.
        self.next = self.next.on(2, self.size);
        self.free = self.free.saturating_sub(2);
        self.filled += 2;
    }
}

fn flags(buffer: &Buffer) -> u16 {
    if buffer.writable { PackedDriver::WRITE } else { 0 }
}
