//! The address ranges that BARs are in.

use std::sync::Arc;

use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};

use super::bus::PciBus;

/// A range in which the BARs of a bus answer.
pub(crate) struct Window(pub(crate) Arc<PciBus>);

impl DeviceMmio for Window {
    fn mmio_read(&self, base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        self.0.read(base.0.wrapping_add(offset), data);
    }

    fn mmio_write(&self, base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.0.write(base.0.wrapping_add(offset), data);
    }
}
