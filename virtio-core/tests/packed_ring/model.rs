//! A packed ring that is plain and slow: what virtio 1.4, section 2.8 says, word by word.

use virtio_core::testing::PackedDriver;
use virtio_core::{Features, GuestRam};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// The most descriptors in an indirect table of a small queue.
const LARGEST_TABLE: u32 = 1024;

/// A chain as the model sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelChain {
    pub(crate) id: u16,
    /// (address, length) of the buffers to read and to write, without empty ones.
    pub(crate) readable: Vec<(u64, u32)>,
    pub(crate) writable: Vec<(u64, u32)>,
    pub(crate) faulty: bool,
    /// Names the chain when it is completed: a number that counts up.
    pub(crate) number: u64,
}

impl ModelChain {
    pub(crate) fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|(_, len)| u64::from(*len)).sum()
    }
}

/// The ring is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A slot, and the wrap counter there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) slot: u16,
    pub(crate) wrap: bool,
}

struct Descriptor {
    address: u64,
    len: u32,
    id: u16,
    flags: u16,
}

/// A chain that was taken and not published yet.
struct Taken {
    number: u64,
    id: u16,
    slots: u16,
    writable: u64,
    /// What was written, once it is complete.
    len: Option<u32>,
}

/// A used descriptor.
struct Used {
    id: u16,
    len: u32,
}

pub(crate) struct Model {
    ram: GuestRam,
    ring: u64,
    driver_event: u64,
    device_event: u64,
    size: u16,
    event_idx: bool,
    indirect: bool,
    in_order: bool,
    pub(crate) broken: bool,
    next: At,
    used: At,
    /// Whether an interrupt was decided on for what was used before.
    decided: bool,
    /// In the order in which they were made available.
    taken: Vec<Taken>,
    /// In order: the last chain of those that one used descriptor will stand for, and the slots of all of them.
    run: Option<(Taken, u16)>,
    /// The slots that will be used next, and the used descriptor for the first of them.
    unpublished: Vec<At>,
    first: Option<Used>,
    count: u64,
}

impl Model {
    pub(crate) fn new(ram: &GuestRam, driver: &PackedDriver, features: Features) -> Model {
        let (ring, driver_event, device_event) = driver.areas();
        Model {
            ram: ram.clone(),
            ring,
            driver_event,
            device_event,
            size: driver.size(),
            event_idx: features.contains(Features::EVENT_IDX),
            indirect: features.contains(Features::INDIRECT_DESC),
            in_order: features.contains(Features::IN_ORDER),
            broken: false,
            next: At { slot: 0, wrap: true },
            used: At { slot: 0, wrap: true },
            decided: false,
            taken: Vec::new(),
            run: None,
            unpublished: Vec::new(),
            first: None,
            count: 0,
        }
    }

    fn u16(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.ram.read(at, &mut bytes).unwrap();
        u16::from_le_bytes(bytes)
    }

    fn descriptor(&self, at: u64) -> Result<Descriptor, Broken> {
        let mut bytes = [0; 16];
        self.ram.read(at, &mut bytes).map_err(|_| Broken)?;
        Ok(Descriptor {
            address: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
            len: u32::from_le_bytes(bytes[8..12].try_into().unwrap()),
            id: u16::from_le_bytes([bytes[12], bytes[13]]),
            flags: u16::from_le_bytes([bytes[14], bytes[15]]),
        })
    }

    fn after(&self, at: At) -> At {
        if at.slot + 1 == self.size { At { slot: 0, wrap: !at.wrap } } else { At { slot: at.slot + 1, ..at } }
    }

    fn is_available(&self, at: At) -> bool {
        let flags = self.u16(self.ring + 16 * u64::from(at.slot) + 14);
        (flags & AVAIL != 0) == at.wrap && (flags & USED != 0) != at.wrap
    }

