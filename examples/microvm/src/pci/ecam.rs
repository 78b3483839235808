//! Configuration space as memory: 4 KiB for each function of bus 0.

use std::sync::Arc;

use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};

use super::bus::PciBus;

/// ECAM of a bus.
pub(crate) struct Ecam(pub(crate) Arc<PciBus>);

/// Slot, function and register of an offset into ECAM.
pub(super) fn decode(offset: u64) -> (u8, u8, u16) {
    let slot = (offset >> 15) & 0x1f;
    let function = (offset >> 12) & 7;
    (slot as u8, function as u8, (offset & 0xfff) as u16)
}

/// Configuration space is accessed within dwords only.
pub(super) fn within_dword(register: u16, length: usize) -> bool {
    usize::from(register & 3) + length <= 4
}

impl DeviceMmio for Ecam {
    fn mmio_read(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        let (slot, function, register) = decode(offset);
        if within_dword(register, data.len()) {
            self.0.read_config(slot, function, register, data);
        }
    }

    fn mmio_write(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        let (slot, function, register) = decode(offset);
        if within_dword(register, data.len()) {
            self.0.write_config(slot, function, register, data);
        }
    }
}
