//! The driver's side of a packed ring between threads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use vm_memory::{VolatileMemory, VolatileSlice};

use crate::BUFFERS;
use crate::driver::Port;
use benches::queues::SIZE;
use benches::queues::{DESCRIPTORS, DRIVER_AREA};

/// The flags of a descriptor in its second word, and the place of its id.
const AVAILABLE: u64 = 1 << 55;
const USED: u64 = 1 << 63;
const ID: u32 = 32;

/// The driver's event structure: no interrupts.
const EVENTS_OFF: u32 = 1 << 16;

struct Slot<'m> {
    address: &'m AtomicU64,
    /// Length, id and flags.
    rest: &'m AtomicU64,
    buffer: &'m AtomicU64,
}

pub(crate) struct Packed<'m> {
    slots: [Slot<'m>; SIZE as usize],
    /// The next chain to add, and to take back; they wrap with the ring.
    next: Place,
    reaped: Place,
    free: u16,
    /// The first descriptor since [`Port::show`], whose flags are written last.
    first: Option<(u16, u64)>,
}

#[derive(Clone, Copy)]
struct Place {
    slot: u16,
    wrap: bool,
}

impl Place {
    #[inline(always)]
    fn advance(&mut self, by: u16) {
        self.slot += by;
        if self.slot >= SIZE {
            (self.slot, self.wrap) = (self.slot - SIZE, !self.wrap);
        }
    }
}

impl<'m> Packed<'m> {
    /// An empty ring.
    pub(crate) fn new(memory: &'m VolatileSlice<'m>) -> Packed<'m> {
        let events = memory.get_atomic_ref::<AtomicU32>(DRIVER_AREA as usize).expect("memory");
        events.store(EVENTS_OFF, Ordering::Relaxed);
        let long = |at: u64| memory.get_atomic_ref::<AtomicU64>(at as usize).expect("memory");
        let slot = |i: usize| {
            let i = i as u64;
            let rest = long(DESCRIPTORS + 16 * i + 8);
            rest.store(0, Ordering::Relaxed);
            Slot { address: long(DESCRIPTORS + 16 * i), rest, buffer: long(BUFFERS + 64 * i) }
        };
        let start = Place { slot: 0, wrap: true };
        Packed { slots: std::array::from_fn(slot), next: start, reaped: start, free: SIZE, first: None }
    }

    fn slot(&self, slot: u16) -> &Slot<'m> {
        &self.slots[usize::from(slot % SIZE)]
    }
}

impl Port for Packed<'_> {
    #[inline(always)]
    fn room(&self) -> u16 {
        self.free
    }

    #[inline(always)]
    fn add(&mut self, number: u64) {
        let Place { slot: id, wrap } = self.next;
        let slot = self.slot(id);
        slot.buffer.store(number, Ordering::Relaxed);
        slot.address.store(BUFFERS + 64 * u64::from(id), Ordering::Relaxed);
        let rest = 64 | u64::from(id) << ID | if wrap { AVAILABLE } else { USED };
        if self.first.is_some() {
            slot.rest.store(rest, Ordering::Relaxed);
        } else {
            self.first = Some((id, rest));
        }
        self.next.advance(1);
        self.free -= 1;
    }

    #[inline(always)]
    fn show(&mut self) {
        if let Some((slot, rest)) = self.first.take() {
            self.slot(slot).rest.store(rest, Ordering::Release);
        }
    }

    #[inline(always)]
    fn reap(&mut self) -> u16 {
        let mut count = 0;
        // Not beyond what was sent: behind that are the marks of the last lap.
        while self.free + count < SIZE {
            let Place { slot, wrap } = self.reaped;
            let rest = self.slot(slot).rest.load(Ordering::Acquire);
            if (rest & AVAILABLE != 0) != wrap || (rest & USED != 0) != wrap {
                break;
            }
            // With IN_ORDER one descriptor speaks for all up to the one that it names.
            let id = (rest >> ID) as u16;
            let chains = id.wrapping_sub(slot) % SIZE + 1;
            assert!(chains <= SIZE - self.free - count, "another chain came back");
            self.reaped.advance(chains);
            count += chains;
        }
        self.free += count;
        count
    }
}
