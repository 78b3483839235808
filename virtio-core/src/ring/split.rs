//! The split layout (virtio 1.4, section 2.7): descriptor table, available ring, used ring.

use std::sync::atomic::Ordering;

use super::error::{Area, RingFault};
use super::position::QueuePosition;
use super::setup::window;
use super::walk::{Buffers, Descriptor, Scattered, Stop, Table};
use super::{QueueSetup, Taken, wake};
use crate::Features;
use crate::memory::{Array, INDIRECT, MemoryView, NEXT, WRITE, Window};

/// `VIRTQ_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;

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
    /// The next entry of the available ring to take.
    next: u16,
    /// Entries before this one may be taken.
    seen: u16,
    /// As `next`, when chains were last counted.
    counted: u16,
    /// Where the next used element goes.
    staged: u16,
    /// The used index that the driver knows.
    published: u16,
    /// Whether an interrupt was decided on for all that is published.
    decided: bool,
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
        let (next, published, decided) = match setup.position.unwrap_or(QueuePosition::SPLIT_START) {
            QueuePosition::Split { available, used, decided } => (available, used, decided),
            position @ QueuePosition::Packed { .. } => return Err(RingFault::Position { position }),
        };
        // A position is kept while nothing is in flight, so both count the same, but for chains that were never
        // answered: of these there cannot be more than the ring has room for.
        if next.wrapping_sub(published) > size {
            let in_flight = next.wrapping_sub(published);
            return Err(RingFault::Index { available: next, seen: next, in_flight, size });
        }
        Ok(Split {
            areas,
            mask: u32::from(size) - 1,
            event_idx,
            indirect: setup.features.contains(Features::INDIRECT_DESC),
            next,
            seen: next,
            counted: next,
            staged: published,
            published,
            decided,
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
        let (event_idx, indirect, decided) = (false, false, false);
        let (mask, next, seen, counted, staged, published) = (0, 0, 0, 0, 0, 0);
        Split { areas, mask, event_idx, indirect, next, seen, counted, staged, published, decided }
    }

    /// Looks the areas up again, in memory that has changed.
    pub(super) fn renew(&mut self, setup: &QueueSetup, view: &MemoryView) -> Result<(), RingFault> {
        self.areas = Areas::new(setup, self.event_idx, view)?;
        Ok(())
    }

    /// Whether there are chains that may be taken without another look.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        self.next != self.seen
    }

    /// Forgets what was seen but not taken; how many chains that were.
    pub(super) fn forget(&mut self) -> u16 {
        let seen = std::mem::replace(&mut self.seen, self.next);
        seen.wrapping_sub(self.next)
    }

    /// Reads the available index, and lets at most `limit` chains be taken; how many.
    #[inline]
    pub(super) fn look(&mut self, limit: u16) -> Result<u16, RingFault> {
        // Acquire: the entries and descriptors of what the index covers are read after it.
        let available = self.areas.available.load_u16(INDEX, Ordering::Acquire);
        let ahead = self.check(available)?.min(limit);
        self.seen = self.next.wrapping_add(ahead);
        Ok(ahead)
    }

    /// Chains ahead, where the available index can be what it is.
    #[inline]
    fn check(&self, available: u16) -> Result<u16, RingFault> {
        let in_flight = self.next.wrapping_sub(self.published);
        let ahead = available.wrapping_sub(self.next);
        if ahead > self.size().saturating_sub(in_flight) {
            return Err(RingFault::Index { available, seen: self.next, in_flight, size: self.size() });
        }
        Ok(ahead)
    }

    /// Takes the next chain that was seen, and puts its buffers into `buffers`. None where the ring is broken, and then it
    /// stands there why.
    #[inline(always)]
    pub(super) fn take(&mut self, view: &MemoryView, buffers: &mut Buffers) -> Option<Taken> {
        let head = self.areas.available_ring.load(self.slot(self.next))?;
        let table = self.areas.descriptors.descriptors();
        let Some(first) = table.read(head.into()) else { return self.stray(buffers, head) };
        let alone = first.rest & high(NEXT | INDIRECT) == 0;
        // The rest is not worth being inlined.
        let usual = alone && buffers.only(view, first, first.is_writable());
        if !usual && !self.walk(view, buffers, head.into(), first) {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        Some(Taken { id: head, slots: 1 })
    }

    /// DRV-RING-09
    #[cold]
    fn stray(&self, buffers: &mut Buffers, head: u16) -> Option<Taken> {
        buffers.ring_fault = Some(RingFault::Head { head, size: self.size() });
        None
    }

    /// Follows the chain whose first descriptor is number `head`; says whether it is whole.
    #[inline(never)]
    fn walk(&self, view: &MemoryView, buffers: &mut Buffers, head: u32, first: Descriptor) -> bool {
        buffers.clear();
        if first.rest & high(INDIRECT) != 0 {
            return self.walk_table(view, buffers, head, first);
        }
        let at = run(view, buffers, &self.areas.descriptors.descriptors(), Stop::at(head, first));
        (at.done && buffers.finish_usual()) || self.walk_on(view, buffers, head, at)
    }

    /// Follows a chain that begins with an indirect descriptor.
    #[inline(always)]
    fn walk_table(&self, view: &MemoryView, buffers: &mut Buffers, head: u32, first: Descriptor) -> bool {
        // What could be wrong is told apart by the slow way.
        let good = self.indirect && first.rest & (high(NEXT) | 15) == 0;
        let Some(table) = good.then(|| view.table(first.address, first.len() / 16)).flatten() else {
            return self.walk_on(view, buffers, head, Stop::at(head, first));
        };
        let Some(descriptor) = table.read(0) else { return self.walk_on(view, buffers, head, Stop::at(head, first)) };
        let at = run(view, buffers, &table, Stop::at(0, descriptor));
        if at.done && at.index <= self.mask && buffers.finish_usual() {
            return true;
        }
        let end = self.trail(head, 0).follow_table(view, buffers, &table, at);
        buffers.end(end)
    }

    /// Goes on with a chain that is not as usual from `at` on; `head` is its first descriptor.
    #[inline(never)]
    fn walk_on(&self, view: &MemoryView, buffers: &mut Buffers, head: u32, mut at: Stop) -> bool {
        let mut trail = self.trail(head, head);
        let table = self.areas.descriptors.descriptors();
        let end = match trail.follow(view, buffers, &table, &mut at) {
            Ok(End::Last) => Ok(()),
            // RING-IND-02
            Ok(End::Table) => self.follow_indirect(view, buffers, at, trail),
            Err(fault) => Err(fault),
        };
        buffers.end(end)
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
        Stop { index, descriptor, .. }: Stop,
        mut trail: Trail,
    ) -> Result<(), RingFault> {
        let (address, len, index) = (descriptor.address, descriptor.len(), index as u16);
        // DRV-IND-01, DRV-IND-04
        if !self.indirect || descriptor.rest & high(NEXT) != 0 {
            return Err(RingFault::Indirect { index });
        }
        // DRV-IND-05
        let count = descriptor.entries().ok_or(RingFault::TableLength { index, len })?;
        let table = Scattered { view, address, count };
        let Some(first) = table.read(0) else { return Err(RingFault::TableUnmapped { address }) };
        trail.start = 0;
        trail.follow_table(view, buffers, &table, Stop::at(0, first))
    }

    /// Gives back the chain that was taken last, as if it had not been.
    pub(super) fn untake(&mut self, _taken: Taken) {
        self.next = self.next.wrapping_sub(1);
    }

    /// Writes a used element that the driver does not see before `publish`: that of `count` chains, in which `id` names
    /// the last.
    #[inline(always)]
    pub(super) fn stage(&mut self, id: u16, len: u32, count: u16) {
        self.areas.used_ring.store(self.slot(self.staged), u32::from(id), len);
        self.staged = self.staged.wrapping_add(count);
    }

    #[inline]
    pub(super) fn has_staged(&self) -> bool {
        self.staged != self.published
    }

    /// Shows the driver all staged elements; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let Areas { available, used, used_ring, .. } = &self.areas;
        used_ring.mark(self.slot(self.published), self.staged.wrapping_sub(self.published).into());
        let wish = if self.event_idx { self.event_offset(2) } else { FLAGS };
        // RING-SPLIT-06
        let wish = wake::publish_split(used, (INDEX, self.staged), available, wish);
        used.mark(INDEX, 2);
        let before = std::mem::replace(&mut self.published, self.staged);
        if self.event_idx {
            // RING-EVT-04, RING-EVT-05, RING-EVT-06: the flags have no say.
            !std::mem::replace(&mut self.decided, true) || crosses(wish, self.published, before)
        } else {
            // RING-EVT-01, RING-EVT-02, RING-EVT-03: used_event has no say.
            wish & NO_INTERRUPT == 0
        }
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        let Areas { available, used, .. } = &self.areas;
        let wish = if self.event_idx { (self.event_offset(8), self.next) } else { (FLAGS, 0) };
        let index = wake::arm_split(used, wish, available, INDEX);
        used.mark(wish.0, 2);
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
        self.slot(self.next.wrapping_sub(1)) as u16
    }

    /// Chains taken since this was asked last. Fewer than can be counted: no more than the queue size can be taken
    /// before some are published.
    pub(super) fn count_taken(&mut self) -> u16 {
        let before = std::mem::replace(&mut self.counted, self.next);
        self.next.wrapping_sub(before)
    }

    /// The event index at the end of a ring whose entries have `entry` bytes.
    #[inline]
    fn event_offset(&self, entry: usize) -> usize {
        ENTRIES + entry * (self.mask as usize + 1)
    }

    pub(super) fn position(&self) -> QueuePosition {
        QueuePosition::Split { available: self.next, used: self.staged, decided: self.decided }
    }
}

