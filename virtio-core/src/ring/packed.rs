//! The packed layout (virtio 1.4, section 2.8): one ring of descriptors, and an event suppression structure of each side.

use std::sync::atomic::Ordering;

use super::cursor::{Cursor, crosses, packed_flags};
use super::error::{Area, RingFault};
use super::position::QueuePosition;
use super::setup::window;
use super::taken::{Taken, UsedElement};
use super::walk::{Buffers, DescriptorSource, Scattered, WalkAt};
use super::wire::{AVAIL, INDIRECT, NEXT, USED, WRITE};
use super::{QueueSetup, wake};
use crate::Features;
use crate::memory::{Array, Descriptor, Format, MemoryView, PackedChain, PackedTable, Window, Words};

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
    /// Where the next available descriptor is: the next to take.
    next_available: Cursor,
    /// Slots whose chains may be taken before the next look, if they are there.
    left: u32,
    /// Chains taken since they were last counted.
    taken: u16,
    /// Where the next used descriptor goes.
    next_used: Cursor,
    /// The used descriptors before this one are known to the driver; those from here to `next_used` are written, but for the
    /// first.
    used_shown: Cursor,
    /// The second half of the used descriptor at `used_shown`: it shows the driver all that are written. Written last.
    first_used: u64,
    /// Whether an interrupt was decided on for all before `used_shown`. If not, the next batch interrupts, wherever the
    /// driver's event stands.
    interrupt_decided: bool,
    /// As `used_shown` before what was shown and not decided on.
    undecided: Option<Cursor>,
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
        let (next_available, next_used) = (Cursor::new(available, available_wrap), Cursor::new(used, used_wrap));
        // What was never answered takes up no more than the ring.
        if next_available.slot >= size || next_used.slot >= size || next_available.since(next_used, size) > size {
            return Err(RingFault::Position { position });
        }
        Ok(Packed {
            areas,
            size,
            event_idx: setup.features.contains(Features::EVENT_IDX),
            indirect: setup.features.contains(Features::INDIRECT_DESC),
            next_available,
            left: 0,
            taken: 0,
            next_used,
            used_shown: next_used,
            first_used: 0,
            interrupt_decided: decided,
            undecided: None,
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
        self.size.saturating_sub(self.next_available.since(self.used_shown, self.size))
    }

    /// Lets the chains of at most `limit` slots be taken, or of fewer where no more can be there; of how many. Whether they
    /// are there is seen when they are taken.
    #[inline]
    pub(super) fn look(&mut self, limit: u16) -> Result<u16, RingFault> {
        self.left = self.free().min(limit.into());
        Ok(self.left as u16)
    }

    /// Takes the next chain, if it is available, and puts its buffers into `buffers`. Without a fault it fails where there
    /// is none.
    #[inline(always)]
    pub(super) fn take(&mut self, view: &MemoryView, buffers: &mut Buffers) -> Result<Taken, Option<RingFault>> {
        // RING-PACKED-07: the rest of the chain is read after the flags, which the driver has written last.
        let Some(first) = self.areas.descriptors.load(self.next_available.slot) else { return Err(None) };
        let rest = first.rest;
        if !self.is_available(rest) {
            return Err(None);
        }
        let single = rest & packed_flags(NEXT | INDIRECT) == 0;
        // The rest is not worth being inlined.
        if single && buffers.put_single(view, first, rest & packed_flags(WRITE) != 0) {
            self.left -= 1;
            self.taken = self.taken.wrapping_add(1);
            self.next_available.advance(1, self.size);
            return Ok(Taken { id: first.id(), slots: 1 });
        }
        self.walk(view, buffers, first).map_err(Some)
    }

    /// Whether the descriptor at `next_available` is available, by its second half.
    #[inline(always)]
    fn is_available(&self, rest: u64) -> bool {
        flags(rest) & (AVAIL | USED) == self.next_available.lap
    }

    /// Takes the chain whose first descriptor is `first`.
    #[inline(never)]
    fn walk(&mut self, view: &MemoryView, buffers: &mut Buffers, first: Descriptor) -> Result<Taken, RingFault> {
        let taken = self.follow(view, buffers, first)?;
        self.taken = self.taken.wrapping_add(1);
        self.next_available.advance(taken.slots.into(), self.size);
        self.left = self.left.saturating_sub(taken.slots.into());
        Ok(taken)
    }

    #[inline(always)]
    fn follow(&self, view: &MemoryView, buffers: &mut Buffers, first: Descriptor) -> Result<Taken, RingFault> {
        buffers.clear();
        if first.rest & packed_flags(INDIRECT) != 0 {
            self.walk_table(view, buffers, first)?;
            buffers.finish();
            return Ok(Taken { id: first.id(), slots: 1 });
        }
        let start = WalkAt::new(self.next_available.slot, first);
        let at = self.run(view, buffers, start, self.next_available);
        let slots = at.index - start.index + 1;
        if at.ended && slots <= self.left && buffers.finish_plain() {
            // RING-PACKED-15
            return Ok(Taken { id: at.descriptor.id(), slots: slots as u16 });
        }
        self.walk_on(view, buffers, at)
    }

    /// Adds the buffers of a chain from `at` on, for as long as its descriptors are plain.
    #[inline(always)]
    fn run(&self, view: &MemoryView, buffers: &mut Buffers, at: WalkAt, cursor: Cursor) -> WalkAt {
        let ring = self.areas.descriptors.descriptors();
        ring.run::<PackedChain>(view, buffers, at, (NEXT | cursor.lap).into())
    }

    /// Goes on with a chain that has something odd at `at`.
    #[inline(never)]
    fn walk_on(&self, view: &MemoryView, buffers: &mut Buffers, mut at: WalkAt) -> Result<Taken, RingFault> {
        let mut cursor = self.next_available;
        let free = self.free();
        loop {
            cursor.slot = at.index;
            // DRV-PACKED-05
            if cursor.since(self.next_available, self.size) >= free {
                return Err(RingFault::Endless { head: self.next_available.slot as u16, limit: free as u16 });
            }
            if at.ended || !self.step(view, buffers, at, cursor)? {
                break;
            }
            cursor.advance(1, self.size);
            let ring = self.areas.descriptors.descriptors();
            let Some(descriptor) = ring.read(cursor.slot) else {
                return Err(ring.missing(at.index, cursor.slot));
            };
            at = self.run(view, buffers, WalkAt::new(cursor.slot, descriptor), cursor);
        }
        buffers.finish();
        let slots = cursor.since(self.next_available, self.size) + 1;
        // RING-PACKED-15
        Ok(Taken { id: at.descriptor.id(), slots: slots as u16 })
    }

    /// Adds one buffer of any kind; says whether there is a descriptor behind it.
    fn step(&self, view: &MemoryView, buffers: &mut Buffers, at: WalkAt, cursor: Cursor) -> Result<bool, RingFault> {
        let flags = flags(at.descriptor.rest);
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
        let index = self.next_available.slot as u16;
        // DRV-PACKED-08, DRV-PACKED-11
        if !self.indirect || descriptor.rest & packed_flags(NEXT) != 0 {
            return Err(RingFault::Indirect { index });
        }
        let (address, len) = (descriptor.address, descriptor.len());
        // DRV-PACKED-10
        let longest = self.size.max(LONGEST_TABLE);
        let count = descriptor.entries().filter(|count| *count <= longest);
        let count = count.ok_or(RingFault::TableLength { index, len })?;
        match view.indirect_table(address, count) {
            Some(table) => collect(view, buffers, &table, address, count),
            None => collect(view, buffers, &Scattered { view, address, count }, address, count),
        }
    }

    /// The first slot of the chain that was taken last.
    pub(super) fn last_slot(&self, taken: Taken) -> u16 {
        let mut cursor = self.next_available;
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
        self.next_available.go_back(taken.slots.into(), self.size);
        self.left += u32::from(taken.slots);
    }

    /// Writes a used descriptor that the driver does not see before `publish`.
    #[inline(always)]
    pub(super) fn stage(&mut self, UsedElement { taken: Taken { id, slots }, len }: UsedElement) {
        // RING-PACKED-11, RING-PACKED-12, RING-PACKED-13
        let written = if len != 0 { packed_flags(WRITE) } else { 0 };
        let used = u64::from(len) | u64::from(id) << 32 | self.next_used.used() | written;
        if self.has_staged() {
            // No driver looks here before it has seen the first.
            self.areas.descriptors.store_second(self.next_used.slot, used);
        } else {
            // RING-PACKED-16
            self.first_used = used;
        }
        // RING-PACKED-14
        self.next_used.advance(slots.into(), self.size);
    }

    #[inline(always)]
    pub(super) fn has_staged(&self) -> bool {
        self.next_used != self.used_shown
    }

    /// Shows the driver all staged descriptors; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let Areas { ring, descriptors, driver_event, .. } = &self.areas;
        let offset = self.used_shown.flags_offset();
        let asked = wake::publish_packed(ring, (offset, self.first_used), driver_event);
        // Some of these slots were skipped: a log may be told of more than was written.
        descriptors.mark(self.used_shown.slot, self.next_used.since(self.used_shown, self.size));
        let before = std::mem::replace(&mut self.used_shown, self.next_used);
        self.wants_interrupt(asked, before)
    }

    /// Whether what the driver asks for covers what was shown since `before`.
    #[inline(always)]
    fn wants_interrupt(&mut self, asked: u32, before: Cursor) -> bool {
        let interrupt_decided = std::mem::replace(&mut self.interrupt_decided, true);
        match asked >> 16 & 3 {
            // RING-EVT-14
            EVENT_DISABLE => false,
            // RING-EVT-15
            EVENT_DESC if self.event_idx && interrupt_decided => crosses(asked, self.used_shown, before, self.size),
            // An interrupt too many does no harm.
            _ => true,
        }
    }

    /// Shows the driver all that is staged, and leaves it for later to decide on an interrupt.
    pub(super) fn show(&mut self) {
        let Areas { ring, descriptors, .. } = &self.areas;
        wake::show_packed(ring, (self.used_shown.flags_offset(), self.first_used));
        descriptors.mark(self.used_shown.slot, self.next_used.since(self.used_shown, self.size));
        let before = std::mem::replace(&mut self.used_shown, self.next_used);
        self.undecided.get_or_insert(before);
    }

    /// Slots that were shown or staged, and not decided on; meaningful while there are fewer than the ring has.
    pub(super) fn undecided(&self) -> u16 {
        self.next_used.since(self.undecided.unwrap_or(self.used_shown), self.size) as u16
    }

    /// Decides on an interrupt for all that was shown.
    pub(super) fn decide(&mut self) -> bool {
        let Some(before) = self.undecided.take() else { return false };
        let asked = wake::ask_packed(&self.areas.ring, &self.areas.driver_event);
        self.wants_interrupt(asked, before)
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        let Areas { ring, device_event, .. } = &self.areas;
        // RING-EVT-16
        let ask = if self.event_idx { self.next_available.event() | EVENT_DESC << 16 } else { EVENT_ENABLE << 16 };
        let rest = wake::arm_packed(device_event, ask, ring, self.next_available.flags_offset());
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
            available: self.next_available.slot as u16,
            available_wrap: self.next_available.wrap(),
            used: self.next_used.slot as u16,
            used_wrap: self.next_used.wrap(),
            decided: self.interrupt_decided && self.undecided.is_none(),
        }
    }
}

