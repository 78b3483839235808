//! Guest memory of two regions, the second of which comes and goes.

use std::sync::Arc;

use virtio_core::testing::{RingDriver, TestMemory};
use virtio_core::{Features, GuestRam, Virtqueue};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

/// Where the region is that comes and goes.
pub(crate) const PLUGGED: u64 = 0x100_0000;
/// Its length: large enough that the allocator of the process does not reuse the place by chance.
pub(crate) const PLUGGED_LEN: u64 = 0x10_0000;

/// Guest memory that the rings are in, and that stays.
pub(crate) struct Memory {
    pub(crate) test: TestMemory,
    fixed: GuestMemoryMmap<()>,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        let fixed = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        Memory { test: TestMemory::over(&fixed), fixed }
    }

    pub(crate) fn ram(&self) -> &GuestRam {
        self.test.ram()
    }

    /// Maps the second region; only guest memory holds on to it.
    pub(crate) fn plug(&self) {
        let region = GuestRegionMmap::from_range(GuestAddress(PLUGGED), PLUGGED_LEN as usize, None).unwrap();
        let both = self.fixed.insert_region(Arc::new(region)).unwrap();
        self.ram().replace_from_vm_memory(&both).unwrap().on_complete(|| {});
    }

    /// Takes the second region away.
    pub(crate) fn unplug(&self) -> virtio_core::memory::MemoryBarrier {
        self.ram().unmap(PLUGGED, PLUGGED_LEN).unwrap()
    }

    /// A ring of 16 descriptors in the first region.
    pub(crate) fn ring<D: RingDriver>(&self, features: Features) -> (D, Virtqueue) {
        let driver = D::new(&self.test, 16, features);
        let queue = Virtqueue::new(driver.setup()).unwrap();
        (driver, queue)
    }
}
