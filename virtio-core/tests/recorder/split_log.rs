//! The log of a split ring, as vhost-user lays it out.

use virtio_core::QueuePosition;
use virtio_core::ring::InFlight;
use virtio_core::testing::SplitDriver;

use crate::in_flight::{Log, SIZE};

#[derive(Default)]
pub(crate) struct SplitLog {
    descriptors: [Descriptor; SIZE as usize],
    last_batch_head: u16,
    used_index: u16,
    /// Counts chains that are taken.
    counter: u64,
}

/// What there is for each head.
#[derive(Default)]
struct Descriptor {
    in_flight: bool,
    /// The one that was staged before.
    next: u16,
    counter: u64,
}

impl SplitLog {
    fn at(&mut self, head: u16) -> &mut Descriptor {
        &mut self.descriptors[usize::from(head)]
    }

    /// What was staged up to this used index is not in flight any more.
    fn commit(&mut self, used: u16) {
        let mut head = self.last_batch_head;
        for _ in 0..used.wrapping_sub(self.used_index) {
            let descriptor = self.at(head);
            descriptor.in_flight = false;
            head = descriptor.next;
        }
        self.used_index = used;
    }
}

impl Log for SplitLog {
    type Driver = SplitDriver;

    fn popped(&mut self, chain: InFlight) {
        self.counter += 1;
        let counter = self.counter;
        let descriptor = self.at(chain.id);
        (descriptor.counter, descriptor.in_flight) = (counter, true);
    }

    fn staged(&mut self, id: u16) {
        self.at(id).next = self.last_batch_head;
        self.last_batch_head = id;
    }

    fn publishing(&mut self) {}

    fn published(&mut self, position: QueuePosition) {
        let QueuePosition::Split { used, .. } = position else { unreachable!("another layout") };
        self.commit(used);
    }

    fn recover(&mut self, driver: &SplitDriver) -> Vec<u16> {
        self.commit(driver.used_index());
        let mut outstanding: Vec<_> = (0..SIZE).filter(|head| self.descriptors[usize::from(*head)].in_flight).collect();
        outstanding.sort_by_key(|head| self.at(*head).counter);
        outstanding
    }
}
