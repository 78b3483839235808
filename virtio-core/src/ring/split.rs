//! The split layout (virtio 1.4, section 2.7): descriptor table, available ring, used ring.

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use super::error::{Area, RingFault};
use super::position::QueuePosition;
use super::setup::window;
use super::taken::{Taken, UsedElement};
use super::walk::{Buffers, DescriptorSource, Scattered, WalkAt};
use super::wire::{INDIRECT, NEXT, NO_INTERRUPT, NO_NOTIFY, WRITE};
use super::{QueueSetup, wake};
use crate::Features;
use crate::memory::{Array, Descriptor, Format, MemoryView, SplitChain, Window, Words};

/// Where the fields are, in bytes, in both rings.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const ENTRIES: usize = 4;

pub(super) struct Split {
    areas: Areas,
    /// The size less one. Wider than it need be, for speed: read together with a neighbour that was just written, it would
    /// have to wait.
    mask: u32,
    event_idx: bool,
    indirect: bool,
    /// The next entry of the available ring to take. As all indexes here it counts on beyond the size, and wraps at 65536.
    next_available: u16,
    /// As much of the available index as was seen and may be taken: entries before this one.
    available_seen: u16,
    /// As `next_available`, when chains were last counted.
    counted: u16,
    /// Where the next used element goes.
    next_used: u16,
    /// The used index as the driver knows it: elements from here to `next_used` are written, and not yet shown.
    used_index: u16,
    /// Whether an interrupt was decided on for all before `used_index`. If not, the next batch interrupts, wherever
    /// `used_event` stands.
    interrupt_decided: bool,
    /// The used index before what was shown and not decided on.
    undecided: Option<u16>,
}

impl Split {
    pub(super) fn new(setup: &QueueSetup, view: &MemoryView) -> Result<Split, RingFault> {
        let size = setup.size;
        // RING-SPLIT-01
        if !size.is_power_of_two() || size > 32768 {
            return Err(RingFault::Size { size });
        }
        let event_idx = setup.features.contains(Features::EVENT_IDX);
        let areas = Areas::new(setup, event_idx, view)?;
        let position = setup.position.unwrap_or(QueuePosition::SPLIT_START);
        let QueuePosition::Split { available: next_available, used: used_index, decided } = position else {
            return Err(RingFault::Position { position });
        };
        // A position is kept while nothing is in flight, so both count the same, but for chains that were never
        // answered: of these there cannot be more than the ring has room for.
        if next_available.wrapping_sub(used_index) > size {
            return Err(RingFault::Position { position });
        }
        Ok(Split {
            areas,
            mask: u32::from(size) - 1,
            event_idx,
            indirect: setup.features.contains(Features::INDIRECT_DESC),
            next_available,
            available_seen: next_available,
            counted: next_available,
            next_used: used_index,
            used_index,
            interrupt_decided: decided,
            undecided: None,
        })
    }

    /// One that is nowhere, and of which nothing is read or written.
    pub(super) fn nowhere(view: &MemoryView) -> Split {
        let areas = Areas {
            descriptors: Array::nowhere(view),
            available: Window::nowhere(view),
            available_ring: Array::nowhere(view),
            used: Window::nowhere(view),
            used_ring: Array::nowhere(view),
        };
        Split {
            areas,
            mask: 0,
            event_idx: false,
            indirect: false,
            next_available: 0,
            available_seen: 0,
            counted: 0,
            next_used: 0,
            used_index: 0,
            interrupt_decided: false,
            undecided: None,
        }
    }

    /// Looks the areas up again, in memory that has changed.
    pub(super) fn renew(&mut self, setup: &QueueSetup, view: &MemoryView) -> Result<(), RingFault> {
        self.areas = Areas::new(setup, self.event_idx, view)?;
        Ok(())
    }

