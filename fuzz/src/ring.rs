//! Where the fields of a ring are, and what a device may change of them.

use std::collections::BTreeSet;

use virtio_core::ring::wire::{AVAIL, INDIRECT, NEXT, USED, WRITE};
use virtio_core::{Features, QueueSetup};

use crate::memory::Memory;

/// As long as the device lets a table of a packed ring be, where the ring is not longer.
const LONGEST_TABLE: usize = 1024;

/// A ring as its driver knows it.
pub(crate) struct Ring {
    pub(crate) packed: bool,
    pub(crate) size: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
    event_idx: bool,
    pub(crate) indirect: bool,
    pub(crate) in_order: bool,
    /// Packed: the next descriptor to make available, and the wrap counter.
    next: u16,
    wrap: bool,
}

/// What a device did in one step, as far as it may show in the ring.
#[derive(Clone, Copy, Default)]
pub(crate) struct Deeds {
    /// Chains given back, those of earlier steps that have not been shown included.
    pub(crate) completed: usize,
    /// Whether it may have shown them.
    pub(crate) published: bool,
    /// Whether it may have said when it wants a doorbell.
    pub(crate) armed: bool,
}

/// A used element, and where it has to be.
pub(crate) struct Element {
    pub(crate) index: u16,
    /// Packed: the wrap counter there.
    pub(crate) wrap: bool,
    pub(crate) id: u16,
    pub(crate) len: u32,
}

impl Ring {
    pub(crate) fn new(setup: &QueueSetup, next: u16, wrap: bool) -> Ring {
        Ring {
            packed: setup.features.contains(Features::RING_PACKED),
            size: setup.size,
            descriptors: setup.descriptor_area,
            driver: setup.driver_area,
            device: setup.device_area,
            event_idx: setup.features.contains(Features::EVENT_IDX),
            indirect: setup.features.contains(Features::INDIRECT_DESC),
            in_order: setup.features.contains(Features::IN_ORDER),
            next,
            wrap,
        }
    }

    /// Makes a descriptor available: the head of a chain (split), or the next in the ring with these fields (packed).
    pub(crate) fn offer(&mut self, memory: &mut Memory, id: u16, address: u16, len: u16, flags: u8) {
        if self.packed {
            self.offer_packed(memory, id, address, len, u16::from(flags) & (NEXT | WRITE | INDIRECT));
        } else {
            let index = memory.u16(self.driver.wrapping_add(2));
            memory.drive(self.available_entry(index), &id.to_le_bytes());
            memory.drive(self.driver.wrapping_add(2), &index.wrapping_add(1).to_le_bytes());
        }
    }

    fn offer_packed(&mut self, memory: &mut Memory, id: u16, address: u16, len: u16, flags: u16) {
        let flags = flags | if self.wrap { AVAIL } else { USED };
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&address.to_le_bytes());
        bytes[8..10].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&id.to_le_bytes());
        bytes[14..].copy_from_slice(&flags.to_le_bytes());
        memory.drive(self.descriptors.wrapping_add(16 * u64::from(self.next)), &bytes);
        self.next = self.next.wrapping_add(1);
        if self.next >= self.size {
            (self.next, self.wrap) = (0, !self.wrap);
        }
    }

    pub(crate) fn descriptors(&self) -> u64 {
        self.descriptors
    }

    /// Split: where the entry of the available ring number `index` is.
    pub(crate) fn available_entry(&self, index: u16) -> u64 {
        self.driver.wrapping_add(4 + 2 * u64::from(index % self.size.max(1)))
    }

    /// Panics if `element` is not where it has to be.
    pub(crate) fn assert_element(&self, memory: &Memory, content: usize, Element { index, wrap, id, len }: Element) {
        let (low, high) = (len as u16, (len >> 16) as u16);
        let (at, expected) = if self.packed {
            let lap = if wrap { AVAIL | USED } else { 0 };
            let flags = lap | if len == 0 { 0 } else { WRITE };
            (self.descriptors.wrapping_add(16 * u64::from(index) + 8), [low, high, id, flags])
        } else {
            (self.device.wrapping_add(4 + 8 * u64::from(index % self.size)), [id, 0, low, high])
        };
        let there = [0, 2, 4, 6].map(|offset| memory.u16_in(content, at.wrapping_add(offset)));
        assert_eq!(there, expected, "the used element at {index}");
    }

    /// The most descriptors that one chain can have.
    pub(crate) fn longest_chain(&self) -> usize {
        let table = if self.packed && self.indirect { LONGEST_TABLE } else { 0 };
        usize::from(self.size).max(table)
    }

    /// Split: where the used index is.
    pub(crate) fn used_index(&self) -> u64 {
        self.device.wrapping_add(2)
    }

    /// Panics if the device may not have changed the bytes at these addresses.
    pub(crate) fn assert_changes(&self, changes: &[u64], deeds: Deeds) {
        let mut slots = BTreeSet::new();
        for address in changes {
            let is_field = self.is_field(address.wrapping_sub(self.device), deeds);
            let slot = self.slot(*address).filter(|_| !is_field);
            slots.extend(slot);
            let allowed = is_field || slot.is_some();
            assert!(allowed, "the device has written {address:#x}, which is not its own");
        }
        assert!(slots.len() <= deeds.completed, "{} used elements for {} chains", slots.len(), deeds.completed);
    }

    /// Whether a used element or descriptor is at `address`.
    pub(crate) fn is_staged_at(&self, address: u64) -> bool {
        self.slot(address).is_some()
    }

    /// Which used element or descriptor is at `address`.
    fn slot(&self, address: u64) -> Option<u64> {
        let (start, size) = if self.packed { (self.descriptors, 16) } else { (self.device.wrapping_add(4), 8) };
        let slot = address.wrapping_sub(start) / size;
        (slot < u64::from(self.size)).then_some(slot)
    }

    /// Whether the byte at `offset` of the device area belongs to a field that `deeds` may have changed.
    fn is_field(&self, offset: u64, deeds: Deeds) -> bool {
        let event = 4 + 8 * u64::from(self.size);
        match offset {
            // The whole event suppression structure.
            0..4 if self.packed => deeds.armed,
            // RING-EVT-09
            0..2 => deeds.armed && !self.event_idx,
            2..4 => deeds.published,
            _ => deeds.armed && self.event_idx && !self.packed && (event..event + 2).contains(&offset),
        }
    }
}
