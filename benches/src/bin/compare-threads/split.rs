//! The driver's side of a split ring between threads.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use virtio_core::ring::wire::NO_INTERRUPT;
use vm_memory::{VolatileMemory, VolatileSlice};

use crate::BUFFERS;
use crate::driver::Port;
use benches::queues::SIZE;
use benches::queues::{DESCRIPTORS, DEVICE_AREA, DRIVER_AREA};

/// What has one number in a ring where all comes back in order.
struct Slot<'m> {
    address: &'m AtomicU64,
    /// Length, flags and next.
    rest: &'m AtomicU64,
    available: &'m AtomicU16,
    used: &'m AtomicU32,
    buffer: &'m AtomicU64,
}

pub(crate) struct Split<'m> {
    slots: [Slot<'m>; SIZE as usize],
    available_index: &'m AtomicU16,
    used_index: &'m AtomicU16,
    /// The next chain to add, and to take back.
    next: u16,
    reaped: u16,
}

impl<'m> Split<'m> {
    /// An empty ring.
    pub(crate) fn new(memory: &'m VolatileSlice<'m>) -> Split<'m> {
        let half = |at: u64| memory.get_atomic_ref::<AtomicU16>(at as usize).expect("memory");
        let word = |at: u64| memory.get_atomic_ref::<AtomicU32>(at as usize).expect("memory");
        let long = |at: u64| memory.get_atomic_ref::<AtomicU64>(at as usize).expect("memory");
        half(DRIVER_AREA).store(NO_INTERRUPT, Ordering::Relaxed);
        let slot = |i: usize| {
            let i = i as u64;
            Slot {
                address: long(DESCRIPTORS + 16 * i),
                rest: long(DESCRIPTORS + 16 * i + 8),
                available: half(DRIVER_AREA + 4 + 2 * i),
                used: word(DEVICE_AREA + 4 + 8 * i),
                buffer: long(BUFFERS + 64 * i),
            }
        };
        let (available_index, used_index) = (half(DRIVER_AREA + 2), half(DEVICE_AREA + 2));
        available_index.store(0, Ordering::Relaxed);
        used_index.store(0, Ordering::Relaxed);
        Split { slots: std::array::from_fn(slot), available_index, used_index, next: 0, reaped: 0 }
    }
}

impl Port for Split<'_> {
    #[inline(always)]
    fn room(&self) -> u16 {
        SIZE - self.next.wrapping_sub(self.reaped)
    }

    #[inline(always)]
    fn add(&mut self, number: u64) {
        let head = self.next % SIZE;
        let slot = &self.slots[usize::from(head)];
        slot.buffer.store(number, Ordering::Relaxed);
        slot.address.store(BUFFERS + 64 * u64::from(head), Ordering::Relaxed);
        slot.rest.store(64, Ordering::Relaxed);
        slot.available.store(head, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    #[inline(always)]
    fn show(&mut self) {
        self.available_index.store(self.next, Ordering::Release);
    }

    #[inline(always)]
    fn reap(&mut self) -> u16 {
        let used = self.used_index.load(Ordering::Acquire);
        let count = used.wrapping_sub(self.reaped);
        for _ in 0..count {
            let head = self.reaped % SIZE;
            let id = self.slots[usize::from(head)].used.load(Ordering::Relaxed);
            assert_eq!(id, u32::from(head), "another chain came back");
            self.reaped = self.reaped.wrapping_add(1);
        }
        count
    }
}
