//! What a batch consists of.

use crate::queues::{BATCH, SIZE};

/// Bytes of a buffer.
pub(super) const BUFFER: u32 = 1024;

/// What a batch consists of.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Buffers of a chain: the first is for the device to read, the others to write.
    pub(super) buffers: u16,
    pub(super) indirect: bool,
    /// Regions that memory has.
    pub(super) regions: u64,
    pub(super) placement: Placement,
}

#[derive(Clone, Copy)]
pub(super) enum Placement {
    /// All buffers are in the last region.
    Local,
    /// Each buffer is in any region.
    Random,
}

impl Shape {
    /// Chains of so many descriptors, in memory of one region.
    pub(super) fn direct(buffers: u16) -> Shape {
        Shape { buffers, indirect: false, regions: 1, placement: Placement::Local }
    }

    /// As [`direct`](Self::direct), in a table for each chain.
    pub(super) fn indirect(buffers: u16) -> Shape {
        Shape { indirect: true, ..Shape::direct(buffers) }
    }

    /// One descriptor, in memory of 64 regions.
    pub(super) fn scattered(placement: Placement) -> Shape {
        Shape { regions: 64, placement, ..Shape::direct(1) }
    }

    /// Bytes that the device says it has written into each chain: all that it may.
    pub(super) fn written(self) -> u32 {
        (u32::from(self.buffers) - 1) * BUFFER
    }

    /// Batches that make a run.
    pub(super) fn batches(self) -> u32 {
        8192 / u32::from(self.buffers)
    }

    /// Batches that fit into the ring, at most eight, and whose tables fit into a processor's nearest cache.
    pub(super) fn batches_at_once(self) -> usize {
        let descriptors = self.buffers * BATCH;
        let fit = if self.indirect { (1024 / descriptors).clamp(1, SIZE / BATCH) } else { SIZE / descriptors };
        fit.into()
    }
}

/// What a device does with a buffer here: it has looked at all there is to know of it.
#[inline(always)]
pub(super) fn fold(so_far: u64, address: u64, len: u32, writable: bool) -> u64 {
    so_far.wrapping_add(address ^ (u64::from(len) << 1 | u64::from(writable)))
}
