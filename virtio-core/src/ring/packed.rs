//! The packed layout (virtio 1.4, section 2.8): one ring of descriptors, and an event suppression structure of each side.

use std::sync::atomic::Ordering;

use super::cursor::{Cursor, crosses, high};
use super::error::{Area, RingFault};
use super::position::QueuePosition;
use super::setup::window;
use super::walk::{Buffers, Descriptor, Scattered, Stop, Table};
use super::{QueueSetup, Taken, wake};
use crate::Features;
use crate::memory::{AVAIL, Array, INDIRECT, MemoryView, NEXT, USED, WRITE, Window};

/// The flags of an event suppression structure: `RING_EVENT_FLAGS_ENABLE`, `_DISABLE` and `_DESC`.
const EVENT_ENABLE: u32 = 0;
const EVENT_DISABLE: u32 = 1;
const EVENT_DESC: u32 = 2;

/// Descriptors that an indirect table may have even if the queue is smaller: as many pieces as one system call takes.
const LONGEST_TABLE: u32 = 1024;

pub(super) struct Packed {
    areas: Areas,
    size: u32,
    event_idx: bool,
    indirect: bool,
    /// The next descriptor to take.
    next: Cursor,
    /// Slots whose chains may be taken before the next look, if they are there.
    left: u32,
    /// Chains taken since they were last counted.
    taken: u16,
    /// Where the next used descriptor goes.
    staged: Cursor,
    /// The used descriptors behind this one are known to the driver.
    published: Cursor,
    /// The second half of the used descriptor at `published`, which shows the driver all that are staged. Written last.
    first: u64,
    /// Whether an interrupt was decided on for all that is published.
    decided: bool,
}

impl Packed {
    pub(super) fn new(setup: &QueueSetup, view: &MemoryView) -> Result<Packed, RingFault> {
        let size = u32::from(setup.size);
        // RING-PACKED-17
        if size == 0 || size > 32768 {
            return Err(RingFault::Size { size: setup.size });
        }
        let areas = Areas::new(setup, view)?;
        let position = setup.position.unwrap_or(QueuePosition::PACKED_START);
        let QueuePosition::Packed { available, available_wrap, used, used_wrap, decided } = position else {
            return Err(RingFault::Position { position });
        };
        let (next, published) = (Cursor::new(available, available_wrap), Cursor::new(used, used_wrap));
        // What was never answered takes up no more than the ring.
        if next.slot >= size || published.slot >= size || next.since(published, size) > size {
            return Err(RingFault::Position { position });
        }
        Ok(Packed {
            areas,
            size,
            event_idx: setup.features.contains(Features::EVENT_IDX),
            indirect: setup.features.contains(Features::INDIRECT_DESC),
            next,
            left: 0,
            taken: 0,
            staged: published,
            published,
            first: 0,
            decided,
        })
    }

    /// Looks the areas up again, in memory that has changed.
    pub(super) fn renew(&mut self, setup: &QueueSetup, view: &MemoryView) -> Result<(), RingFault> {
        self.areas = Areas::new(setup, view)?;
        Ok(())
    }

