//! A split ring that is plain and slow: what virtio 1.4, section 2.7 says, word by word.

use virtio_core::testing::SplitDriver;
use virtio_core::{Features, GuestRam, QueuePosition};

/// A chain as the model sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelChain {
    pub(crate) head: u16,
    /// (address, length) of the buffers to read and to write, without empty ones.
    pub(crate) readable: Vec<(u64, u32)>,
    pub(crate) writable: Vec<(u64, u32)>,
    pub(crate) faulty: bool,
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
    pub(crate) broken: bool,
    next: u16,
    seen: u16,
    staged: u16,
    published: u16,
    decided: bool,
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
            broken: false,
            next: 0,
            seen: 0,
            staged: 0,
            published: 0,
            decided: false,
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
        let mut chain = ModelChain { head, readable: Vec::new(), writable: Vec::new(), faulty: false };
        self.walk(self.descriptors, u32::from(self.size), head, self.size, false, &mut chain)?;
        self.next = self.next.wrapping_add(1);
        let buffers = || chain.readable.iter().chain(&chain.writable);
        let bytes: u64 = buffers().map(|(_, len)| u64::from(*len)).sum();
        let mapped = buffers().all(|(address, len)| self.ram_has(*address, *len));
        chain.faulty |= bytes > u64::from(u32::MAX) || !mapped;
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
            chain.faulty |= len == 0 || (!writable && !chain.writable.is_empty());
            if len != 0 {
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

    pub(crate) fn complete(&mut self, head: u16, len: u32) {
        if self.broken {
            return;
        }
        let at = self.used + 4 + 8 * u64::from(self.staged % self.size);
        self.ram.write(at, &u32::from(head).to_le_bytes()).unwrap();
        self.ram.write(at + 4, &len.to_le_bytes()).unwrap();
        self.staged = self.staged.wrapping_add(1);
    }

    /// Whether the driver gets an interrupt.
    pub(crate) fn publish(&mut self) -> bool {
        if self.broken || self.staged == self.published {
            return false;
        }
        let before = std::mem::replace(&mut self.published, self.staged);
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
            "available": self.next, "used": self.staged, "decided": self.decided,
        }});
        serde_json::from_value(position).unwrap()
    }

    /// Goes on where `other` stood.
    pub(crate) fn restore(&mut self, other: &Model) {
        (self.next, self.seen) = (other.next, other.next);
        (self.staged, self.published, self.decided) = (other.staged, other.staged, other.decided);
    }

    /// Undoes the last `pop`.
    pub(crate) fn put_back(&mut self) {
        self.next = self.next.wrapping_sub(1);
    }
}