    /// Slots that the device has and has not given back.
    fn in_flight(&self) -> u16 {
        let taken: u16 = self.taken.iter().map(|taken| taken.slots).sum();
        taken + self.run.as_ref().map_or(0, |(_, slots)| *slots) + self.unpublished.len() as u16
    }

    /// Whether there is something to take. Slots that the device has not given back are not the driver's to make
    /// available, so they are not looked at.
    fn look(&self) -> bool {
        self.in_flight() != self.size && self.is_available(self.next)
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
        if !self.look() {
            return Ok(None);
        }
        let mut elements = Vec::new();
        let (id, slots) = self.read_list(&mut elements)?;
        let mut chain = ModelChain { id, readable: vec![], writable: vec![], faulty: false, number: self.count };
        let mut turned = false;
        for (address, len, writable) in elements {
            // Readable ones come before writable ones, or are left out; and none is empty.
            let late = !writable && turned;
            turned |= writable;
            chain.faulty |= len == 0 || late;
            if len != 0 && !late {
                if writable { &mut chain.writable } else { &mut chain.readable }.push((address, len));
            }
        }
        let buffers = || chain.readable.iter().chain(&chain.writable);
        let bytes: u64 = buffers().map(|(_, len)| u64::from(*len)).sum();
        let mapped = buffers().all(|(address, len)| self.ram_has(*address, *len));
        chain.faulty |= bytes > u64::from(u32::MAX) || !mapped;

        for _ in 0..slots {
            self.next = self.after(self.next);
        }
        self.count += 1;
        self.taken.push(Taken { number: chain.number, id, slots, writable: chain.writable_bytes(), len: None });
        Ok(Some(chain))
    }

    /// Reads the list that begins at the next slot: its elements, its id, and how many slots it takes.
    fn read_list(&self, elements: &mut Vec<(u64, u32, bool)>) -> Result<(u16, u16), Broken> {
        let room = self.size - self.in_flight();
        let mut at = self.next;
        for slots in 1..=room {
            // All descriptors of a list are made available before the first one.
            if !self.is_available(at) {
                return Err(Broken);
            }
            let descriptor = self.descriptor(self.ring + 16 * u64::from(at.slot))?;
            let Descriptor { address, len, id, flags } = descriptor;
            if flags & INDIRECT != 0 {
                // A table is a list of its own: it does not stand among others.
                if !self.indirect || flags & NEXT != 0 || slots != 1 {
                    return Err(Broken);
                }
                self.read_table(address, len, elements)?;
                return Ok((id, 1));
            }
            elements.push((address, len, flags & WRITE != 0));
            if flags & NEXT == 0 {
                return Ok((id, slots));
            }
            at = self.after(at);
        }
        // More than there are slots for.
        Err(Broken)
    }

