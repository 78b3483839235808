//! The driver's memory: the guest memory that the devices work on, and the copies into and out of it that a driver in
//! the same process needs.

use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use virtio_core::GuestRam;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::demo::DemoError;

/// Bytes of guest memory.
const SIZE: usize = 64 << 20;

/// Guest memory for the one driver of this process. Its functions are static because the driver's are.
pub(crate) struct DriverMemory {
    guest: GuestMemoryMmap,
    /// Which pages are in use.
    used: Mutex<Vec<bool>>,
}

static MEMORY: OnceLock<Option<DriverMemory>> = OnceLock::new();

impl DriverMemory {
    fn get() -> Option<&'static DriverMemory> {
        let map = || {
            let guest = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), SIZE)]).ok()?;
            let mut used = vec![false; SIZE / PAGE_SIZE];
            // Address zero means failure to the driver.
            used[0] = true;
            Some(DriverMemory { guest, used: Mutex::new(used) })
        };
        MEMORY.get_or_init(map).as_ref()
    }

    /// As the devices see it.
    pub(crate) fn ram() -> Result<GuestRam, DemoError> {
        let memory = DriverMemory::get().ok_or_else(|| DemoError::Memory(format!("cannot map {SIZE} bytes")))?;
        GuestRam::from_vm_memory(&memory.guest).map_err(|error| DemoError::Memory(error.to_string()))
    }

    /// The address of `pages` pages in a row; none where there are none.
    fn take(&self, pages: usize) -> Option<PhysAddr> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let first = used.windows(pages).position(|window| window.iter().all(|used| !used))?;
        used[first..first + pages].fill(true);
        Some((first * PAGE_SIZE) as PhysAddr)
    }

    fn give_back(&self, address: PhysAddr, pages: usize) {
        let first = address as usize / PAGE_SIZE;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = used.get_mut(first..first + pages) {
            pages.fill(false);
        }
    }
}

// SAFETY: `dma_alloc` hands out pages that nobody else has, zeroed, from a mapping that lives as long as the process.
unsafe impl Hal for DriverMemory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let take = || {
            let memory = DriverMemory::get()?;
            let address = memory.take(pages)?;
            let zeros = vec![0; pages * PAGE_SIZE];
            memory.guest.write_slice(&zeros, GuestAddress(address)).ok()?;
            let host = memory.guest.get_host_address(GuestAddress(address)).ok()?;
            Some((address, NonNull::new(host)?))
        };
        take().unwrap_or((0, NonNull::dangling()))
    }

    unsafe fn dma_dealloc(address: PhysAddr, _host: NonNull<u8>, pages: usize) -> i32 {
        match DriverMemory::get() {
            Some(memory) => memory.give_back(address, pages),
            None => return -1,
        }
        0
    }

    unsafe fn mmio_phys_to_virt(_address: PhysAddr, _size: usize) -> NonNull<u8> {
        // Only the driver's own PCI transport asks, which is not used here.
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let share = || {
            let memory = DriverMemory::get()?;
            let address = memory.take(buffer.len().div_ceil(PAGE_SIZE))?;
            if direction != BufferDirection::DeviceToDriver {
                // SAFETY: the caller vouches for the buffer, and that nobody else touches it meanwhile.
                let bytes = unsafe { buffer.as_ref() };
                memory.guest.write_slice(bytes, GuestAddress(address)).ok()?;
            }
            Some(address)
        };
        // No address of ours: the device refuses it.
        share().unwrap_or(PhysAddr::MAX)
    }

    unsafe fn unshare(address: PhysAddr, mut buffer: NonNull<[u8]>, direction: BufferDirection) {
        let Some(memory) = DriverMemory::get().filter(|_| address != PhysAddr::MAX) else { return };
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: the caller vouches for the buffer, and that nobody else touches it meanwhile.
            let bytes = unsafe { buffer.as_mut() };
            if let Err(error) = memory.guest.read_slice(bytes, GuestAddress(address)) {
                log::error!("a shared buffer cannot be read back: {error}");
            }
        }
        memory.give_back(address, buffer.len().div_ceil(PAGE_SIZE));
    }
}
