//! Saving a function and taking it over elsewhere.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use virtio_core::device::StateError;
use virtio_core::host::HostState;

use crate::bars::{self, BarChange};
use crate::function::VirtioPci;
use crate::header::{COMMAND, INTX_DISABLE};
use crate::intx::{ISR_CONFIG, ISR_QUEUE};

/// The version that [`VirtioPci::save`] writes.
const VERSION: u32 = 1;

/// What of a function and its device a driver could notice. Plain data; restored through validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciState {
    /// The version of this format.
    pub version: u32,
    /// The device behind the function.
    pub host: HostState,
    /// The 256 bytes of the configuration space.
    pub config: Vec<u8>,
    /// Interrupt status.
    pub isr: u8,
    /// Word of the offered features that is shown.
    pub device_feature_select: u32,
    /// Word of the accepted features that is shown.
    pub driver_feature_select: u32,
    /// Queue whose registers are shown.
    pub queue_select: u16,
    /// Message-signalled interrupts.
    pub msix: MsixState,
}

/// The state of message-signalled interrupts. Whether they are enabled stands in the configuration space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsixState {
    /// The MSI-X table.
    pub table: Vec<VectorState>,
    /// The vector of configuration changes.
    pub config_vector: u16,
    /// The vector of each queue.
    pub queue_vectors: Vec<u16>,
}

/// An entry of the MSI-X table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorState {
    /// Where its message goes.
    pub address: u64,
    /// What the message says.
    pub data: u32,
    /// Whether it is masked by itself.
    pub masked: bool,
    /// Whether something waits for it to be unmasked.
    pub pending: bool,
}

impl VirtioPci {
    /// The state of a function whose device is paused, or not live.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device that is live, or being reset.
    pub fn save(&self) -> Result<PciState, StateError> {
        let host = self.host.save()?;
        let routing = &self.routing;
        let entries = routing.msix.entries().into_iter();
        let table = entries.map(|(entry, pending)| VectorState {
            address: entry.address,
            data: entry.data,
            masked: entry.masked,
            pending,
        });
        let selectors = &self.selectors;
        Ok(PciState {
            version: VERSION,
            host,
            config: self.config().bytes().to_vec(),
            isr: routing.intx.status(),
            device_feature_select: selectors.device_feature.load(Ordering::SeqCst),
            driver_feature_select: selectors.driver_feature.load(Ordering::SeqCst),
            queue_select: selectors.queue.load(Ordering::SeqCst),
            msix: MsixState {
                table: table.collect(),
                config_vector: routing.config_vector(),
                queue_vectors: (0..self.host.queue_count()).map(|queue| routing.queue_vector(queue)).collect(),
            },
        })
    }

    /// Takes over a saved state. A device that was live is paused afterwards: [`resume`](virtio_core::DeviceHost::resume)
    /// lets it go on.
    ///
    /// Returns the BARs that answer somewhere now, as [`write_config`](Self::write_config) does.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device whose status is not zero: it goes on, and nothing of the function has changed.
    /// Any other [`StateError`]: the function has been reset.
    pub fn restore(&self, state: &PciState) -> Result<Vec<BarChange>, StateError> {
        if self.host.status() != 0 {
            return Err(StateError::Busy);
        }
        let before = self.bars();
        let result = self.try_restore(state);
        if let Err(error) = result {
            self.reset();
            return Err(error);
        }
        Ok(bars::changes(&before, &self.bars()))
    }

    fn try_restore(&self, state: &PciState) -> Result<(), StateError> {
        let PciState { version, host, config, isr, device_feature_select, driver_feature_select, queue_select, msix } =
            state;
        if *version != VERSION {
            return Err(StateError::Version { version: *version });
        }
        let image = self.power_on.with_bytes(config);
        let image = image.ok_or(StateError::Mismatch { what: "the configuration space is another" })?;
        if isr & !(ISR_QUEUE | ISR_CONFIG) != 0 {
            return Err(StateError::Corrupt { what: "the interrupt status" });
        }
        self.restore_msix(msix)?;

        let routing = &self.routing;
        let selectors = &self.selectors;
        selectors.device_feature.store(*device_feature_select, Ordering::SeqCst);
        selectors.driver_feature.store(*driver_feature_select, Ordering::SeqCst);
        selectors.queue.store(*queue_select, Ordering::SeqCst);
        let mut current = self.config();
        routing.intx.disable(image.u16(COMMAND) & INTX_DISABLE != 0);
        if let Some(control) = self.places.msix_control {
            routing.msix.set_control(image.u16(control));
        }
        *current = image;
        drop(current);
        routing.intx.set_status(*isr);
        // Last: an interrupt that it causes finds its way already.
        self.host.restore(host)
    }

    fn restore_msix(&self, state: &MsixState) -> Result<(), StateError> {
        let MsixState { table, config_vector, queue_vectors } = state;
        let routing = &self.routing;
        if table.len() != usize::from(routing.msix.count()) {
            return Err(StateError::Mismatch { what: "the number of vectors is another" });
        }
        if queue_vectors.len() != usize::from(self.host.queue_count()) {
            return Err(StateError::QueueCount { saved: queue_vectors.len(), here: self.host.queue_count().into() });
        }
        if table.iter().any(|entry| entry.address & 3 != 0) {
            return Err(StateError::Corrupt { what: "the address of a message" });
        }
        routing.msix.replace(table.iter().map(|entry| {
            let VectorState { address, data, masked, pending } = *entry;
            (address, data, masked, pending)
        }));
        routing.set_config_vector(*config_vector);
        let mut kept = routing.config_vector() == *config_vector;
        for (queue, vector) in (0..).zip(queue_vectors) {
            routing.set_queue_vector(queue, *vector);
            kept &= routing.queue_vector(queue) == *vector;
        }
        if kept { Ok(()) } else { Err(StateError::Corrupt { what: "a vector that is not in the table" }) }
    }
}