    /// Whether there are chains that may be taken without another look.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        self.next_available != self.available_seen
    }

    /// Forgets what was seen but not taken; how many chains that were.
    pub(super) fn forget(&mut self) -> u16 {
        let seen = std::mem::replace(&mut self.available_seen, self.next_available);
        seen.wrapping_sub(self.next_available)
    }

    /// Reads the available index, and lets at most `limit` chains be taken; how many.
    #[inline]
    pub(super) fn look(&mut self, limit: u16) -> Result<u16, RingFault> {
        // Acquire: the entries and descriptors of what the index covers are read after it.
        let available = self.areas.available.load_u16(INDEX, Ordering::Acquire);
        let ahead = self.check(available)?.min(limit);
        self.available_seen = self.next_available.wrapping_add(ahead);
        Ok(ahead)
    }

    /// Chains ahead, where the available index can be what it is.
    #[inline]
    fn check(&self, available: u16) -> Result<u16, RingFault> {
        let in_flight = self.next_available.wrapping_sub(self.used_index);
        let ahead = available.wrapping_sub(self.next_available);
        if ahead > self.size().saturating_sub(in_flight) {
            return Err(RingFault::Index { available, seen: self.next_available, in_flight, size: self.size() });
        }
        Ok(ahead)
    }

    /// Takes the next chain that was seen, and puts its buffers into `buffers`. Without a fault it fails where there
    /// is no ring.
    #[inline(always)]
    pub(super) fn take(&mut self, view: &MemoryView, buffers: &mut Buffers) -> Result<Taken, Option<RingFault>> {
        let Some(head) = self.areas.available_ring.load(self.slot(self.next_available)) else { return Err(None) };
        let table = self.areas.descriptors.descriptors();
        let Some(first) = table.read(head.into()) else { return Err(Some(self.stray(head))) };
        let single = first.rest & split_flags(NEXT | INDIRECT) == 0;
        // The rest is not worth being inlined.
        let taken = single && buffers.put_single(view, first, first.is_writable());
        if !taken {
            self.walk(view, buffers, head.into(), first).map_err(Some)?;
        }
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Taken { id: head, slots: 1 })
    }

    /// DRV-RING-09
    #[cold]
    fn stray(&self, head: u16) -> RingFault {
        RingFault::Head { head, size: self.size() }
    }

    /// Follows the chain whose first descriptor is number `head`.
    #[inline(never)]
    fn walk(&self, view: &MemoryView, buffers: &mut Buffers, head: u32, first: Descriptor) -> Result<(), RingFault> {
        buffers.clear();
        if first.rest & split_flags(INDIRECT) != 0 {
            return self.walk_table(view, buffers, head, first);
        }
        let at = run(view, buffers, &self.areas.descriptors.descriptors(), WalkAt::new(head, first));
        if at.ended && buffers.finish_plain() {
            return Ok(());
        }
        self.walk_on(view, buffers, head, at)
    }

    /// Follows a chain that begins with an indirect descriptor.
    #[inline(always)]
    fn walk_table(
        &self,
        view: &MemoryView,
        buffers: &mut Buffers,
        head: u32,
        first: Descriptor,
    ) -> Result<(), RingFault> {
        // What could be wrong is told apart by the slow way.
        let good = self.indirect && first.rest & (split_flags(NEXT) | 15) == 0;
        let Some(table) = good.then(|| view.indirect_table(first.address, first.len() / 16)).flatten() else {
            return self.walk_on(view, buffers, head, WalkAt::new(head, first));
        };
        let Some(descriptor) = table.read(0) else {
            return self.walk_on(view, buffers, head, WalkAt::new(head, first));
        };
        let at = run(view, buffers, &table, WalkAt::new(0, descriptor));
        if at.ended && at.index <= self.mask && buffers.finish_plain() {
            return Ok(());
        }
        self.trail(head, 0).follow_table(view, buffers, &table, at)?;
        buffers.finish();
        Ok(())
    }

    /// Goes on with a chain that has something odd at `at`; `head` is its first descriptor.
    #[inline(never)]
    fn walk_on(&self, view: &MemoryView, buffers: &mut Buffers, head: u32, mut at: WalkAt) -> Result<(), RingFault> {
        let mut trail = self.trail(head, head);
        let table = self.areas.descriptors.descriptors();
        // RING-IND-02
        if trail.follow(view, buffers, &table, &mut at)? == End::Table {
            self.follow_indirect(view, buffers, at, trail)?;
        }
        buffers.finish();
        Ok(())
    }

    fn trail(&self, head: u32, start: u32) -> Trail {
        Trail { head: head as u16, limit: self.size(), left: self.mask + 1, start }
    }

    /// Goes on in the indirect table that a descriptor points at (RING-IND-03). That it says `WRITE` does not matter
    /// (RING-IND-01).
    fn follow_indirect(
        &self,
        view: &MemoryView,
        buffers: &mut Buffers,
        WalkAt { index, descriptor, .. }: WalkAt,
        mut trail: Trail,
    ) -> Result<(), RingFault> {
        let (address, len, index) = (descriptor.address, descriptor.len(), index as u16);
        // DRV-IND-01, DRV-IND-04
        if !self.indirect || descriptor.rest & split_flags(NEXT) != 0 {
            return Err(RingFault::Indirect { index });
        }
        // DRV-IND-05
        let count = descriptor.entries().ok_or(RingFault::TableLength { index, len })?;
        let table = Scattered { view, address, count };
        let Some(first) = table.read(0) else { return Err(RingFault::TableUnmapped { address }) };
        trail.start = 0;
        trail.follow_table(view, buffers, &table, WalkAt::new(0, first))
    }

    /// Gives back the chain that was taken last, as if it had not been.
    pub(super) fn untake(&mut self, _taken: Taken) {
        self.next_available = self.next_available.wrapping_sub(1);
    }

    /// Writes a used element that the driver does not see before `publish`.
    #[inline(always)]
    pub(super) fn stage(&mut self, UsedElement { taken, len }: UsedElement) {
        self.areas.used_ring.store(self.slot(self.next_used), u32::from(taken.id), len);
        self.next_used = self.next_used.wrapping_add(taken.slots);
    }

    #[inline]
    pub(super) fn has_staged(&self) -> bool {
        self.next_used != self.used_index
    }

    /// Shows the driver all staged elements; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let Areas { available, used, used_ring, .. } = &self.areas;
        used_ring.mark(self.slot(self.used_index), self.next_used.wrapping_sub(self.used_index).into());
        // RING-SPLIT-06
        let asked = wake::publish_split(used, (INDEX, self.next_used), available, self.asked_at());
        used.mark(INDEX, 2);
        let before = std::mem::replace(&mut self.used_index, self.next_used);
        self.wants_interrupt(asked, before)
    }

    /// Where the driver says when it wants to be interrupted.
    #[inline(always)]
    fn asked_at(&self) -> usize {
        if self.event_idx { self.used_event_offset() } else { FLAGS }
    }

    /// Whether what it says covers what was shown since the used index was `before`.
    #[inline(always)]
    fn wants_interrupt(&mut self, asked: u16, before: u16) -> bool {
        if self.event_idx {
            // RING-EVT-04, RING-EVT-05, RING-EVT-06: the flags have no say.
            !std::mem::replace(&mut self.interrupt_decided, true) || crosses(asked, self.used_index, before)
        } else {
            // RING-EVT-01, RING-EVT-02, RING-EVT-03: used_event has no say.
            asked & NO_INTERRUPT == 0
        }
    }

    /// Shows the driver all that is staged, and leaves it for later to decide on an interrupt.
    pub(super) fn show(&mut self) {
        let Areas { used, used_ring, .. } = &self.areas;
        used_ring.mark(self.slot(self.used_index), self.next_used.wrapping_sub(self.used_index).into());
        // RING-SPLIT-06
        wake::show_split(used, (INDEX, self.next_used));
        used.mark(INDEX, 2);
        let before = std::mem::replace(&mut self.used_index, self.next_used);
        self.undecided.get_or_insert(before);
    }

    /// Elements that were shown or staged, and not decided on.
    pub(super) fn undecided(&self) -> u16 {
        self.next_used.wrapping_sub(self.undecided.unwrap_or(self.used_index))
    }

    /// Decides on an interrupt for all that was shown.
    pub(super) fn decide(&mut self) -> bool {
        let Some(before) = self.undecided.take() else { return false };
        let asked = wake::ask_split(&self.areas.used, &self.areas.available, self.asked_at());
        self.wants_interrupt(asked, before)
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        let Areas { available, used, .. } = &self.areas;
        let (ask_at, ask) = if self.event_idx { (self.avail_event_offset(), self.next_available) } else { (FLAGS, 0) };
        let index = wake::arm_split(used, (ask_at, ask), available, INDEX);
        used.mark(ask_at, 2);
        Ok(self.check(index)? != 0)
    }

    /// Tells the driver that no doorbells are needed for now.
    #[inline]
    pub(super) fn disarm(&mut self) {
        // RING-EVT-09: with event indexes the flags stay zero; an index that is not moved on does the same.
        if !self.event_idx {
            self.areas.used.store_u16(FLAGS, NO_NOTIFY, Ordering::Relaxed);
            self.areas.used.mark(FLAGS, 2);
        }
    }

    #[inline(always)]
    fn size(&self) -> u16 {
        (self.mask + 1) as u16
    }

    /// The entry of either ring that an index falls on.
    #[inline(always)]
    fn slot(&self, index: u16) -> u32 {
        u32::from(index) & self.mask
    }

    /// The slot of the chain that was taken last.
    pub(super) fn last_slot(&self, _taken: Taken) -> u16 {
        self.slot(self.next_available.wrapping_sub(1)) as u16
    }

    /// Chains taken since this was asked last. Fewer than can be counted: no more than the queue size can be taken
    /// before some are published.
    pub(super) fn count_taken(&mut self) -> u16 {
        let before = std::mem::replace(&mut self.counted, self.next_available);
        self.next_available.wrapping_sub(before)
    }

    /// Where `used_event` is in the driver area: behind the entries of the available ring.
    #[inline]
    fn used_event_offset(&self) -> usize {
        ENTRIES + 2 * (self.mask as usize + 1)
    }

    /// Where `avail_event` is in the device area: behind the elements of the used ring.
    #[inline]
    fn avail_event_offset(&self) -> usize {
        ENTRIES + 8 * (self.mask as usize + 1)
    }

    pub(super) fn position(&self) -> QueuePosition {
        let decided = self.interrupt_decided && self.undecided.is_none();
        QueuePosition::Split { available: self.next_available, used: self.next_used, decided }
    }
}

