//! Guest memory for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use vm_memory::{AtomicAccess, Bytes, GuestAddress, GuestMemoryMmap};

use crate::memory::GuestRam;

/// Guest memory that starts at address 0, with a simple allocator. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct TestMemory {
    ram: GuestRam,
    /// The same memory, for what a driver must write or read at once.
    mmap: Arc<RwLock<GuestMemoryMmap<()>>>,
    next: Arc<AtomicU64>,
}

impl TestMemory {
    /// `len` bytes of zeros. The first 4 KiB are never handed out, so that address 0 is nobody's.
    pub fn new(len: usize) -> TestMemory {
        TestMemory::with_regions(&[(0, len)])
    }

    /// Several regions of (address, length), ascending. The allocator uses the first.
    pub fn with_regions(regions: &[(u64, usize)]) -> TestMemory {
        let ranges: Vec<_> = regions.iter().map(|(start, len)| (GuestAddress(*start), *len)).collect();
        TestMemory::over(&GuestMemoryMmap::from_ranges(&ranges).expect("map guest memory"))
    }

    /// Memory that was mapped before.
    pub fn over(mmap: &GuestMemoryMmap<()>) -> TestMemory {
        let ram = GuestRam::from_vm_memory(mmap).expect("regions that stay mapped");
        let first = ram.regions().first().map_or(0, |region| region.0);
        let mmap = Arc::new(RwLock::new(mmap.clone()));
        TestMemory { ram, mmap, next: Arc::new(AtomicU64::new(first + 4096)) }
    }

    /// As the devices see it.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// An unused address aligned to `align` with room for `len` bytes.
    pub fn alloc(&self, len: u64, align: u64) -> u64 {
        let mut start = 0;
        let take = |next: u64| {
            start = next.next_multiple_of(align);
            Some(start + len)
        };
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok();
        start
    }

    /// Puts `bytes` at an unused address.
    pub fn place(&self, bytes: &[u8]) -> u64 {
        let address = self.alloc(bytes.len() as u64, 16);
        self.write(address, bytes);
        address
    }

    /// Writes as the driver.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.ram.write(address, bytes).expect("guest memory");
    }

    /// Reads as the driver.
    pub fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read(address, &mut bytes).expect("guest memory");
        bytes
    }

    pub(super) fn load_u16(&self, address: u64) -> u16 {
        u16::from_le(self.load(address))
    }

    pub(super) fn store_u16(&self, address: u64, value: u16) {
        self.store(address, value.to_le());
    }

    pub(super) fn load_u32(&self, address: u64) -> u32 {
        u32::from_le(self.load(address))
    }

    pub(super) fn store_u32(&self, address: u64, value: u32) {
        self.store(address, value.to_le());
    }

    fn load<T: AtomicAccess>(&self, address: u64) -> T {
        let mmap = self.mmap.read().unwrap_or_else(PoisonError::into_inner);
        mmap.load(GuestAddress(address), Ordering::Acquire).expect("an aligned address in guest memory")
    }

    fn store<T: AtomicAccess>(&self, address: u64, value: T) {
        let mmap = self.mmap.read().unwrap_or_else(PoisonError::into_inner);
        mmap.store(value, GuestAddress(address), Ordering::Release).expect("an aligned address in guest memory");
    }

    /// Takes the regions of `other` in the place of its own, keeping the content where addresses are the same: as if
    /// memory had been plugged.
    pub fn adopt(&self, other: &TestMemory) {
        for (start, len) in self.ram.regions() {
            let len = usize::try_from(len).expect("a mapped region");
            other.write(start, &self.bytes(start, len));
        }
        let mmap = other.mmap.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.mmap.write().unwrap_or_else(PoisonError::into_inner) = mmap;
        self.ram.replace_with(&other.ram).on_complete(|| {});
    }
}