/// Adds the buffers of an indirect table: one after the other, whatever else its descriptors say (RING-IND-04).
#[inline(always)]
fn collect(
    view: &MemoryView,
    buffers: &mut Buffers,
    table: &impl DescriptorSource,
    address: u64,
    count: u32,
) -> Result<(), RingFault> {
    let mut index = 0;
    loop {
        let Some(next) = table.read(index) else { return Err(RingFault::TableUnmapped { address }) };
        let at = table.run::<PackedTable>(view, buffers, WalkAt::new(index, next), 0);
        buffers.add(view, at.index, at.descriptor, at.descriptor.rest & packed_flags(WRITE) != 0);
        index = at.index + 1;
        if index == count {
            return Ok(());
        }
    }
}

/// The flags of a descriptor, by its second half.
#[inline(always)]
fn flags(rest: u64) -> u16 {
    (rest >> PackedChain::FLAGS_AT) as u16
}

impl Descriptor {
    /// The buffer id.
    #[inline(always)]
    fn id(self) -> u16 {
        (self.rest >> 32) as u16
    }
}

/// The three areas, and the ring both as words and as descriptors: in bytes, of a queue of `n` descriptors,
///
/// ```text
/// descriptor area: ring         driver area             device area
///   16 * n, each                  4 event suppression     4 event suppression
///     8 address
///     4 length
///     2 buffer id
///     2 flags
/// ```
///
/// Both sides write the ring; of the other areas, each writes its own.
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
