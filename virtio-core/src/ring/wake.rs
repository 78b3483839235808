//! Publishing against going to sleep: the two places in each layout where a side first shows something to the other and
//! then looks what the other has shown, with a full fence in between.
//!
//! Without the fence each side could miss what the other has just written, and both would sleep. The tests run these very
//! functions on models of the memory, in every interleaving with a driver that publishes or goes to sleep: nothing is
//! lost, and without the fence something is.

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use crate::memory::Words;

/// Split: shows the driver a used index, and returns what it asks for: its flags or `used_event`, whichever stand at
/// `asked_at` in the available ring.
#[inline(always)]
pub(super) fn publish_split(
    used: &impl Words,
    used_index: (usize, u16),
    available: &impl Words,
    asked_at: usize,
) -> u16 {
    show_split(used, used_index);
    ask_split(used, available, asked_at)
}

/// Split: shows the driver a used index.
#[inline(always)]
pub(super) fn show_split(used: &impl Words, used_index: (usize, u16)) {
    // Release: the elements, and the buffers they speak of, are written before the index.
    used.store_u16(used_index.0, used_index.1, Ordering::Release);
}

/// Split: what the driver asks for, now that it has been shown a used index.
#[inline(always)]
pub(super) fn ask_split(used: &impl Words, available: &impl Words, asked_at: usize) -> u16 {
    // Model: split_driver_sleeps. Else the driver could ask after our read, find the old index, and sleep.
    used.full_fence();
    available.load_u16(asked_at, Ordering::Relaxed)
}

/// Split: asks for doorbells, by the device's flags or `avail_event`, and returns the available index, which stands at
/// `index`.
#[inline(always)]
pub(super) fn arm_split(used: &impl Words, ask: (usize, u16), available: &impl Words, index: usize) -> u16 {
    used.store_u16(ask.0, ask.1, Ordering::Relaxed);
    // Model: split_device_sleeps. Else the driver could publish after our read, find what we asked for before, and not ring.
    used.full_fence();
    // Acquire: the entries and descriptors of what the index covers are read after it.
    available.load_u16(index, Ordering::Acquire)
}

/// Packed: shows the driver a used descriptor, by its second half, and returns what the driver asks for: its event
/// suppression structure.
#[inline(always)]
pub(super) fn publish_packed(ring: &impl Words, first_used: (usize, u64), driver_event: &impl Words) -> u32 {
    show_packed(ring, first_used);
    ask_packed(ring, driver_event)
}

/// Packed: shows the driver a used descriptor.
#[inline(always)]
pub(super) fn show_packed(ring: &impl Words, first_used: (usize, u64)) {
    // Release: the descriptors behind it, and all buffers, are written before the first.
    ring.store_u64(first_used.0, first_used.1, Ordering::Release);
}

/// Packed: what the driver asks for, now that it has been shown a used descriptor.
#[inline(always)]
pub(super) fn ask_packed(ring: &impl Words, driver_event: &impl Words) -> u32 {
    // Model: packed_driver_sleeps. Else the driver could ask after our read, find the descriptor unused, and sleep.
    ring.full_fence();
    driver_event.load_u32(0, Ordering::Relaxed)
}

/// Packed: asks for doorbells, by the device's event suppression structure, and returns the second half of the next
/// available descriptor, at `next_available`.
#[inline(always)]
pub(super) fn arm_packed(device_event: &impl Words, ask: u32, ring: &impl Words, next_available: usize) -> u64 {
    device_event.store_u32(0, ask, Ordering::Relaxed);
    // Model: packed_device_sleeps. Else the driver could publish after our read, find what we asked for before, and not ring.
    device_event.full_fence();
    ring.load_u64(next_available, Ordering::Acquire)
}
