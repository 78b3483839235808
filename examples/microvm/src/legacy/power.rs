//! ACPI's sleep control, sleep status and reset registers, as hardware-reduced ACPI has them.

use std::sync::Arc;

use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::stop::{Ending, Stop};

/// Offsets of the registers.
pub(crate) const SLEEP_CONTROL: u16 = 0;
/// Read by the guest when it wakes up, which it never does here.
pub(crate) const SLEEP_STATUS: u16 = 1;
/// Reset register.
pub(crate) const RESET: u16 = 2;
/// Number of registers.
pub(crate) const REGISTERS: u16 = 3;

/// The sleep type of S5 ("soft off"), the only one the machine has.
pub(crate) const SLEEP_TYPE_OFF: u8 = 5;
/// What to write to the reset register.
pub(crate) const RESET_VALUE: u8 = 1;
/// Bits of the sleep control register.
const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE: u8 = 7;

/// The registers.
pub(crate) struct Power(Arc<Stop>);

impl Power {
    /// Registers that end the machine of `stop`.
    pub(crate) fn new(stop: Arc<Stop>) -> Self {
        Self(stop)
    }
}

impl DevicePio for Power {
    fn pio_read(&self, _base: PioAddress, _offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0);
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        let &[value] = data else {
            return;
        };
        let off = value & SLEEP_ENABLE != 0 && (value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE == SLEEP_TYPE_OFF;
        match offset {
            SLEEP_CONTROL if off => self.0.request(Ending::PowerOff),
            RESET if value == RESET_VALUE => self.0.request(Ending::Reset),
            _ => {}
        }
    }
}