/// Where these flags are in the second half of a descriptor.
const fn high(flags: u16) -> u64 {
    (flags as u64) << 32
}

impl Descriptor {
    #[inline(always)]
    fn is_writable(self) -> bool {
        self.rest & high(WRITE) != 0
    }

    /// The index of the descriptor that follows.
    #[inline(always)]
    fn next(self) -> u32 {
        (self.rest >> 48) as u32
    }
}

/// Adds the buffers of a chain from `at` on, for as long as its descriptors are as usual.
#[inline(always)]
fn run(view: &MemoryView, buffers: &mut Buffers, table: &impl Table, at: Stop) -> Stop {
    let usual = u32::from(NEXT).wrapping_add((at.index + 1) << 16);
    table.run::<32, { u32::MAX }, 0x1_0000>(view, buffers, at, usual)
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
        table: &impl Table,
        at: &mut Stop,
    ) -> Result<End, RingFault> {
        loop {
            // DRV-RING-05: a chain that loops has more descriptors than there can be.
            let passed = at.index - self.start;
            if passed >= self.left {
                return Err(self.endless());
            }
            if at.done {
                return Ok(End::Last);
            }
            let rest = at.descriptor.rest;
            if rest & high(INDIRECT) != 0 {
                self.left -= passed;
                return Ok(End::Table);
            }
            buffers.add(view, at.index, at.descriptor, at.descriptor.is_writable());
            if rest & high(NEXT) == 0 {
                return Ok(End::Last);
            }
            let next = at.descriptor.next();
            if next != at.index + 1 {
                self.left -= passed + 1;
                self.start = next;
            }
            let Some(descriptor) = table.read(next) else { return Err(table.missing(at.index, next)) };
            *at = run(view, buffers, table, Stop::at(next, descriptor));
        }
    }

    /// Adds the buffers of an indirect table from the descriptor `at` on.
    #[inline(never)]
    fn follow_table(
        &mut self,
        view: &MemoryView,
        buffers: &mut Buffers,
        table: &impl Table,
        mut at: Stop,
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

/// The three areas, and the arrays in them.
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

/// Whether a move of an index from `before` to `now` passes `event` (virtio 1.4, section 2.7.7.1): the one rule for
/// both directions.
#[inline]
pub(super) fn crosses(event: u16, now: u16, before: u16) -> bool {
    now.wrapping_sub(event).wrapping_sub(1) < now.wrapping_sub(before)
}