    fn read_table(&self, address: u64, len: u32, elements: &mut Vec<(u64, u32, bool)>) -> Result<(), Broken> {
        if len == 0 || !len.is_multiple_of(16) || len / 16 > LARGEST_TABLE.max(self.size.into()) {
            return Err(Broken);
        }
        for entry in 0..u64::from(len / 16) {
            // Only WRITE counts; ids and the other flags mean nothing here.
            let at = address.checked_add(16 * entry).ok_or(Broken)?;
            let Descriptor { address, len, id: _, flags } = self.descriptor(at)?;
            elements.push((address, len, flags & WRITE != 0));
        }
        Ok(())
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
                let chain = self.taken.remove(0);
                self.extend_run(chain);
            }
        } else {
            let chain = self.taken.remove(index);
            let slots = chain.slots;
            self.stage(&chain, slots);
        }
    }

    /// What one used descriptor stands for goes on with a chain.
    fn extend_run(&mut self, chain: Taken) {
        let slots = chain.slots + self.run.take().map_or(0, |(_, slots)| slots);
        // What is skipped counts as wholly written: a chain that is not ends the run.
        if chain.len.is_some_and(|len| u64::from(len) >= chain.writable) {
            self.run = Some((chain, slots));
        } else {
            self.stage(&chain, slots);
        }
    }

    /// The next used descriptor is for so many slots. The one that the driver looks at is written when all are shown,
    /// and those behind it before.
    fn stage(&mut self, chain: &Taken, slots: u16) {
        let used = Used { id: chain.id, len: chain.len.unwrap() };
        let next = self.unpublished.last().map_or(self.used, |last| self.after(*last));
        if self.unpublished.is_empty() {
            self.first = Some(used);
        } else {
            self.write_used(next, &used);
        }
        let mut at = next;
        for _ in 0..slots {
            self.unpublished.push(at);
            at = self.after(at);
        }
    }

    /// Whether the driver gets an interrupt.
    pub(crate) fn publish(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if let Some((last, slots)) = self.run.take() {
            self.stage(&last, slots);
        }
        let Some(first) = self.first.take() else {
            return false;
        };
        self.write_used(self.used, &first);
        let used = std::mem::take(&mut self.unpublished);
        self.used = self.after(*used.last().unwrap());
        self.decide(&used)
    }

    fn write_used(&self, at: At, Used { id, len }: &Used) {
        let wrap = if at.wrap { AVAIL | USED } else { 0 };
        let flags = wrap | if *len != 0 { WRITE } else { 0 };
        let slot = self.ring + 16 * u64::from(at.slot);
        self.ram.write(slot + 8, &len.to_le_bytes()).unwrap();
        self.ram.write(slot + 12, &id.to_le_bytes()).unwrap();
        self.ram.write(slot + 14, &flags.to_le_bytes()).unwrap();
    }

    /// Whether the slots that were used now are what the driver wants to hear of.
    fn decide(&mut self, written: &[At]) -> bool {
        let first = !std::mem::replace(&mut self.decided, true);
        let (word, flags) = (self.u16(self.driver_event), self.u16(self.driver_event + 2) & 3);
        match flags {
            1 => false,
            2 if self.event_idx => {
                let event = At { slot: word & 0x7fff, wrap: word & 0x8000 != 0 };
                first || event.slot >= self.size || written.contains(&event)
            }
            _ => true,
        }
    }

    /// What a broken ring still shows: everything that was completed before.
    pub(crate) fn publish_last(&mut self) -> bool {
        let broken = std::mem::take(&mut self.broken);
        let interrupt = self.publish();
        self.broken = broken;
        interrupt
    }

    /// Whether there is more already.
    pub(crate) fn arm(&mut self) -> bool {
        if self.broken {
            return false;
        }
        let (word, flags) =
            if self.event_idx { (self.next.slot | if self.next.wrap { 0x8000 } else { 0 }, 2u16) } else { (0, 0) };
        self.ram.write(self.device_event, &word.to_le_bytes()).unwrap();
        self.ram.write(self.device_event + 2, &flags.to_le_bytes()).unwrap();
        self.look()
    }

    pub(crate) fn disarm(&mut self) {
        if !self.broken && !self.event_idx {
            self.ram.write(self.device_event + 2, &[1, 0]).unwrap();
        }
    }

    /// Where it stands: the next slot to take, the next to use, and whether there was a decision on an interrupt.
    pub(crate) fn position(&self) -> (At, At, bool) {
        (self.next, self.used, self.decided)
    }

    /// Goes on from a position.
    pub(crate) fn restore(&mut self, (next, used, decided): (At, At, bool)) {
        (self.next, self.used, self.decided) = (next, used, decided);
    }

    /// Undoes the last `pop`.
    pub(crate) fn put_back(&mut self) {
        let Taken { slots, .. } = self.taken.pop().unwrap();
        for _ in 0..slots {
            self.next = self.before(self.next);
        }
    }

    fn before(&self, at: At) -> At {
        if at.slot == 0 { At { slot: self.size - 1, wrap: !at.wrap } } else { At { slot: at.slot - 1, ..at } }
    }
}