/// Where these flags are in the second half of a descriptor of a split ring.
const fn split_flags(flags: u16) -> u64 {
    (flags as u64) << SplitChain::FLAGS_AT
}

impl Descriptor {
    #[inline(always)]
    fn is_writable(self) -> bool {
        self.rest & split_flags(WRITE) != 0
    }

    /// The index of the descriptor that follows.
    #[inline(always)]
    fn next(self) -> u32 {
        (self.rest >> 48) as u32
    }
}

/// Adds the buffers of a chain from `at` on, for as long as its descriptors are plain.
#[inline(always)]
fn run(view: &MemoryView, buffers: &mut Buffers, table: &impl DescriptorSource, at: WalkAt) -> WalkAt {
    let expected = u32::from(NEXT).wrapping_add((at.index + 1) << 16);
    table.run::<SplitChain>(view, buffers, at, expected)
}

/// What a chain ends with in a table.
#[derive(PartialEq, Eq)]
enum End {
    /// Its last descriptor.
    Last,
    /// A descriptor that points at an indirect table.
    Table,
}

/// How far a chain may still go.
struct Trail {
    /// The head of the chain.
    head: u16,
    /// Descriptors that a chain may have.
    limit: u16,
    /// Descriptors that may come from `start` on.
    left: u32,
    /// The descriptor from which on it went from neighbour to neighbour.
    start: u32,
}

