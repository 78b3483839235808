//! The log of a packed ring, as vhost-user lays it out, but for the copies of the descriptors.

use virtio_core::QueuePosition;
use virtio_core::ring::InFlight;
use virtio_core::testing::PackedDriver;

use crate::in_flight::{Log, SIZE};
use virtio_core::ring::wire::{AVAIL, USED};

pub(crate) struct PackedLog {
    entries: [Entry; SIZE as usize],
    now: Head,
    /// As `now` was when the queue was published last.
    old: Head,
    /// Counts chains that are taken.
    counter: u64,
    /// The entries that were staged. Dies with the device.
    batch: Vec<u16>,
}

/// There is one for each descriptor in flight; a chain is known by that of its first.
#[derive(Clone, Copy, Default)]
struct Entry {
    in_flight: bool,
    /// The next free entry, or that of the chain.
    next: u16,
    /// The last entry of the chain.
    last: u16,
    /// How many it has.
    count: u16,
    counter: u64,
    id: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    /// The first free entry; the size where there is none.
    free: u16,
    used: u16,
    wrap: bool,
}

impl Default for PackedLog {
    fn default() -> PackedLog {
        let mut entries = [Entry::default(); SIZE as usize];
        for (next, entry) in (1..).zip(&mut entries) {
            entry.next = next;
        }
        let head = Head { free: 0, used: 0, wrap: true };
        PackedLog { entries, now: head, old: head, counter: 0, batch: Vec::new() }
    }
}

impl PackedLog {
    fn at(&mut self, entry: u16) -> &mut Entry {
        &mut self.entries[usize::from(entry)]
    }
}

impl Log for PackedLog {
    type Driver = PackedDriver;

    fn popped(&mut self, chain: InFlight) {
        let first = self.now.free;
        for _ in 0..chain.slots {
            self.at(first).last = self.now.free;
            self.now.free = self.at(self.now.free).next;
        }
        self.counter += 1;
        let (id, count, counter) = (chain.id, chain.slots, self.counter);
        let entry = self.at(first);
        *entry = Entry { in_flight: true, count, counter, id, ..*entry };
        self.old.free = self.now.free;
    }

    fn staged(&mut self, id: u16) {
        let entry = (0..SIZE).find(|entry| self.at(*entry).in_flight && self.at(*entry).id == id);
        self.batch.push(entry.expect("a chain in flight"));
    }

    /// Not before: chains that are taken after others were staged need the free entries as they were.
    fn publishing(&mut self) {
        for first in self.batch.clone() {
            let Entry { last, count, .. } = *self.at(first);
            self.at(last).next = self.now.free;
            self.now.free = first;
            self.now.used += count;
            if self.now.used >= SIZE {
                self.now.used -= SIZE;
                self.now.wrap = !self.now.wrap;
            }
        }
    }

    fn published(&mut self, position: QueuePosition) {
        let QueuePosition::Packed { used, used_wrap, .. } = position else { unreachable!("another layout") };
        assert_eq!((used, used_wrap), (self.now.used, self.now.wrap));
        for first in std::mem::take(&mut self.batch) {
            self.at(first).in_flight = false;
        }
        self.old = self.now;
    }

    fn recover(&mut self, driver: &PackedDriver) -> Vec<u16> {
        let Head { used, wrap, .. } = self.old;
        let flags = driver.flags(used) & (AVAIL | USED);
        if self.now != self.old && flags != PackedDriver::available(wrap) {
            // The driver has been shown the batch.
            self.old = self.now;
        }
        self.now = self.old;
        let mut free = self.now.free;
        while free != SIZE {
            self.at(free).in_flight = false;
            free = self.at(free).next;
        }
        let mut outstanding: Vec<_> = self.entries.iter().filter(|entry| entry.in_flight).collect();
        outstanding.sort_by_key(|entry| entry.counter);
        outstanding.iter().map(|entry| entry.id).collect()
    }
}
