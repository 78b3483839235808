//! The host bridge. It has an identity and nothing to set.

use super::function::{BarPlacement, PciFunction};

/// The numbers that other virtual machines give to a host bridge without registers.
const VENDOR_INTEL: u16 = 0x8086;
const DEVICE_HOST_BRIDGE: u16 = 0x0d57;
/// Class code: bridge, to the host.
const CLASS: [u8; 3] = [0x00, 0x00, 0x06];
/// Registers that are not zero.
const CLASS_CODE: usize = 0x09;

/// The host bridge.
pub(crate) struct HostBridge {
    registers: [u8; 64],
}

impl HostBridge {
    /// A host bridge.
    pub(crate) fn new() -> Self {
        let mut registers = [0; 64];
        let identity = VENDOR_INTEL.to_le_bytes().into_iter().chain(DEVICE_HOST_BRIDGE.to_le_bytes());
        for (register, byte) in registers.iter_mut().zip(identity) {
            *register = byte;
        }
        for (register, byte) in registers.iter_mut().skip(CLASS_CODE).zip(CLASS) {
            *register = byte;
        }
        Self { registers }
    }
}

impl PciFunction for HostBridge {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(usize::from(offset)..) {
            *byte = self.registers.get(at).copied().unwrap_or(0);
        }
    }

    fn write_config(&self, _offset: u16, _data: &[u8]) {}
    fn read_bar(&self, _bar: u8, _offset: u64, _data: &mut [u8]) {}
    fn write_bar(&self, _bar: u8, _offset: u64, _data: &[u8]) {}

    fn bars(&self) -> Vec<BarPlacement> {
        Vec::new()
    }
}
