//! vm-device's bus traits.

use vm_device::bus::{MmioAddress, MmioAddressOffset};
use vm_device::{DeviceMmio, MutDeviceMmio};

use crate::{EmptySlot, MmioTransport};

macro_rules! on_bus {
    ($($window:ty),*) => {$(
        impl DeviceMmio for $window {
            fn mmio_read(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
                self.read(offset, data);
            }

            fn mmio_write(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
                self.write(offset, data);
            }
        }

        impl MutDeviceMmio for $window {
            fn mmio_read(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
                self.read(offset, data);
            }

            fn mmio_write(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
                self.write(offset, data);
            }
        }
    )*};
}

on_bus!(MmioTransport, EmptySlot);
