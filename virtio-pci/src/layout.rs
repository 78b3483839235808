//! Where things are in the function's BARs.
#[cfg(test)]
mod tests;

/// The BAR with the virtio structures.
pub(crate) const STRUCTURES_BAR: u8 = 0;
/// The BAR with the MSI-X table and its pending bits. A 64-bit BAR 0 takes the place of BAR 1 too.
pub(crate) const MSIX_BAR: u8 = 2;

/// Each structure starts on a page of its own, so that an embedder can treat pages differently.
const PAGE: u32 = 4096;

/// Bytes of the common configuration structure (virtio 1.4, section 4.1.4.3).
pub(crate) const COMMON_LEN: u32 = 0x40;
/// Bytes between the doorbells of two queues. Four: even with NOTIFICATION_DATA a doorbell is 4 bytes wide
/// (PCI-NOTIFY-03, PCI-NOTIFY-06).
pub(crate) const NOTIFY_MULTIPLIER: u32 = 4;
/// Bytes of an entry of the MSI-X table.
pub(crate) const MSIX_ENTRY: u32 = 16;

/// A part of a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Bytes from the start of the BAR.
    pub(crate) offset: u32,
    /// Length in bytes.
    pub(crate) len: u32,
}

impl Region {
    /// A region on the first page from `offset` on.
    fn new(offset: u32, len: u32) -> Region {
        Region { offset: offset.next_multiple_of(PAGE), len }
    }

    fn end(self) -> u32 {
        self.offset + self.len
    }

    /// `offset` counted from the start of the region, where it is in it.
    pub(crate) fn within(self, offset: u64) -> Option<u64> {
        offset.checked_sub(self.offset.into()).filter(|within| *within < self.len.into())
    }

    /// Whether all of `len` bytes at `offset` are in the region.
    pub(crate) fn covers(self, offset: u32, len: u32) -> bool {
        self.within(offset.into()).is_some_and(|within| within + u64::from(len) <= u64::from(self.len))
    }
}

/// The structures in [`STRUCTURES_BAR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Structures {
    /// Common configuration. PCI-COMMON-01: aligned, as all are.
    pub(crate) common: Region,
    /// Interrupt status.
    pub(crate) isr: Region,
    /// Device configuration; empty for a device without.
    pub(crate) device: Region,
    /// Doorbells.
    pub(crate) notify: Region,
    /// Bytes of the BAR.
    pub(crate) size: u64,
}

impl Structures {
    /// For a device with that many queues, and bytes of configuration.
    pub(crate) fn new(queues: u16, config: u32) -> Structures {
        let common = Region::new(0, COMMON_LEN);
        let isr = Region::new(common.end(), 1);
        let device = Region::new(isr.end(), config);
        // PCI-NOTIFY-04, PCI-NOTIFY-08: room for each queue's doorbell, and for one at least.
        let notify = Region::new(device.end(), NOTIFY_MULTIPLIER * u32::from(queues.max(1)));
        Structures { common, isr, device, notify, size: u64::from(notify.end()).next_power_of_two().max(0x4000) }
    }

    /// Whether the bytes are all of one structure.
    pub(crate) fn covers(&self, offset: u32, len: u32) -> bool {
        [self.common, self.isr, self.device, self.notify].iter().any(|region| region.covers(offset, len))
    }
}

/// What is in [`MSIX_BAR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MsixLayout {
    /// The table.
    pub(crate) table: Region,
    /// The pending bits, in words of 64.
    pub(crate) pending: Region,
    /// Bytes of the BAR.
    pub(crate) size: u64,
}

impl MsixLayout {
    /// For that many vectors, 2048 at most.
    pub(crate) fn new(vectors: u16) -> MsixLayout {
        let table = Region::new(0, MSIX_ENTRY * u32::from(vectors));
        let pending = Region::new(table.end(), 8 * u32::from(vectors.div_ceil(64)));
        MsixLayout { table, pending, size: u64::from(pending.end()).next_power_of_two() }
    }
}
