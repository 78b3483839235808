//! The driver's side of the packed layout (virtio 1.4, section 2.8).

use virtio_core::ring::wire::{AVAIL, INDIRECT, NEXT, USED, WRITE};
use virtio_core::{Buffer, GuestRam};

use super::driver::{Ring, Store, descriptor, read, write};
use crate::queues::{DESCRIPTORS, DRIVER_AREA, SIZE};

/// Of a descriptor: where its flags are.
const FLAGS: u64 = 14;
/// The driver's event structure: an interrupt for one descriptor.
const EVENT_DESCRIPTOR: u16 = 2;

/// The driver's side of a packed ring.
pub(super) struct Packed {
    /// The next free descriptor.
    free: u16,
    /// Toggled when `free` passes the end of the ring.
    wrap: bool,
    /// The flags of the first descriptor since [`Ring::show`]: they are written last.
    first: Option<Store>,
    /// As `free` and `wrap`, where the last batch starts.
    last: (u16, bool),
}

impl Default for Packed {
    fn default() -> Packed {
        Packed { free: 0, wrap: true, first: None, last: (0, true) }
    }
}

impl Packed {
    /// Puts one descriptor into the ring.
    fn put(&mut self, ram: &GuestRam, address: u64, len: u32, id: u16, flags: u16) {
        let slot = DESCRIPTORS + 16 * u64::from(self.free);
        let flags = flags | if self.wrap { AVAIL } else { USED };
        let raw = descriptor(address, len, [id, flags]);
        if self.first.is_none() {
            self.first = Some(Store { address: slot + FLAGS, value: flags });
            self.last = (self.free, self.wrap);
            write(ram, slot, &raw[..FLAGS as usize]);
        } else {
            write(ram, slot, &raw);
        }
        self.free += 1;
        if self.free == SIZE {
            (self.free, self.wrap) = (0, !self.wrap);
        }
    }
}

impl Ring for Packed {
    fn restart(&mut self, ram: &GuestRam) {
        *self = Packed::default();
        write(ram, DESCRIPTORS, &[0; 16 * SIZE as usize]);
    }

    fn ask(&mut self, ram: &GuestRam) {
        let place = self.free | u16::from(self.wrap) << 15;
        let [low, high] = place.to_le_bytes();
        write(ram, DRIVER_AREA, &[low, high, EVENT_DESCRIPTOR as u8, 0]);
    }

    fn add(&mut self, ram: &GuestRam, buffers: &[Buffer], table: Option<u64>) {
        let id = self.free;
        let write_flag = |buffer: &Buffer| if buffer.writable { WRITE } else { 0 };
        if let Some(table) = table {
            for (slot, buffer) in (0..).zip(buffers) {
                let raw = descriptor(buffer.address, buffer.len, [0, write_flag(buffer)]);
                write(ram, table + 16 * slot, &raw);
            }
            self.put(ram, table, 16 * buffers.len() as u32, id, INDIRECT);
            return;
        }
        for (i, buffer) in buffers.iter().enumerate() {
            let next = if i + 1 < buffers.len() { NEXT } else { 0 };
            self.put(ram, buffer.address, buffer.len, id, next | write_flag(buffer));
        }
    }

    fn show(&mut self) -> Store {
        self.first.take().expect("a batch has chains")
    }

    fn is_idle(&self, ram: &GuestRam) -> bool {
        // In whatever order, the first descriptor of a batch is the first to be overwritten.
        let (slot, wrap) = self.last;
        let flags = read(ram, DESCRIPTORS + 16 * u64::from(slot) + FLAGS);
        (flags & AVAIL != 0, flags & USED != 0) == (wrap, wrap)
    }
}
