//! A split ring that is plain and slow: what virtio 1.4, section 2.7 says, word by word.

use std::collections::VecDeque;

use virtio_core::testing::SplitDriver;
use virtio_core::{Features, GuestRam, QueuePosition};

/// A chain as the model sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelChain {
    pub(crate) head: u16,
    /// (address, length) of the buffers to read and to write, without empty ones.
    pub(crate) readable: Vec<(u64, u32)>,
    pub(crate) writable: Vec<(u64, u32)>,
    /// Whether there was a writable one.
    turned: bool,
    pub(crate) faulty: bool,
    /// Names the chain when it is completed: a number that counts up.
    pub(crate) number: u64,
}

impl ModelChain {
    pub(crate) fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|(_, len)| u64::from(*len)).sum()
    }
}

/// A chain that was taken and not published yet.
struct Taken {
    number: u64,
    head: u16,
    writable: u64,
    /// What was written, once it is complete.
    len: Option<u32>,
}

/// The ring is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

pub(crate) struct Model {
    ram: GuestRam,
    descriptors: u64,
    available: u64,
    used: u64,
    size: u16,
    event_idx: bool,
    indirect: bool,
    in_order: bool,
    pub(crate) broken: bool,
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

impl Model {
    pub(crate) fn new(ram: &GuestRam, driver: &SplitDriver, features: Features) -> Model {
        let (descriptors, available, used) = driver.areas();
        Model {
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

    pub(crate) fn pop(&mut self) -> Result<Option<ModelChain>, Broken> {
        if self.broken {
            return Ok(None);
        }
        let result = self.try_pop();
        self.broken = result.is_err();
        result
    }

    fn try_pop(&mut self) -> Result<Option<ModelChain>, Broken> {
        if self.next == self.seen {
            self.look()?;
        }
        if self.next == self.seen {
            return Ok(None);
        }
        let head = self.u16(self.available + 4 + 2 * u64::from(self.next % self.size));
        let mut chain =
            ModelChain { head, readable: vec![], writable: vec![], turned: false, faulty: false, number: self.count };
        self.walk(self.descriptors, u32::from(self.size), head, self.size, false, &mut chain)?;
        self.next = self.next.wrapping_add(1);
        let buffers = || chain.readable.iter().chain(&chain.writable);
        let bytes: u64 = buffers().map(|(_, len)| u64::from(*len)).sum();
        let mapped = buffers().all(|(address, len)| self.ram_has(*address, *len));
        chain.faulty |= bytes > u64::from(u32::MAX) || !mapped;
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
            let writable = flags & 2 != 0;
            // What is readable behind what is writable is left out.
            let late = !writable && chain.turned;
            chain.turned |= writable;
            chain.faulty |= len == 0 || late;
            if len != 0 && !late {
                if writable { &mut chain.writable } else { &mut chain.readable }.push((address, len));
            }
            if flags & 1 == 0 {
                return Ok(());
            }
            index = next;
        }
        Err(Broken)
    }

    /// Whether all of a buffer is guest memory: in one region, or in several that touch.
    fn ram_has(&self, address: u64, len: u32) -> bool {
        let end = u128::from(address) + u128::from(len);
        let mut at = u128::from(address);
        for (start, len) in self.ram.regions() {
            if (u128::from(start)..u128::from(start) + u128::from(len)).contains(&at) {
                at = u128::from(start) + u128::from(len);
            }
        }
        at >= end
    }

    pub(crate) fn complete(&mut self, number: u64, len: u32) {
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

    /// Whether the driver gets an interrupt.
    pub(crate) fn publish(&mut self) -> bool {
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

    /// What a broken ring still shows: everything that was completed before.
    pub(crate) fn publish_last(&mut self) -> bool {
        let broken = std::mem::take(&mut self.broken);
        let interrupt = self.publish();
        self.broken = broken;
        interrupt
    }

    /// Whether there is more already.
    pub(crate) fn arm(&mut self) -> Result<bool, Broken> {
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

    pub(crate) fn disarm(&mut self) {
        if !self.broken && !self.event_idx {
            self.ram.write(self.used, &[1, 0]).unwrap();
        }
    }

    pub(crate) fn position(&self) -> QueuePosition {
        let position = serde_json::json!({ "Split": {
            "available": self.next, "used": self.published, "decided": self.decided,
        }});
        serde_json::from_value(position).unwrap()
    }

    /// Goes on where `other` stood.
    pub(crate) fn restore(&mut self, other: &Model) {
        (self.next, self.seen) = (other.next, other.next);
        (self.published, self.decided) = (other.published, other.decided);
    }

    /// Undoes the last `pop`.
    pub(crate) fn put_back(&mut self) {
        self.next = self.next.wrapping_sub(1);
        self.taken.pop();
    }
}
