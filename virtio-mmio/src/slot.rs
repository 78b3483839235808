//! A window without a device.

use crate::registers::{MAGIC, MAGIC_VALUE, VERSION, VERSION_VALUE};

/// A placeholder in a system that lays out its windows before it knows its devices (MMIO-REG-14): the device id reads
/// zero, and the driver leaves it alone.
///
/// Send and Sync. No call blocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptySlot;

impl EmptySlot {
    /// The driver reads at `offset` from the window's start.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let value = match offset {
            MAGIC => MAGIC_VALUE,
            VERSION => VERSION_VALUE,
            _ => 0,
        };
        if data.len() == 4 {
            data.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The driver writes at `offset` from the window's start: ignored (DRV-MMIO-10).
    pub fn write(&self, offset: u64, data: &[u8]) {
        let _ = (offset, data);
    }
}