impl Trail {
    /// Adds the buffers of a chain from the descriptor `at` on.
    fn follow(
        &mut self,
        view: &MemoryView,
        buffers: &mut Buffers,
        table: &impl DescriptorSource,
        at: &mut WalkAt,
    ) -> Result<End, RingFault> {
        loop {
            // DRV-RING-05: a chain that loops has more descriptors than there can be.
            let passed = at.index - self.start;
            if passed >= self.left {
                return Err(self.endless());
            }
            if at.ended {
                return Ok(End::Last);
            }
            let rest = at.descriptor.rest;
            if rest & split_flags(INDIRECT) != 0 {
                self.left -= passed;
                return Ok(End::Table);
            }
            buffers.add(view, at.index, at.descriptor, at.descriptor.is_writable());
            if rest & split_flags(NEXT) == 0 {
                return Ok(End::Last);
            }
            let next = at.descriptor.next();
            if next != at.index + 1 {
                self.left -= passed + 1;
                self.start = next;
            }
            let Some(descriptor) = table.read(next) else { return Err(table.missing(at.index, next)) };
            *at = run(view, buffers, table, WalkAt::new(next, descriptor));
        }
    }

    /// Adds the buffers of an indirect table from the descriptor `at` on.
    #[inline(never)]
    fn follow_table(
        &mut self,
        view: &MemoryView,
        buffers: &mut Buffers,
        table: &impl DescriptorSource,
        mut at: WalkAt,
    ) -> Result<(), RingFault> {
        match self.follow(view, buffers, table, &mut at)? {
            End::Last => Ok(()),
            // DRV-IND-02
            End::Table => Err(RingFault::Indirect { index: at.index as u16 }),
        }
    }

