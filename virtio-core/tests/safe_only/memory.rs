//! Guest memory put together badly, changed at the wrong moment, or used after it is gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use virtio_core::memory::DirtyLog;
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver};
use virtio_core::{Features, GuestRam, MemoryError};
use vm_memory::bitmap::{Bitmap, NewBitmap, WithBitmapSlice};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use crate::rig::{Memory, PLUGGED, PLUGGED_LEN};

const PROT_NONE: i32 = 0;
const PROT_READ: i32 = 1;
/// Of Linux: private and anonymous.
const PRIVATE: i32 = 0x22;

fn unmapped<T>(address: u64, len: u64) -> Result<T, MemoryError> {
    Err(MemoryError::Unmapped { address, len })
}

/// A driver would have the first device that writes there end the process.
#[test]
#[cfg(target_os = "linux")]
fn regions_that_cannot_be_read_and_written_are_refused() {
    for protection in [PROT_NONE, PROT_READ] {
        let mapping = MmapRegion::<()>::build(None, 0x1000, protection, PRIVATE).unwrap();
        let region = GuestRegionMmap::new(mapping, GuestAddress(0x8000)).unwrap();
        let memory = GuestMemoryMmap::from_regions(vec![region]).unwrap();
        assert_eq!(GuestRam::from_vm_memory(&memory).err(), Some(MemoryError::Protected { start: 0x8000 }));
        let before = Memory::new();
        let regions = before.ram().regions();
        assert!(before.ram().replace_from_vm_memory(&memory).is_err());
        assert_eq!(before.ram().regions(), regions, "nothing has changed");
    }
}

#[test]
fn nothing_wraps_around_the_end_of_the_address_space() {
    let start = u64::MAX - 0x1fff;
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(start), 0x1fff)]).unwrap();
    let ram = GuestRam::from_vm_memory(&memory).unwrap();
    let view = ram.view(None);
    let mut bytes = [0; 0x3000];
    for (address, len) in [(start - 1, 2), (start, 0x2000), (u64::MAX - 1, 2), (u64::MAX - 1, 0x3000), (u64::MAX, 1)] {
        assert_eq!(view.read(address, &mut bytes[..len]), unmapped(address, len as u64));
        assert_eq!(ram.write(address, &bytes[..len]), unmapped(address, len as u64));
    }
    assert_eq!(view.read(start, &mut bytes[..0x1fff]), Ok(()));
    assert!(ram.unmap(start, u64::MAX).is_err());
}

#[test]
fn a_view_keeps_what_it_shows() {
    let memory = Memory::new();
    memory.plug();
    let mut view = memory.ram().view(None);
    let barrier = memory.unplug();
    let mut bytes = [1; 300];
    view.write(PLUGGED + 0x800, &bytes).unwrap();
    view.read(PLUGGED + PLUGGED_LEN - 300, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 300]);
    assert!(!barrier.is_complete());
    view.refresh();
    assert!(barrier.is_complete());
    assert_eq!(view.read(PLUGGED, &mut bytes), unmapped(PLUGGED, 300));
}

#[test]
fn views_and_queues_outlive_whoever_made_the_memory() {
    let memory = Memory::new();
    let (mut driver, mut queue) = memory.ring::<SplitDriver>(Features::NONE);
    let view = memory.ram().view(None);
    driver.add(&[Buffer::writable(0x8000, 256)]);
    let _ = driver.publish();
    drop((memory, driver));
    let chain = queue.pop().unwrap();
    chain.writer().write(&[7; 256]).unwrap();
    chain.complete(256);
    queue.publish();
    let mut bytes = [0; 256];
    view.read(0x8000, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 256]);
}

/// Barriers that can never be complete are the price; memory that is gone is not.
#[test]
fn views_and_barriers_may_be_forgotten() {
    let memory = Memory::new();
    memory.plug();
    let mut view = memory.ram().view(None);
    std::mem::forget(memory.ram().view(None));
    let barrier = memory.unplug();
    view.refresh();
    assert!(!barrier.is_complete());
    std::mem::forget(barrier);
    std::mem::forget(memory.ram().inhibit_discards());
    assert_eq!(view.write(PLUGGED, &[1]), unmapped(PLUGGED, 1));
    memory.plug();
    view.refresh();
    view.write(PLUGGED, &[1]).unwrap();
}

