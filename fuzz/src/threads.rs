//! A driver and a device on two threads, on one ring: for ThreadSanitizer, which has to find every access to a buffer
//! ordered by the accesses to the ring.
//!
//! ThreadSanitizer knows nothing of fences, so the driver's side here orders by the atomic accesses alone, and neither
//! side waits for a notification.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

use virtio_core::ring::wire::{AVAIL, NEXT, USED, WRITE};
use virtio_core::{Event, Features, QueueSetup, Virtqueue};

use crate::sys::SharedMemory;

const SIZE: u16 = 8;
const DESCRIPTORS: u64 = 0;
const DRIVER: u64 = 0x100;
const DEVICE: u64 = 0x200;
/// Each chain has a buffer to read and one to write, of `LEN` bytes.
const BUFFERS: u64 = 0x400;
const LEN: u16 = 24;

/// Has `chains` chains go back and forth, a few at a time; each is answered with what it said, one added to each byte.
///
/// Panics if an answer is wrong.
pub fn two_threads(packed: bool, chains: u32) {
    let memory = SharedMemory::new(0x1000);
    let features = if packed { Features::RING_PACKED } else { Features::NONE };
    let mut setup = QueueSetup::new(memory.ram(), Event::new().expect("an event"));
    (setup.size, setup.features) = (SIZE, Features::VERSION_1 | features);
    (setup.descriptor_area, setup.driver_area, setup.device_area) = (DESCRIPTORS, DRIVER, DEVICE);
    let queue = Virtqueue::new(setup).expect("a good ring");
    let device = thread::spawn(move || serve(queue, chains));
    let driver = Driver { memory, packed };
    let (mut offered, mut reaped) = (0, 0);
    while reaped < chains {
        while offered < chains && offered - reaped < Driver::MOST {
            driver.offer(offered);
            offered += 1;
        }
        while driver.has_used(reaped) {
            driver.check(reaped);
            reaped += 1;
        }
        thread::yield_now();
    }
    device.join().expect("a device that does not panic");
}

fn serve(mut queue: Virtqueue, chains: u32) {
    let mut served = 0;
    while served < chains {
        while let Some(chain) = queue.pop() {
            let mut bytes = chain.reader().read_array::<{ LEN as usize }>().expect("a buffer to read");
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            chain.writer().write(&bytes).expect("a buffer to write");
            chain.complete(LEN.into());
            served += 1;
        }
        queue.publish();
        if queue.arm() {
            continue;
        }
        assert_eq!(queue.fault(), None);
        thread::yield_now();
    }
}

/// A driver with so many chains that each has two descriptors of its own.
struct Driver {
    memory: Arc<SharedMemory>,
    packed: bool,
}

impl Driver {
    const MOST: u32 = SIZE as u32 / 2;

    /// The place of a chain, and whether the ring has been gone through an even number of times before.
    fn place(number: u32) -> (u16, bool) {
        ((number % Driver::MOST) as u16, (number / Driver::MOST).is_multiple_of(2))
    }

    fn buffers(place: u16) -> [u64; 2] {
        [0, 1].map(|i| BUFFERS + 64 * u64::from(2 * place + i))
    }

    fn descriptor(&self, slot: u16, address: u64, [third, fourth]: [u16; 2]) {
        let at = DESCRIPTORS + 16 * u64::from(slot);
        self.memory.store_u64(at, address, Relaxed);
        // Packed: this makes the descriptor available.
        let rest = u64::from(LEN) | u64::from(third) << 32 | u64::from(fourth) << 48;
        self.memory.store_u64(at + 8, rest, Release);
    }

    fn offer(&self, number: u32) {
        let (place, even) = Driver::place(number);
        let [first, second] = Driver::buffers(place);
        self.memory.write(first, &[number as u8; LEN as usize]);
        self.memory.write(second, &[0; LEN as usize]);
        let slot = 2 * place;
        if self.packed {
            let lap = if even { AVAIL } else { USED };
            self.descriptor(slot + 1, second, [place, WRITE | lap]);
            self.descriptor(slot, first, [place, NEXT | lap]);
        } else {
            self.descriptor(slot, first, [NEXT, slot + 1]);
            self.descriptor(slot + 1, second, [WRITE, 0]);
            self.memory.store_u16(DRIVER + 4 + 2 * u64::from(number as u16 % SIZE), slot, Relaxed);
            self.memory.store_u16(DRIVER + 2, (number as u16).wrapping_add(1), Release);
        }
    }

    /// Whether the device has used this chain. It uses them in order.
    fn has_used(&self, number: u32) -> bool {
        if self.packed {
            let (place, even) = Driver::place(number);
            let rest = self.memory.load_u64(DESCRIPTORS + 16 * u64::from(2 * place) + 8, Acquire);
            (rest >> 48) as u16 & (AVAIL | USED) == if even { AVAIL | USED } else { 0 }
        } else {
            let ahead = self.memory.load_u16(DEVICE + 2, Acquire).wrapping_sub(number as u16);
            ahead != 0 && ahead <= SIZE
        }
    }

    fn check(&self, number: u32) {
        let (place, _) = Driver::place(number);
        let mut answer = [0; LEN as usize];
        self.memory.read(Driver::buffers(place)[1], &mut answer);
        assert_eq!(answer, [(number as u8).wrapping_add(1); LEN as usize], "the answer to chain {number}");
    }
}
