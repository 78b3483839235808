//! Configuration space through two ports (address, data), which Linux uses before it knows of ECAM.

use std::sync::{Arc, Mutex, PoisonError};

use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use super::bus::PciBus;
use super::ecam::within_dword;

/// Number of ports.
pub(crate) const PORTS: u16 = 8;
/// The data port, relative to the address port.
const DATA: u16 = 4;
/// The bit of the address that lets the data port mean configuration space.
const ENABLE: u32 = 1 << 31;

/// The ports.
pub(crate) struct ConfigPorts {
    bus: Arc<PciBus>,
    address: Mutex<u32>,
}

impl ConfigPorts {
    /// Ports to `bus`.
    pub(crate) fn new(bus: Arc<PciBus>) -> Self {
        Self { bus, address: Mutex::new(0) }
    }

    /// Slot, function and register that an access to the data ports means.
    fn target(&self, offset: u16, length: usize) -> Option<(u8, u8, u16)> {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        let bus = (address >> 16) & 0xff;
        let register = (address & 0xfc) as u16 + offset.checked_sub(DATA)?;
        (address & ENABLE != 0 && bus == 0 && within_dword(register, length)).then_some((
            ((address >> 11) & 0x1f) as u8,
            ((address >> 8) & 7) as u8,
            register,
        ))
    }
}

impl DevicePio for ConfigPorts {
    fn pio_read(&self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        if let Some((slot, function, register)) = self.target(offset, data.len()) {
            self.bus.read_config(slot, function, register, data);
        } else if let (0, Ok(bytes)) = (offset, <&mut [u8; 4]>::try_from(data)) {
            let address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
            *bytes = address.to_le_bytes();
        }
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if let Some((slot, function, register)) = self.target(offset, data.len()) {
            self.bus.write_config(slot, function, register, data);
        } else if let (0, Ok(bytes)) = (offset, <[u8; 4]>::try_from(data)) {
            let mut address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
            *address = u32::from_le_bytes(bytes);
        }
    }
}