#[test]
fn memory_may_replace_itself() {
    let memory = Memory::new();
    memory.plug();
    let mut view = memory.ram().view(None);
    let barrier = memory.ram().replace_with(&memory.ram().clone());
    assert!(!barrier.is_complete(), "it cannot be known that nothing was taken away");
    view.refresh();
    assert!(barrier.is_complete());
    view.write(PLUGGED, &[1]).unwrap();
}

/// A log that changes memory while a write is being marked, and panics at last.
struct Meddler {
    ram: OnceLock<GuestRam>,
}

impl DirtyLog for Meddler {
    fn mark(&self, address: u64, _len: u64) {
        let ram = self.ram.get().unwrap();
        let mut byte = [0];
        let _ = ram.read(address, &mut byte);
        if ram.unmap(PLUGGED, PLUGGED_LEN).is_err() {
            panic!("on purpose");
        }
    }
}

#[test]
fn a_log_may_take_away_the_memory_that_it_marks() {
    let memory = Memory::new();
    memory.plug();
    let log = Arc::new(Meddler { ram: OnceLock::new() });
    log.ram.set(memory.ram().clone()).ok();
    let (mut driver, mut queue) = memory.ring::<PackedDriver>(Features::NONE);
    driver.add(&[Buffer::writable(PLUGGED, 0x400), Buffer::writable(PLUGGED + 0x1000, 0x400)]);
    let _ = driver.publish();
    memory.ram().set_log(Some(log)).on_complete(|| {});
    let chain = queue.pop().unwrap();
    let mut writer = chain.writer();
    assert!(catch_unwind(AssertUnwindSafe(|| writer.write(&[1; 0x800]))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| writer.write(&[1; 0x800]))).is_err(), "nothing was passed");
    let ticket = chain.into_ticket();
    assert!(catch_unwind(AssertUnwindSafe(|| queue.refresh_memory())).is_ok());
    queue.complete(ticket, 0x800).unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| queue.publish()));
    assert!(queue.pop().is_none());
}

/// A bitmap that panics when its region goes.
#[derive(Debug)]
struct Bomb;

impl<'a> WithBitmapSlice<'a> for Bomb {
    type S = ();
}

impl Bitmap for Bomb {
    fn mark_dirty(&self, _offset: usize, _len: usize) {}
    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }
    fn slice_at(&self, _offset: usize) {}
}

impl NewBitmap for Bomb {
    fn with_len(_len: usize) -> Bomb {
        Bomb
    }
}

impl Default for Bomb {
    fn default() -> Bomb {
        Bomb
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

both_layouts! {
    a_mapping_that_panics_when_it_goes,
}

/// It goes in the midst of a queue's change from one version of memory to the next.
fn a_mapping_that_panics_when_it_goes<D: RingDriver>() {
    let bombs = |ranges: &[(u64, usize)]| {
        let ranges: Vec<_> = ranges.iter().map(|(start, len)| (GuestAddress(*start), *len)).collect();
        GuestMemoryMmap::<Bomb>::from_ranges(&ranges).unwrap()
    };
    // The ring is in memory of the usual kind, and moves to another kind.
    let memory = Memory::new();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    memory.ram().replace_from_vm_memory(&bombs(&[(0, 1 << 20), (PLUGGED, 0x10_0000)])).unwrap().on_complete(|| {});
    assert!(queue.refresh_memory());
    driver.add(&[Buffer::writable(PLUGGED, 64)]);
    let _ = driver.publish();
    // The memory is another one, in which nothing is available.
    assert!(queue.pop().is_none());
    memory.ram().replace_from_vm_memory(&bombs(&[(0, 1 << 20)])).unwrap().on_complete(|| {});
    assert!(catch_unwind(AssertUnwindSafe(|| queue.refresh_memory())).is_err(), "the mapping went here");
    assert!(queue.pop().is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| drop((queue, driver, memory)))).is_err());
}
