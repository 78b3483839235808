//! The split layout (virtio 1.4, section 2.7): descriptor table, available ring, used ring.

use std::sync::atomic::{Ordering, fence};

use super::error::{Area, ChainFault, RingFault};
use super::walk::{Descriptor, Walk, Walked};
use super::{QueuePosition, QueueSetup};
use crate::Features;
use crate::memory::{MemoryView, SegmentList, Window};

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
    /// Wider than it need be, for speed: read together with a neighbour that was just written, it would have to wait.
    size: u32,
    event_idx: bool,
    indirect: bool,
    /// The next entry of the available ring to take.
    next: u16,
    /// The available index as last read; entries before it may be taken.
    seen: u16,
    /// As `next`, when chains were last counted.
    counted: u16,
    /// Where the next used element goes.
    staged: u16,
    /// The used index that the driver knows.
    published: u16,
    /// The used index at the last decision on an interrupt; none when there has been none, or it is not known.
    decided: Option<u16>,
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
        let (next, published, decided) = match setup.position {
            Some(QueuePosition::Split { available, used, decided }) => (available, used, decided),
            None => (0, 0, None),
        };
        // A position is kept while nothing is in flight, so both count the same, but for chains that were never
        // answered: of these there cannot be more than the ring has room for.
        if next.wrapping_sub(published) > size {
            let in_flight = next.wrapping_sub(published);
            return Err(RingFault::Index { available: next, seen: next, in_flight, size });
        }
        // Every batch is decided on, so another index was never true; taken for one it could cost an interrupt.
        let decided = decided.filter(|decided| *decided == published);
        Ok(Split {
            areas,
            size: size.into(),
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

    /// Looks the areas up again, in memory that has changed.
    pub(super) fn renew(&mut self, setup: &QueueSetup, view: &MemoryView) -> Result<(), RingFault> {
        self.areas = Areas::new(setup, self.event_idx, view)?;
        Ok(())
    }

    /// Lets go of the areas: the ring is broken or was taken back, and nothing of it is read or written any more.
    pub(super) fn leave(&mut self, view: &MemoryView) {
        let Areas { descriptors, available, used } = &mut self.areas;
        descriptors.leave(view);
        available.leave(view);
        used.leave(view);
    }

    #[inline]
    pub(super) fn has_seen(&self) -> bool {
        self.next != self.seen
    }

    /// Forgets what was seen but not taken.
    pub(super) fn forget(&mut self) {
        self.seen = self.next;
    }

    /// Reads the available index; says whether there is anything to take.
    #[inline]
    pub(super) fn look(&mut self) -> Result<bool, RingFault> {
        // Acquire: the entries and descriptors of what the index covers are read after it.
        let available = self.areas.available.load_u16(INDEX, Ordering::Acquire);
        let in_flight = self.next.wrapping_sub(self.published);
        let ahead = available.wrapping_sub(self.next);
        if ahead > self.size().saturating_sub(in_flight) {
            return Err(RingFault::Index { available, seen: self.next, in_flight, size: self.size() });
        }
        self.seen = available;
        Ok(ahead != 0)
    }

    /// Takes the next chain that was seen, and puts its buffers into `list`.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        view: &MemoryView,
        list: &mut SegmentList,
        fault: &mut Option<ChainFault>,
    ) -> Result<Walked, RingFault> {
        let slot = u32::from(self.next) & (self.size - 1);
        let head = self.areas.available.load_u16(ENTRIES + 2 * slot as usize, Ordering::Relaxed);
        let first = self.descriptor(head).ok_or(RingFault::Head { head, size: self.size() })?;
        *fault = None;
        // Most chains that are short are indirect or a single buffer; the rest is not worth being inlined.
        let walked = if first.is_alone() && list.only(view, first.address, first.len(), first.is_writable()) {
            Walked { head, bytes: first.len().into() }
        } else {
            self.walk(view, list, fault, head, first)?
        };
        self.next = self.next.wrapping_add(1);
        Ok(walked)
    }

    /// Follows the chain at `head`, whose first descriptor has been read.
    #[inline(never)]
    fn walk(
        &self,
        view: &MemoryView,
        list: &mut SegmentList,
        fault: &mut Option<ChainFault>,
        head: u16,
        first: Descriptor,
    ) -> Result<Walked, RingFault> {
        let mut walk = Walk::new(view, list, fault);
        let (mut index, mut descriptor, mut left) = (head, first, self.size());
        loop {
            if descriptor.is_indirect() {
                let place = Place { head, index, left };
                return walk.detour(|view, list, fault| self.walk_table(view, list, fault, descriptor, place));
            }
            walk.add(index, descriptor);
            if !descriptor.has_next() {
                return Ok(walk.done(head));
            }
            left -= 1;
            // A chain that loops has more descriptors than the table.
            if left == 0 {
                return Err(RingFault::Endless { head, limit: self.size() });
            }
            let next = descriptor.next(index.wrapping_add(1));
            descriptor = self.descriptor(next).ok_or(RingFault::Next { index, next, size: self.size })?;
            index = next;
        }
    }

    /// Goes on in the indirect table of the descriptor `table` (RING-IND-02, RING-IND-03).
    #[inline(never)]
    fn walk_table(
        &self,
        view: &MemoryView,
        list: &mut SegmentList,
        fault: &mut Option<ChainFault>,
        table: Descriptor,
        Place { head, index, mut left }: Place,
    ) -> Result<Walked, RingFault> {
        if !self.indirect || table.has_next() {
            return Err(RingFault::Indirect { index });
        }
        let size = table.entries().ok_or(RingFault::TableLength { index, len: table.len() })?;
        let unmapped = RingFault::TableUnmapped { address: table.address };
        let descriptors = view.table(table.address, size);
        let mut walk = Walk::go_on(view, list, fault);
        let mut index = 0;
        let mut descriptor = Descriptor::new(descriptors.entry(index).ok_or(unmapped)?);
        loop {
            if descriptor.is_indirect() {
                return Err(RingFault::Indirect { index });
            }
            walk.add(index, descriptor);
            if !descriptor.has_next() {
                return Ok(walk.done(head));
            }
            left -= 1;
            if left == 0 {
                return Err(RingFault::Endless { head, limit: self.size() });
            }
            let next = descriptor.next(index.wrapping_add(1));
            if u32::from(next) >= size {
                return Err(RingFault::Next { index, next, size });
            }
            descriptor = Descriptor::new(descriptors.entry(next).ok_or(unmapped)?);
            index = next;
        }
    }

    /// Chains taken since this was asked last. Fewer than can be counted: no more than the queue size can be taken
    /// before some are published.
    pub(super) fn count_taken(&mut self) -> u16 {
        let before = std::mem::replace(&mut self.counted, self.next);
        self.next.wrapping_sub(before)
    }

    /// Gives back the chain that was taken last, as if it had not been.
    pub(super) fn untake(&mut self) {
        self.next = self.next.wrapping_sub(1);
    }

    /// The descriptor at `index`, if the table has that many.
    #[inline(always)]
    fn descriptor(&self, index: u16) -> Option<Descriptor> {
        self.areas.descriptors.descriptor(index).map(Descriptor::new)
    }

    /// Writes a used element that the driver does not see before `publish`.
    #[inline]
    pub(super) fn stage(&mut self, head: u16, len: u32) {
        let slot = u32::from(self.staged) & (self.size - 1);
        let offset = ENTRIES + 8 * slot as usize;
        self.areas.used.store_pair(offset, u32::from(head), len);
        self.areas.used.mark(offset, 8);
        self.staged = self.staged.wrapping_add(1);
    }

    #[inline]
    pub(super) fn has_staged(&self) -> bool {
        self.staged != self.published
    }

    /// Shows the driver all staged elements; says whether it wants an interrupt.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        self.published = self.staged;
        // RING-SPLIT-06. Release: the elements, and the buffers they speak of, are written before the index.
        self.areas.used.store_u16(INDEX, self.published, Ordering::Release);
        self.areas.used.mark(INDEX, 2);
        // The index must be visible before the driver's wish is read: else the driver could arm after our read, find
        // the old index, and sleep.
        fence(Ordering::SeqCst);
        if self.event_idx {
            // RING-EVT-04, -05, -06: the flags have no say.
            let event = self.areas.available.load_u16(self.event_offset(2), Ordering::Relaxed);
            let before = self.decided.replace(self.published);
            before.is_none_or(|before| crosses(event, self.published, before))
        } else {
            // RING-EVT-01, -02, -03: used_event has no say.
            self.areas.available.load_u16(FLAGS, Ordering::Relaxed) & NO_INTERRUPT == 0
        }
    }

    /// Asks the driver for doorbells, and says whether there is something to take already.
    #[inline]
    pub(super) fn arm(&mut self) -> Result<bool, RingFault> {
        if self.event_idx {
            let offset = self.event_offset(8);
            self.areas.used.store_u16(offset, self.next, Ordering::Relaxed);
            self.areas.used.mark(offset, 2);
        } else {
            self.areas.used.store_u16(FLAGS, 0, Ordering::Relaxed);
            self.areas.used.mark(FLAGS, 2);
        }
        // The wish must be visible before the index is read again: else the driver could publish after our read, find
        // the old wish, and not ring.
        fence(Ordering::SeqCst);
        self.look()
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
        self.size as u16
    }

    /// The event index at the end of a ring whose entries have `entry` bytes.
    #[inline]
    fn event_offset(&self, entry: usize) -> usize {
        ENTRIES + entry * self.size as usize
    }

    pub(super) fn position(&self) -> QueuePosition {
        QueuePosition::Split { available: self.next, used: self.staged, decided: self.decided }
    }
}