    #[cold]
    fn endless(&self) -> RingFault {
        RingFault::Endless { head: self.head, limit: self.limit }
    }
}

/// The three areas, and the arrays in them: in bytes, of a queue of `n` descriptors,
///
/// ```text
/// descriptor area        driver area: available ring     device area: used ring
///   16 * n descriptors      2 flags                         2 flags
///                           2 index                         2 index
///                           2 * n entries (`ring`)          8 * n elements (`ring`)
///                           2 used_event                    2 avail_event
/// ```
///
/// Each side writes its own area, and the driver the descriptors. The last field is there with EVENT_IDX.
struct Areas {
    descriptors: Array<16>,
    available: Window<2>,
    available_ring: Array<2>,
    used: Window<4>,
    used_ring: Array<8>,
}

impl Areas {
    fn new(setup: &QueueSetup, event_idx: bool, view: &MemoryView) -> Result<Areas, RingFault> {
        let size = setup.size;
        let entries = u32::from(size);
        let event = if event_idx { 2 } else { 0 };
        let area = window::<16>(view, Area::Descriptor, setup.descriptor_area, 16 * entries)?;
        let descriptors = array(&area, 0, size)?;
        let available = window(view, Area::Driver, setup.driver_area, 4 + 2 * entries + event)?;
        let available_ring = array::<2, 2>(&available, ENTRIES, size)?;
        let used = window(view, Area::Device, setup.device_area, 4 + 8 * entries + event)?;
        let used_ring = array::<4, 8>(&used, ENTRIES, size)?;
        Ok(Areas { descriptors, available, available_ring, used, used_ring })
    }
}

fn array<const ALIGN: usize, const SIZE: usize>(
    window: &Window<ALIGN>,
    offset: usize,
    size: u16,
) -> Result<Array<SIZE>, RingFault> {
    // The window has been made large enough.
    window.array(offset, size).ok_or(RingFault::Size { size })
}

/// Whether a move of an index from `before` to `now` passes `event`, which is `used_event` here: so the driver wants an
/// interrupt for what it was moved over (virtio 1.4, section 2.7.7.1). Drivers decide on doorbells by the same rule.
#[inline]
pub(super) fn crosses(event: u16, now: u16, before: u16) -> bool {
    now.wrapping_sub(event).wrapping_sub(1) < now.wrapping_sub(before)
}
