//! Saving the window and taking it over.

use serde::{Deserialize, Serialize};
use virtio_core::device::StateError;
use virtio_core::host::HostState;

use crate::transport::MmioTransport;

/// The version that [`MmioTransport::save`] writes.
const VERSION: u32 = 1;

/// What of a window a driver could notice. Plain data; restored through validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MmioState {
    /// The version of this format.
    pub version: u32,
    /// InterruptStatus: what has not been acknowledged.
    pub interrupt_status: u32,
    /// DeviceFeaturesSel.
    pub device_features_sel: u32,
    /// DriverFeaturesSel.
    pub driver_features_sel: u32,
    /// QueueSel.
    pub queue_sel: u32,
    /// SHMSel.
    pub shm_sel: u32,
    /// The device's host.
    pub host: HostState,
}

impl MmioTransport {
    /// The state of a device that is paused, or not live.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device that is live, or being reset.
    pub fn save(&self) -> Result<MmioState, StateError> {
        let host = self.host().save()?;
        Ok(MmioState {
            version: VERSION,
            interrupt_status: self.interrupt_status(),
            device_features_sel: self.selectors.device_features.get(),
            driver_features_sel: self.selectors.driver_features.get(),
            queue_sel: self.selectors.queue.get(),
            shm_sel: self.selectors.shared_memory.get(),
            host,
        })
    }

    /// Takes over a saved state. A device that was live is paused afterwards. The line is asserted if there is something
    /// that the driver has not acknowledged.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device whose status is not zero: it goes on. Any other [`StateError`]: the device has
    /// been reset.
    pub fn restore(&self, state: &MmioState) -> Result<(), StateError> {
        if self.host().status() != 0 {
            return Err(StateError::Busy);
        }
        let result = self.try_restore(state);
        if result.is_err() {
            self.host().write_status(0);
        }
        result
    }

    fn try_restore(&self, state: &MmioState) -> Result<(), StateError> {
        let MmioState { version, interrupt_status, device_features_sel, driver_features_sel, queue_sel, shm_sel, host } =
            state;
        if *version != VERSION {
            return Err(StateError::Version { version: *version });
        }
        self.host().restore(host)?;
        self.selectors.device_features.set(*device_features_sel);
        self.selectors.driver_features.set(*driver_features_sel);
        self.selectors.queue.set(*queue_sel);
        self.selectors.shared_memory.set(*shm_sel);
        self.raise(*interrupt_status);
        Ok(())
    }
}
