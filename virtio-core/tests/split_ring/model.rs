//! A split ring that is plain and slow: what virtio 1.4, section 2.7 says, word by word.

use std::collections::VecDeque;

use virtio_core::testing::{RingDriver, SplitDriver};
use virtio_core::{Features, GuestRam, QueuePosition};

use crate::common::{Broken, Model, ModelChain};

/// A chain that was taken and not published yet.
struct Taken {
    number: u64,
    head: u16,
    writable: u64,
    /// What was written, once it is complete.
    len: Option<u32>,
}

pub(crate) struct SplitModel {
    ram: GuestRam,
    descriptors: u64,
    available: u64,
    used: u64,
    size: u16,
    event_idx: bool,
    indirect: bool,
    in_order: bool,
    broken: bool,
    next: u16,
    seen: u16,
    published: u16,
    decided: bool,
    /// In the order in which they were made available.
    taken: Vec<Taken>,
    /// In the order in which they go to the driver.
    staged: VecDeque<Taken>,
    count: u64,
}

impl Model for SplitModel {
    type Driver = SplitDriver;

    fn new(ram: &GuestRam, driver: &SplitDriver, features: Features) -> SplitModel {
        let (descriptors, available, used) = driver.areas();
        SplitModel {
            ram: ram.clone(),
            descriptors,
            available,
            used,
            size: driver.size(),
            event_idx: features.contains(Features::EVENT_IDX),
            indirect: features.contains(Features::INDIRECT_DESC),
            in_order: features.contains(Features::IN_ORDER),
            broken: false,
            next: 0,
            seen: 0,
            published: 0,
            decided: false,
            taken: Vec::new(),
            staged: VecDeque::new(),
            count: 0,
        }
    }

    fn pop(&mut self) -> Result<Option<ModelChain>, Broken> {
        if self.broken {
            return Ok(None);
        }
        let result = self.try_pop();
        self.broken = result.is_err();
        result
    }

    fn put_back(&mut self) {
        self.next = self.next.wrapping_sub(1);
        self.taken.pop();
    }

    fn complete(&mut self, number: u64, len: u32) {
        if self.broken {
            return;
        }
        let index = self.taken.iter().position(|taken| taken.number == number).unwrap();
        self.taken[index].len = Some(len);
        if self.in_order {
            // What is complete waits for what was made available before it.
            while self.taken.first().is_some_and(|first| first.len.is_some()) {
                self.staged.push_back(self.taken.remove(0));
            }
        } else {
            self.staged.push_back(self.taken.remove(index));
        }
    }

    fn publish(&mut self) -> bool {
        if self.broken || self.staged.is_empty() {
            return false;
        }
        let before = self.published;
        while !self.staged.is_empty() {
            let chains = self.write_used();
            self.published = self.published.wrapping_add(chains);
        }
        self.ram.write(self.used + 2, &self.published.to_le_bytes()).unwrap();
        if !self.event_idx {
            return self.u16(self.available) & 1 == 0;
        }
        let event = self.u16(self.available + 4 + 2 * u64::from(self.size));
        // One of the elements published now is the one that the driver asked for.
        let crossed = (0..self.published.wrapping_sub(before)).any(|i| before.wrapping_add(i) == event);
        !std::mem::replace(&mut self.decided, true) || crossed
    }

    fn publish_last(&mut self) -> bool {
        let broken = std::mem::take(&mut self.broken);
        let interrupt = self.publish();
        self.broken = broken;
        interrupt
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        if self.broken {
            return Ok(false);
        }
        if self.event_idx {
            let at = self.used + 4 + 8 * u64::from(self.size);
            self.ram.write(at, &self.next.to_le_bytes()).unwrap();
        } else {
            self.ram.write(self.used, &[0, 0]).unwrap();
        }
        let result = self.look();
        self.broken = result.is_err();
        // What is there is looked at again when it is taken.
        let seen = std::mem::replace(&mut self.seen, self.next);
        result.map(|()| seen != self.next)
    }

    fn disarm(&mut self) {
        if !self.broken && !self.event_idx {
            self.ram.write(self.used, &[1, 0]).unwrap();
        }
    }

    fn forget(&mut self) {
        self.seen = self.next;
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn position(&self) -> QueuePosition {
        QueuePosition::Split { available: self.next, used: self.published, decided: self.decided }
    }

    fn restore(&mut self, position: QueuePosition) {
        let QueuePosition::Split { available, used, decided } = position else {
            panic!("a position in a split ring: {position:?}");
        };
        (self.next, self.seen) = (available, available);
        (self.published, self.decided) = (used, decided);
    }
}

impl SplitModel {
    fn u16(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.ram.read(at, &mut bytes).unwrap();
        u16::from_le_bytes(bytes)
    }

    fn look(&mut self) -> Result<(), Broken> {
        let index = self.u16(self.available + 2);
        let taken_not_published = self.next.wrapping_sub(self.published);
        if u32::from(index.wrapping_sub(self.next)) + u32::from(taken_not_published) > u32::from(self.size) {
            return Err(Broken);
        }
        self.seen = index;
        Ok(())
    }

    fn try_pop(&mut self) -> Result<Option<ModelChain>, Broken> {
        if self.next == self.seen {
            self.look()?;
        }
        if self.next == self.seen {
            return Ok(None);
        }
        let head = self.u16(self.available + 4 + 2 * u64::from(self.next % self.size));
        let mut chain = ModelChain { name: head, number: self.count, ..ModelChain::default() };
        self.walk(self.descriptors, u32::from(self.size), head, self.size, false, &mut chain)?;
        self.next = self.next.wrapping_add(1);
        chain.check(&self.ram);
        self.count += 1;
        self.taken.push(Taken { number: chain.number, head, writable: chain.writable_bytes(), len: None });
        Ok(Some(chain))
    }

    fn walk(
        &self,
        table: u64,
        entries: u32,
        start: u16,
        most: u16,
        inside: bool,
        chain: &mut ModelChain,
    ) -> Result<(), Broken> {
        let mut index = start;
        for left in (0..most).rev() {
            if u32::from(index) >= entries {
                return Err(Broken);
            }
            let mut bytes = [0; 16];
            let at = table.checked_add(16 * u64::from(index)).ok_or(Broken)?;
            self.ram.read(at, &mut bytes).map_err(|_| Broken)?;
            let address = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let len = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
            let flags = u16::from_le_bytes([bytes[12], bytes[13]]);
            let next = u16::from_le_bytes([bytes[14], bytes[15]]);
            if flags & 4 != 0 {
                if inside || !self.indirect || flags & 1 != 0 || len == 0 || len % 16 != 0 {
                    return Err(Broken);
                }
                return self.walk(address, len / 16, 0, left + 1, true, chain);
            }
            chain.push(address, len, flags & 2 != 0);
            if flags & 1 == 0 {
                return Ok(());
            }
            index = next;
        }
        Err(Broken)
    }

    /// Writes one used element, and says for how many chains it stands.
    fn write_used(&mut self) -> u16 {
        let mut last = self.staged.pop_front().unwrap();
        let mut chains = 1;
        while self.in_order && last.len.is_some_and(|len| u64::from(len) >= last.writable) {
            // What is skipped counts as wholly written, and this one is.
            let Some(next) = self.staged.pop_front() else { break };
            last = next;
            chains += 1;
        }
        let at = self.used + 4 + 8 * u64::from(self.published % self.size);
        self.ram.write(at, &u32::from(last.head).to_le_bytes()).unwrap();
        self.ram.write(at + 4, &last.len.unwrap().to_le_bytes()).unwrap();
        chains
    }
}
