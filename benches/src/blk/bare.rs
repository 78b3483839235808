//! A loop over an io_uring: no ring, no requests, no device.

mod sys;

use std::time::Instant;

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::file::Image;
use super::requests::{DEPTH, Kind, Places, Work};
use crate::contest::{Run, Side};
use sys::Loop;

/// Where the buffers are: behind what the drivers of the devices allocate.
const BUFFERS: u64 = 16 << 20;

/// The loop.
pub(super) fn side(work: Work, file: &Image, memory: &GuestMemoryMmap<()>) -> Side {
    let mut bare = Bare::new(work, file, memory, 0);
    Box::new(move |batches| Run { times: bare.time(batches), round_trip: None })
}

/// A loop with its buffers. To be used by one thread, from the first batch on.
pub(super) struct Bare {
    work: Work,
    places: Places,
    memory: GuestMemoryMmap<()>,
    buffers: Vec<u64>,
    file: std::fs::File,
    ring: Option<Loop>,
}

impl Bare {
    /// The loop number `index` on this memory.
    pub(super) fn new(work: Work, file: &Image, memory: &GuestMemoryMmap<()>, index: u64) -> Bare {
        let len = u64::from(work.len);
        let buffers = (0..u64::from(DEPTH)).map(|n| BUFFERS + (index * u64::from(DEPTH) + n) * len).collect();
        Bare { work, places: Places::new(work), memory: memory.clone(), buffers, file: file.open(), ring: None }
    }

    /// Does batches, and times each.
    pub(super) fn time(&mut self, batches: u32) -> Vec<std::time::Duration> {
        let Bare { work, places, memory, buffers, file, ring } = self;
        let ring = ring.get_or_insert_with(|| Loop::new(file, memory, DEPTH));
        (0..batches)
            .map(|_| {
                let batch: Vec<_> = buffers.iter().map(|at| (*at, places.next())).collect();
                for (at, place) in &batch {
                    if work.kind == Kind::Write {
                        write(memory, *at, *place);
                    }
                }
                let start = Instant::now();
                ring.batch(work.kind == Kind::Write, work.len, &batch);
                let time = start.elapsed();
                for (at, place) in &batch {
                    assert_eq!(read(memory, *at), *place, "the data of a read");
                }
                time
            })
            .collect()
    }
}

fn write(memory: &GuestMemoryMmap<()>, at: u64, value: u64) {
    memory.write_obj(value, GuestAddress(at)).expect("guest memory");
}

fn read(memory: &GuestMemoryMmap<()>, at: u64) -> u64 {
    memory.read_obj(GuestAddress(at)).expect("guest memory")
}

/// Where a piece of guest memory is.
fn host(memory: &GuestMemoryMmap<()>, at: u64, len: usize) -> *mut u8 {
    memory.get_slice(GuestAddress(at), len).expect("guest memory").ptr_guard_mut().as_ptr()
}
