//! Host memory for regions: on the heap, so that AddressSanitizer sees an access that leaves it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use virtio_core::GuestRam;
use virtio_core::memory::{MemoryBarrier, RawRegion};
use virtio_net::backend::Room;

/// Where a region is, and by how many bytes its host memory misses an alignment of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) len: usize,
    pub(crate) skew: usize,
}

#[derive(Default)]
#[repr(align(16))]
struct Unit {
    _bytes: [AtomicU64; 2],
}

/// The memory of several regions. Only ever accessed by one thread.
pub(crate) struct Heap {
    blocks: Vec<(Place, Box<[Unit]>)>,
}

impl Heap {
    /// Zeros.
    pub(crate) fn new(places: &[Place]) -> Arc<Heap> {
        let block = |place: &Place| (0..(place.skew + place.len).div_ceil(16)).map(|_| Unit::default()).collect();
        Arc::new(Heap { blocks: places.iter().map(|place| (*place, block(place))).collect() })
    }

    fn host(&self, block: usize) -> Option<(*mut u8, usize)> {
        let (place, units) = self.blocks.get(block)?;
        let first = units.as_ptr().cast::<u8>().cast_mut();
        // What is inside of the units may be written through a shared reference; `new` made room for skew and length.
        Some((first.wrapping_add(place.skew), place.len))
    }

    /// What region number `block` holds now.
    pub(crate) fn bytes(&self, block: usize) -> &[u8] {
        let Some((host, len)) = self.host(block) else { return &[] };
        // SAFETY: valid for `len` bytes, and the one thread that there is does nothing else while it looks at them.
        unsafe { std::slice::from_raw_parts(host, len) }
    }

    /// Writes `bytes` at `offset` of region number `block`, where there is room for them.
    pub(crate) fn write(&self, block: usize, offset: usize, bytes: &[u8]) {
        let Some((host, len)) = self.host(block) else { return };
        if offset.checked_add(bytes.len()).is_some_and(|end| end <= len) {
            // SAFETY: inside; nobody holds a reference to it at this time.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host.wrapping_add(offset), bytes.len()) };
        }
    }

    fn regions(&self) -> Vec<RawRegion> {
        let region = |(block, (place, _)): (usize, &(Place, _))| {
            self.host(block).map(|(host, len)| RawRegion::new(place.start, host, len))
        };
        self.blocks.iter().enumerate().filter_map(region).collect()
    }

    /// Guest memory of all regions.
    pub(crate) fn ram(self: &Arc<Heap>) -> GuestRam {
        let owner: Arc<dyn Any + Send + Sync> = self.clone();
        // SAFETY: the blocks live as long as their owner, and are written by one thread only.
        unsafe { GuestRam::from_raw(self.regions(), owner) }.expect("shapes are good regions")
    }

    /// Puts all regions in the place of what `ram` had.
    pub(crate) fn replace(self: &Arc<Heap>, ram: &GuestRam) -> MemoryBarrier {
        let owner: Arc<dyn Any + Send + Sync> = self.clone();
        // SAFETY: as in `ram`.
        unsafe { ram.replace(self.regions(), owner) }.expect("shapes are good regions")
    }
}

/// Memory that two threads share, as a driver and a device do: numbers in it are read and written atomically.
pub(crate) struct SharedMemory {
    units: Box<[Unit]>,
}

impl SharedMemory {
    /// Zeros.
    pub(crate) fn new(len: usize) -> Arc<SharedMemory> {
        Arc::new(SharedMemory { units: (0..len.div_ceil(16)).map(|_| Unit::default()).collect() })
    }

    /// Guest memory that starts at address 0.
    pub(crate) fn ram(self: &Arc<SharedMemory>) -> GuestRam {
        let region = RawRegion::new(0, self.host(0, 1), 16 * self.units.len());
        // SAFETY: the units live as long as their owner, and are only accessed as `from_raw` wants it.
        unsafe { GuestRam::from_raw(vec![region], self.clone()) }.expect("one good region")
    }

    fn host(&self, address: u64, len: usize) -> *mut u8 {
        let address = usize::try_from(address).expect("an address of this memory");
        assert!(address.checked_add(len).is_some_and(|end| end <= 16 * self.units.len()));
        self.units.as_ptr().cast::<u8>().cast_mut().wrapping_add(address)
    }

    /// ThreadSanitizer takes two accesses for ordered only if both have the same width.
    fn u16(&self, address: u64) -> &AtomicU16 {
        assert!(address.is_multiple_of(2));
        // SAFETY: inside and aligned; what is inside of the units may be written through a shared reference.
        unsafe { AtomicU16::from_ptr(self.host(address, 2).cast()) }
    }

    fn u64(&self, address: u64) -> &AtomicU64 {
        assert!(address.is_multiple_of(8));
        // SAFETY: as in `u16`.
        unsafe { AtomicU64::from_ptr(self.host(address, 8).cast()) }
    }

    pub(crate) fn load_u16(&self, address: u64, order: Ordering) -> u16 {
        u16::from_le(self.u16(address).load(order))
    }

    pub(crate) fn store_u16(&self, address: u64, value: u16, order: Ordering) {
        self.u16(address).store(value.to_le(), order);
    }

    pub(crate) fn load_u64(&self, address: u64, order: Ordering) -> u64 {
        u64::from_le(self.u64(address).load(order))
    }

    pub(crate) fn store_u64(&self, address: u64, value: u64, order: Ordering) {
        self.u64(address).store(value.to_le(), order);
    }

    /// Writes a buffer, not atomically: nobody else may look at it now.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        // SAFETY: inside; two threads that write at once, or read at once, are what this is here to find.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.host(address, bytes.len()), bytes.len()) };
    }

    /// Reads a buffer, not atomically.
    pub(crate) fn read(&self, address: u64, bytes: &mut [u8]) {
        // SAFETY: as in `write`.
        unsafe { std::ptr::copy_nonoverlapping(self.host(address, bytes.len()), bytes.as_mut_ptr(), bytes.len()) };
    }
}

/// Puts a frame where there is room, as a system call does that receives it; how much fitted.
pub(crate) fn scatter(room: &mut Room<'_>, frame: &[u8]) -> usize {
    let mut left = frame;
    for slice in room.io_slices(&mut []) {
        let (now, rest) = left.split_at(left.len().min(slice.len));
        // SAFETY: the room is borrowed for as long as its slices are used, and they are to be written. No more is written
        // than the slice is long, and the frame is memory of the input's own, apart from all room.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), slice.base, now.len()) };
        left = rest;
    }
    frame.len() - left.len()
}
