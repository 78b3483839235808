//! The keyboard controller, of which only the reset line is there.

use std::sync::{Arc, Mutex, PoisonError};

use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_superio::{I8042Device, Trigger};

use crate::stop::{Ending, Stop};

/// The reset line.
struct ResetLine(Arc<Stop>);

impl Trigger for ResetLine {
    type E = std::convert::Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        self.0.request(Ending::Reset);
        Ok(())
    }
}

/// The controller.
pub(crate) struct Keyboard(Mutex<I8042Device<ResetLine>>);

impl Keyboard {
    /// A controller that resets the machine of `stop`.
    pub(crate) fn new(stop: Arc<Stop>) -> Self {
        Self(Mutex::new(I8042Device::new(ResetLine(stop))))
    }
}

impl DevicePio for Keyboard {
    fn pio_read(&self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        let mut device = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            *byte = device.read(offset);
        }
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        let mut device = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            let Ok(()) = device.write(offset, *byte);
        }
    }
}
