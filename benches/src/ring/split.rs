//! The driver's side of the split layout (virtio 1.4, section 2.7).

use virtio_core::ring::wire::{INDIRECT, NEXT, WRITE};
use virtio_core::{Buffer, GuestRam};

use super::driver::{Ring, Store, descriptor, read, write};
use crate::queues::{DESCRIPTORS, DEVICE_AREA, DRIVER_AREA, SIZE};

/// The driver's side of a split ring.
#[derive(Default)]
pub(super) struct Split {
    /// Where the next chain's head goes in the available ring.
    available: u16,
    /// The next free descriptor.
    free: u16,
}

impl Split {
    fn write_chain(ram: &GuestRam, table: u64, first: u16, buffers: &[Buffer]) {
        for (slot, buffer) in (first..).zip(buffers) {
            let next = if usize::from(slot - first) + 1 < buffers.len() { NEXT } else { 0 };
            let write_flag = if buffer.writable { WRITE } else { 0 };
            let raw = descriptor(buffer.address, buffer.len, [next | write_flag, slot + 1]);
            write(ram, table + 16 * u64::from(slot), &raw);
        }
    }
}

impl Ring for Split {
    fn restart(&mut self, ram: &GuestRam) {
        *self = Split::default();
        for area in [DRIVER_AREA, DEVICE_AREA] {
            write(ram, area, &[0; 4]);
        }
    }

    fn ask(&mut self, ram: &GuestRam) {
        write(ram, DRIVER_AREA + 4 + 2 * u64::from(SIZE), &self.available.to_le_bytes());
    }

    fn add(&mut self, ram: &GuestRam, buffers: &[Buffer], table: Option<u64>) {
        let head = self.free % SIZE;
        match table {
            None => Split::write_chain(ram, DESCRIPTORS, head, buffers),
            Some(table) => {
                Split::write_chain(ram, table, 0, buffers);
                let raw = descriptor(table, 16 * buffers.len() as u32, [INDIRECT, 0]);
                write(ram, DESCRIPTORS + 16 * u64::from(head), &raw);
            }
        }
        self.free = self.free.wrapping_add(if table.is_some() { 1 } else { buffers.len() as u16 });
        write(ram, DRIVER_AREA + 4 + 2 * u64::from(self.available % SIZE), &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
    }

    fn show(&mut self) -> Store {
        Store { address: DRIVER_AREA + 2, value: self.available }
    }

    fn is_idle(&self, ram: &GuestRam) -> bool {
        read(ram, DEVICE_AREA + 2) == self.available
    }
}
