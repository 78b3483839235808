//! What the drivers' sides of both layouts have in common.

use std::collections::VecDeque;

use super::TestMemory;
use crate::features::Features;
use crate::memory::Buffer;
use crate::ring::{QueuePosition, QueueSetup};

/// A buffer that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What names it: the head of its chain (split layout) or its id (packed layout).
    pub id: u32,
    /// Bytes that the device says it has written; with IN_ORDER, all that there are in a buffer that it skipped.
    pub len: u32,
}

/// When a driver wants to be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// For whatever comes back next. Asked anew for each buffer that is taken.
    Always,
    /// For nothing.
    Never,
    /// For what follows the next so many used elements (split layout) or slots (packed layout). Asked once. The same as
    /// `Always` without EVENT_IDX.
    After(u16),
}

/// The driver's side of a ring, of [`SplitDriver`](super::SplitDriver) and [`PackedDriver`](super::PackedDriver).
///
/// With this alone, a driver behaves as it must, but for [`break_ring`](Self::break_ring).
pub trait RingDriver: Send + Sized {
    /// The feature that makes a queue one of this layout.
    const LAYOUT: Features;

    /// An empty ring of `size` descriptors in new areas of `memory`, for a driver that negotiated `features`.
    fn new(memory: &TestMemory, size: u16, features: Features) -> Self;
    /// Goes on as if so many chains of one descriptor had come and gone before. For a ring that has not been used yet.
    fn start_after(&mut self, chains: u16);
    /// What a device builds its queue from. Interrupt, counters and fault sink are nobody's.
    fn setup(&self) -> QueueSetup;
    /// Where a device goes on, if nothing is in flight; `decided` as in [`QueuePosition`].
    fn position(&self, decided: bool) -> QueuePosition;
    /// The addresses of the descriptor, driver and device areas.
    fn areas(&self) -> (u64, u64, u64);
    /// The size of the ring.
    fn size(&self) -> u16;
    /// Descriptors that are free.
    fn free(&self) -> usize;

    /// Adds a chain, to be published later; what names it: its head (split layout) or its id (packed layout). None where
    /// too few descriptors are free.
    fn add(&mut self, buffers: &[Buffer]) -> Option<u16>;
    /// Adds a chain whose buffers stand in a new indirect table. None where no descriptor is free.
    fn add_indirect(&mut self, buffers: &[Buffer]) -> Option<u16>;
    /// As [`add_indirect`](Self::add_indirect), with the table at `table`.
    fn add_table(&mut self, table: u64, buffers: &[Buffer]) -> Option<u16>;
    /// Adds a chain whose indirect table is whatever is in `len` bytes at `table`.
    fn add_pointer(&mut self, table: u64, len: u32) -> Option<u16>;
    /// Shows the device what was added, all at once: it sees none of it before it sees the first. Whether it wants a
    /// doorbell for that.
    #[must_use = "a device may sleep until the doorbell that it wants"]
    fn publish(&mut self) -> bool;
    /// Publishes, and rings if the device wants that.
    fn kick(&mut self, ring: impl FnOnce()) {
        if self.publish() {
            ring();
        }
    }
    /// Publishes, for a device that looks without having been told.
    fn show(&mut self) {
        let _ = self.publish();
    }
    /// The next buffer that came back, whose descriptors are free again. Asks to be interrupted for the one after it,
    /// unless [`want`](Self::want) said otherwise.
    ///
    /// With IN_ORDER, buffers that the device skipped come back like the others, as wholly written.
    fn used(&mut self) -> Option<Used>;
    /// Buffers that came back and were not taken yet.
    fn waiting(&self) -> usize;
    /// Says when the driver wants to be interrupted.
    fn want(&mut self, wish: Wish);
    /// Makes something available that breaks the ring's structure: an index that is too far ahead (split layout), or the
    /// beginning of a list whose next descriptor is not available (packed layout). Nothing that is published later mends it.
    fn break_ring(&mut self);
}

/// Bytes that the device may write into a chain.
pub(super) fn writable(buffers: &[Buffer]) -> u32 {
    buffers.iter().filter(|buffer| buffer.writable).fold(0, |sum, buffer| sum.wrapping_add(buffer.len))
}

/// The chains in the order in which they were made available: with IN_ORDER one used element stands for all of them up
/// to the one that it names (virtio 1.4, sections 2.7.9 and 2.8.8).
#[derive(Clone, Debug, Default)]
pub(super) struct Batches {
    offered: VecDeque<u16>,
    /// The element of the batch whose chains are being taken.
    element: Option<Used>,
}

impl Batches {
    pub(super) fn offer(&mut self, id: u16) {
        self.offered.push_back(id);
    }

    /// Whether the next chain belongs to a batch whose element was read before.
    pub(super) fn goes_on(&self) -> bool {
        self.element.is_some()
    }

    /// The next chain that came back; `read` gives the element at its place, and `writable` the bytes that could be
    /// written into a chain. An element that names nothing that was offered stands for itself.
    pub(super) fn take(&mut self, read: impl FnOnce() -> Used, writable: impl FnOnce(u16) -> u32) -> Used {
        let element = self.element.take().unwrap_or_else(read);
        if !self.offered.iter().any(|id| u32::from(*id) == element.id) {
            return element;
        }
        match self.offered.pop_front() {
            Some(id) if u32::from(id) != element.id => {
                self.element = Some(element);
                Used { id: id.into(), len: writable(id) }
            }
            _ => element,
        }
    }
}