    /// Whether chains may be taken without another look, if there are any.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        self.left != 0
    }

    /// Has the next chain be preceded by a look; how many slots were left before.
    pub(super) fn forget(&mut self) -> u16 {
        std::mem::take(&mut self.left) as u16
    }

    /// Slots whose chains the device does not have: no more can be available.
    fn free(&self) -> u32 {
        self.size.saturating_sub(self.next.since(self.published, self.size))
    }

    /// Lets the chains of at most `limit` slots be taken, or of fewer where no more can be there; of how many. Whether they
    /// are there is seen when they are taken.
    #[inline]
    pub(super) fn look(&mut self, limit: u16) -> Result<u16, RingFault> {
        self.left = self.free().min(limit.into());
        Ok(self.left as u16)
    }

    /// Takes the next chain, if it is available, and puts its buffers into `buffers`. None where it is not, or the ring is
    /// broken, and then it stands there why.
    #[inline(always)]
    pub(super) fn take(&mut self, view: &MemoryView, buffers: &mut Buffers) -> Option<Taken> {
        // RING-PACKED-07: the rest of the chain is read after the flags, which the driver has written last.
        let first = Descriptor::new(self.areas.descriptors.load(self.next.slot)?);
        let rest = first.rest;
        if !self.is_available(rest) {
            return None;
        }
        let alone = rest & high(NEXT | INDIRECT) == 0;
        // The rest is not worth being inlined.
        if alone && buffers.only(view, first, rest & high(WRITE) != 0) {
            self.left -= 1;
            self.taken = self.taken.wrapping_add(1);
            self.next.advance(1, self.size);
            return Some(Taken { id: first.id(), slots: 1 });
        }
        self.walk(view, buffers, first)
    }

    /// Whether the descriptor at `next` is available, by its second half.
    #[inline(always)]
    fn is_available(&self, rest: u64) -> bool {
        (rest >> 48) as u16 & (AVAIL | USED) == self.next.lap
    }

    /// Takes the chain whose first descriptor is `first`; none where the ring is broken.
    #[inline(never)]
    fn walk(&mut self, view: &MemoryView, buffers: &mut Buffers, first: Descriptor) -> Option<Taken> {
        let taken = self.follow(view, buffers, first)?;
        self.taken = self.taken.wrapping_add(1);
        self.next.advance(taken.slots.into(), self.size);
        self.left = self.left.saturating_sub(taken.slots.into());
        Some(taken)
    }

    #[inline(always)]
    fn follow(&self, view: &MemoryView, buffers: &mut Buffers, first: Descriptor) -> Option<Taken> {
        buffers.clear();
        if first.rest & high(INDIRECT) != 0 {
            let end = self.walk_table(view, buffers, first);
            return buffers.end(end).then_some(Taken { id: first.id(), slots: 1 });
        }
        let start = Stop::at(self.next.slot, first);
        let at = self.run(view, buffers, start, self.next);
        let slots = at.index - start.index + 1;
        if at.done && slots <= self.free() && buffers.finish_usual() {
            // RING-PACKED-15
            return Some(Taken { id: at.descriptor.id(), slots: slots as u16 });
        }
        self.walk_on(view, buffers, at)
    }

    /// Adds the buffers of a chain from `at` on, for as long as its descriptors are as usual.
    #[inline(always)]
    fn run(&self, view: &MemoryView, buffers: &mut Buffers, at: Stop, cursor: Cursor) -> Stop {
        let ring = self.areas.descriptors.descriptors();
        ring.run::<48, { u32::MAX }, 0>(view, buffers, at, (NEXT | cursor.lap).into())
    }

    /// Goes on with a chain that is not as usual from `at` on.
    #[inline(never)]
    fn walk_on(&self, view: &MemoryView, buffers: &mut Buffers, mut at: Stop) -> Option<Taken> {
        let mut cursor = self.next;
        let free = self.free();
        let end = loop {
            cursor.slot = at.index;
            // DRV-PACKED-05
            if cursor.since(self.next, self.size) >= free {
                break Err(RingFault::Endless { head: self.next.slot as u16, limit: free as u16 });
            }
            if at.done {
                break Ok(());
            }
            match self.step(view, buffers, at, cursor) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
            cursor.advance(1, self.size);
            let ring = self.areas.descriptors.descriptors();
            let Some(descriptor) = ring.read(cursor.slot) else { break Err(ring.missing(at.index, cursor.slot)) };
            at = self.run(view, buffers, Stop::at(cursor.slot, descriptor), cursor);
        };
        let slots = cursor.since(self.next, self.size) + 1;
        // RING-PACKED-15
        buffers.end(end).then_some(Taken { id: at.descriptor.id(), slots: slots as u16 })
    }

    /// Adds one buffer of any kind; says whether there is a descriptor behind it.
    fn step(&self, view: &MemoryView, buffers: &mut Buffers, at: Stop, cursor: Cursor) -> Result<bool, RingFault> {
        let flags = (at.descriptor.rest >> 48) as u16;
        let slot = at.index as u16;
        // DRV-PACKED-07
        if flags & (AVAIL | USED) != cursor.lap {
            return Err(RingFault::Unfinished { slot });
        }
        // DRV-PACKED-11
        if flags & INDIRECT != 0 {
            return Err(RingFault::Indirect { index: slot });
        }
        buffers.add(view, at.index, at.descriptor, flags & WRITE != 0);
        Ok(flags & NEXT != 0)
    }

    /// A chain in an indirect table. That its descriptor says `WRITE` does not matter (RING-IND-05).
    #[inline(always)]
    fn walk_table(&self, view: &MemoryView, buffers: &mut Buffers, descriptor: Descriptor) -> Result<(), RingFault> {
        let index = self.next.slot as u16;
        // DRV-PACKED-08, DRV-PACKED-11
        if !self.indirect || descriptor.rest & high(NEXT) != 0 {
            return Err(RingFault::Indirect { index });
        }
        let (address, len) = (descriptor.address, descriptor.len());
        // DRV-PACKED-10
        let longest = self.size.max(LONGEST_TABLE);
        let count = descriptor.entries().filter(|count| *count <= longest);
        let count = count.ok_or(RingFault::TableLength { index, len })?;
        match view.table(address, count) {
            Some(table) => collect(view, buffers, &table, address, count),
            None => collect(view, buffers, &Scattered { view, address, count }, address, count),
        }
    }

    /// The first slot of the chain that was taken last.
    pub(super) fn last_slot(&self, taken: Taken) -> u16 {
        let mut cursor = self.next;
        cursor.go_back(taken.slots.into(), self.size);
        cursor.slot as u16
    }

    /// Chains taken since this was asked last.
    pub(super) fn count_taken(&mut self) -> u16 {
        std::mem::take(&mut self.taken)
    }

    /// Gives back the chain that was taken last, as if it had not been.
    pub(super) fn untake(&mut self, taken: Taken) {
        self.taken = self.taken.wrapping_sub(1);
        self.next.go_back(taken.slots.into(), self.size);
        self.left += u32::from(taken.slots);
    }

    /// Writes a used descriptor that the driver does not see before `publish`: that of chains with so many slots
    /// together, in which `id` names the last.
    #[inline(always)]
    pub(super) fn stage(&mut self, id: u16, len: u32, slots: u16) {
        // RING-PACKED-11, RING-PACKED-12, RING-PACKED-13
        let written = if len != 0 { high(WRITE) } else { 0 };
        let used = u64::from(len) | u64::from(id) << 32 | self.staged.used() | written;
        if self.has_staged() {
            // No driver looks here before it has seen the first.
            self.areas.descriptors.store_second(self.staged.slot, used);
        } else {
            // RING-PACKED-16
            self.first = used;
        }
        // RING-PACKED-14
        self.staged.advance(slots.into(), self.size);
    }

    #[inline(always)]
    pub(super) fn has_staged(&self) -> bool {
        self.staged != self.published
    }

    /// Shows the driver all staged descriptors; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let Areas { ring, descriptors, driver_event, .. } = &self.areas;
        let offset = self.published.flags_offset();
        let event = wake::publish_packed(ring, (offset, self.first), driver_event);
        // Some of these slots were skipped: a log may be told of more than was written.
        descriptors.mark(self.published.slot, self.staged.since(self.published, self.size));
        let before = std::mem::replace(&mut self.published, self.staged);
        let decided = std::mem::replace(&mut self.decided, true);
        match event >> 16 & 3 {
            // RING-EVT-14
            EVENT_DISABLE => false,
            // RING-EVT-15
            EVENT_DESC if self.event_idx && decided => crosses(event, self.published, before, self.size),
            // An interrupt too many does no harm.
            _ => true,
        }
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        let Areas { ring, device_event, .. } = &self.areas;
        // RING-EVT-16
        let wish = if self.event_idx { self.next.event() | EVENT_DESC << 16 } else { EVENT_ENABLE << 16 };
        let rest = wake::arm_packed(device_event, wish, ring, self.next.flags_offset());
        device_event.mark(0, 4);
        Ok(self.free() != 0 && self.is_available(rest))
    }

    /// Tells the driver that no doorbells are needed for now.
    #[inline]
    pub(super) fn disarm(&mut self) {
        // With event indexes, one that is not moved on does the same.
        if !self.event_idx {
            self.areas.device_event.store_u32(0, EVENT_DISABLE << 16, Ordering::Relaxed);
            self.areas.device_event.mark(0, 4);
        }
    }

    pub(super) fn position(&self) -> QueuePosition {
        QueuePosition::Packed {
            available: self.next.slot as u16,
            available_wrap: self.next.wrap(),
            used: self.staged.slot as u16,
            used_wrap: self.staged.wrap(),
            decided: self.decided,
        }
    }
}

