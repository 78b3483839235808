//! Guest memory out of vm-memory's types.

use std::any::TypeId;
use std::sync::Arc;

use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestMemoryRegion, GuestRegionCollection, GuestRegionMmap, MmapRegion};

use super::regions::{Place, Region};
use super::{DirtyLog, GuestRam, MemoryBarrier, MemoryError};

/// `PROT_READ` and `PROT_WRITE`, which are the same on every Unix.
#[cfg(unix)]
const READ_WRITE: i32 = 3;

/// The bitmap of a region of vm-memory, as a log of that region.
struct RegionBitmap<B>(Arc<MmapRegion<B>>);

impl<B: Bitmap + Send + Sync> DirtyLog for RegionBitmap<B> {
    fn mark(&self, address: u64, len: u64) {
        if let (Ok(offset), Ok(len)) = (usize::try_from(address), usize::try_from(len)) {
            self.0.bitmap().mark_dirty(offset, len);
        }
    }
}

impl GuestRam {
    /// Guest memory out of vm-memory's `GuestMemoryMmap`, which stays mapped as long as it is used here. Where the
    /// regions have a dirty bitmap, what devices write is marked in it.
    ///
    /// # Errors
    /// [`MemoryError::NotPermanent`] for regions that are mapped on demand, [`MemoryError::Protected`] for those that are
    /// not mapped for reading and writing.
    pub fn from_vm_memory<B>(memory: &GuestRegionCollection<GuestRegionMmap<B>>) -> Result<GuestRam, MemoryError>
    where
        B: Bitmap + Send + Sync + 'static,
    {
        GuestRam::from_regions(regions(memory)?)
    }

    /// As [`replace`](Self::replace), with memory of vm-memory.
    ///
    /// # Errors
    /// [`MemoryError::NotPermanent`] and [`MemoryError::Protected`]; nothing has changed then.
    pub fn replace_from_vm_memory<B>(
        &self,
        memory: &GuestRegionCollection<GuestRegionMmap<B>>,
    ) -> Result<MemoryBarrier, MemoryError>
    where
        B: Bitmap + Send + Sync + 'static,
    {
        self.replace_regions(regions(memory)?)
    }
}

fn regions<B>(memory: &GuestRegionCollection<GuestRegionMmap<B>>) -> Result<Vec<Region>, MemoryError>
where
    B: Bitmap + Send + Sync + 'static,
{
    use vm_memory::GuestMemoryBackend;
    memory.iter().map(region).collect()
}

fn region<B>(region: &GuestRegionMmap<B>) -> Result<Region, MemoryError>
where
    B: Bitmap + Send + Sync + 'static,
{
    let start = region.start_addr().0;
    let mapping = region.get_mmap();
    #[cfg(unix)]
    if mapping.prot() & READ_WRITE != READ_WRITE {
        return Err(MemoryError::Protected { start });
    }
    let slice = region.as_volatile_slice().map_err(|_| MemoryError::NotPermanent { start })?;
    let (host, len) = (slice.ptr_guard_mut().as_ptr(), slice.len());
    if host.is_null() || host != mapping.as_ptr() {
        return Err(MemoryError::NotPermanent { start });
    }
    // Memory without a bitmap has `()` in its place: then nothing needs to be marked.
    let dirty =
        (TypeId::of::<B>() != TypeId::of::<()>()).then(|| Arc::new(RegionBitmap(mapping.clone())) as Arc<dyn DirtyLog>);
    Ok(Region { place: Place::new(start, len as u64, host), dirty, _owner: mapping })
}