/// Where the walk of a chain has got to.
struct Place {
    head: u16,
    index: u16,
    /// Descriptors that may follow.
    left: u16,
}

/// The windows on the three areas.
struct Areas {
    descriptors: Window<16>,
    available: Window<2>,
    used: Window<4>,
}

impl Areas {
    fn new(setup: &QueueSetup, event_idx: bool, view: &MemoryView) -> Result<Areas, RingFault> {
        let size = u32::from(setup.size);
        let event = if event_idx { 2 } else { 0 };
        Ok(Areas {
            descriptors: window(view, Area::Descriptor, setup.descriptor_area, 16 * size)?,
            available: window(view, Area::Driver, setup.driver_area, 4 + 2 * size + event)?,
            used: window(view, Area::Device, setup.device_area, 4 + 8 * size + event)?,
        })
    }
}

fn window<const ALIGN: usize>(
    view: &MemoryView,
    area: Area,
    address: u64,
    len: u32,
) -> Result<Window<ALIGN>, RingFault> {
    view.window(address, len).ok_or(RingFault::Area { area, address, len })
}

/// Whether a move of an index from `before` to `now` passes `event` (virtio 1.4, section 2.7.7.1): the one rule for
/// both directions.
#[inline]
pub(super) fn crosses(event: u16, now: u16, before: u16) -> bool {
    now.wrapping_sub(event).wrapping_sub(1) < now.wrapping_sub(before)
}