/// Adds the buffers of an indirect table: one after the other, whatever else its descriptors say (RING-IND-04).
#[inline(always)]
fn collect(
    view: &MemoryView,
    buffers: &mut Buffers,
    table: &impl Table,
    address: u64,
    count: u32,
) -> Result<(), RingFault> {
    let mut index = 0;
    loop {
        let Some(next) = table.read(index) else { return Err(RingFault::TableUnmapped { address }) };
        let at = table.run::<48, { WRITE as u32 }, 0>(view, buffers, Stop::at(index, next), 0);
        buffers.add(view, at.index, at.descriptor, at.descriptor.rest & high(WRITE) != 0);
        index = at.index + 1;
        if index == count {
            return Ok(());
        }
    }
}

impl Descriptor {
    /// The buffer id.
    #[inline(always)]
    fn id(self) -> u16 {
        (self.rest >> 32) as u16
    }
}

/// The three areas; the ring as words and as descriptors.
struct Areas {
    ring: Window<16>,
    descriptors: Array<16>,
    driver_event: Window<4>,
    device_event: Window<4>,
}

impl Areas {
    fn new(setup: &QueueSetup, view: &MemoryView) -> Result<Areas, RingFault> {
        let size = setup.size;
        let ring = window::<16>(view, Area::Descriptor, setup.descriptor_area, 16 * u32::from(size))?;
        Ok(Areas {
            descriptors: ring.array(0, size).ok_or(RingFault::Size { size })?,
            ring,
            driver_event: window(view, Area::Driver, setup.driver_area, 4)?,
            device_event: window(view, Area::Device, setup.device_area, 4)?,
        })
    }
}
