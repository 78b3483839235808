//! In steady state no chain costs an allocation.

#![allow(clippy::unwrap_used)] // tests may panic

#[macro_use]
mod both_layouts;

use allocation_counter::measure;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, Ticket, Virtqueue};

/// Allocations while `work` is done.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

struct Ring<D> {
    driver: D,
    queue: Virtqueue,
    buffers: Vec<Buffer>,
    /// The indirect table of each chain; none for direct chains.
    tables: Option<u64>,
}

const BATCH: usize = 16;

impl<D: RingDriver> Ring<D> {
    fn new(buffers: usize, indirect: bool, features: Features) -> Ring<D> {
        let memory = TestMemory::new(1 << 20);
        let driver = D::new(&memory, 256, Features::EVENT_IDX | Features::INDIRECT_DESC | features);
        let queue = Virtqueue::new(driver.setup()).unwrap();
        let buffers = (0..buffers)
            .map(|i| Buffer { address: memory.alloc(64, 16), len: 64, writable: i > 0 })
            .collect::<Vec<_>>();
        let tables = indirect.then(|| memory.alloc((BATCH * buffers.len() * 16) as u64, 16));
        Ring { driver, queue, buffers, tables }
    }

    /// The driver's side of a batch; what it allocates does not count.
    fn refill(&mut self) {
        while self.driver.used().is_some() {}
        for chain in 0..BATCH {
            let added = match self.tables {
                Some(tables) => {
                    let table = tables + (chain * self.buffers.len() * 16) as u64;
                    self.driver.add_table(table, &self.buffers)
                }
                None => self.driver.add(&self.buffers),
            };
            assert!(added.is_some());
        }
        self.driver.show();
    }

    /// Allocations of the device in `batches` batches.
    fn serve(&mut self, batches: usize, mut batch: impl FnMut(&mut Virtqueue)) -> u64 {
        (0..batches)
            .map(|_| {
                self.refill();
                allocations(|| batch(&mut self.queue))
            })
            .sum()
    }
}

fn complete_at_once(queue: &mut Virtqueue) {
    let mut chains = 0;
    while let Some(chain) = queue.pop() {
        chain.reader().read_array::<16>().unwrap();
        chain.writer().write(&[1; 16]).ok();
        chain.complete(16);
        chains += 1;
    }
    assert_eq!(chains, BATCH);
    queue.publish();
    assert!(!queue.arm());
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

both_layouts! {
    direct_chains_allocate_nothing,
    indirect_chains_allocate_nothing,
    tickets_allocate_nothing,
    chains_in_order_allocate_nothing,
}

fn direct_chains_allocate_nothing<D: RingDriver>() {
    assert_eq!(Ring::<D>::new(4, false, Features::NONE).serve(100, complete_at_once), 0);
}

fn indirect_chains_allocate_nothing<D: RingDriver>() {
    assert_eq!(Ring::<D>::new(128, true, Features::NONE).serve(100, complete_at_once), 0);
}

/// Allocations where each batch is kept as tickets, and completed from the last one on.
fn with_tickets<D: RingDriver>(features: Features) -> u64 {
    let mut tickets: Vec<Ticket> = Vec::with_capacity(BATCH);
    let later = |queue: &mut Virtqueue| {
        while let Some(chain) = queue.pop() {
            tickets.push(chain.into_ticket());
        }
        assert_eq!(tickets.len(), BATCH);
        while let Some(ticket) = tickets.pop() {
            queue.complete(ticket, 0).unwrap();
        }
        queue.publish();
    };
    Ring::<D>::new(2, false, features).serve(100, later)
}

fn tickets_allocate_nothing<D: RingDriver>() {
    assert_eq!(with_tickets::<D>(Features::NONE), 0);
}

fn chains_in_order_allocate_nothing<D: RingDriver>() {
    assert_eq!(with_tickets::<D>(Features::IN_ORDER), 0);
    assert_eq!(Ring::<D>::new(4, false, Features::IN_ORDER).serve(100, complete_at_once), 0);
}
