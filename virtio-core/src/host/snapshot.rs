//! Saving a device and taking it over elsewhere.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::status::{DRIVER_OK, FEATURES_OK};
use super::{DeviceHost, Phase, QueueConfig, QueueRegisters};
use crate::device::{DeviceState, StateError};
use crate::features::Features;
use crate::ring::QueuePosition;

/// The version that [`DeviceHost::save`] writes.
const VERSION: u32 = 3;

/// What of a host, its queues and its device a driver could notice. Plain data; restored through validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// The version of this format.
    pub version: u32,
    /// The device's type number.
    pub device_type: u32,
    /// The device status field.
    pub status: u8,
    /// The features that the driver chose.
    pub accepted: u128,
    /// The configuration space as the driver saw it.
    pub config: Vec<u8>,
    /// Its generation.
    pub config_generation: u32,
    /// Whether the driver has still to be told of a change of the configuration.
    pub config_pending: bool,
    /// The queues' registers and positions.
    pub queues: Vec<QueueState>,
    /// The device's own part.
    pub device: DeviceState,
}

/// The state of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// What the driver has configured.
    pub config: QueueConfig,
    /// Whether the queue is enabled.
    pub enabled: bool,
    /// Whether the driver has reset the queue of a live device by itself and not enabled it again.
    pub awaits_enable: bool,
    /// Where a live queue stands.
    pub position: Option<QueuePosition>,
}

impl DeviceHost {
    /// The state of a device that is paused, or not live.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device that is live, or being reset, or one of whose queues is being reset.
    pub fn save(&self) -> Result<HostState, StateError> {
        let mut control = self.control();
        for index in 0..self.queue_count() {
            self.note_stop(&mut control, index);
        }
        if control.queues.iter().any(QueueRegisters::is_resetting) {
            return Err(StateError::Busy);
        }
        let positions = match &control.phase {
            Phase::Idle => &[][..],
            Phase::Paused(_, positions) => positions,
            Phase::Live(_) | Phase::Resetting(_) => return Err(StateError::Busy),
        };
        let position = |queue| positions.iter().find(|(index, _)| *index == queue).map(|(_, position)| *position);
        let queues = (0..).zip(&control.queues).map(|(index, registers)| {
            let QueueRegisters { config, activity: _, awaits_enable } = *registers;
            QueueState { config, enabled: registers.is_enabled(), awaits_enable, position: position(index) }
        });
        Ok(HostState {
            version: VERSION,
            device_type: self.device_type.0,
            status: self.shared.status(),
            accepted: control.accepted.bits(),
            config: self.config.bytes(),
            config_generation: self.config.generation(),
            config_pending: self.shared.config_pending.load(Ordering::SeqCst),
            queues: queues.collect(),
            device: control.device.save(),
        })
    }

    /// Takes over a saved state. A device that was live is paused afterwards: [`resume`](Self::resume) lets it go on.
    ///
    /// # Errors
    /// [`StateError::Busy`] for a device whose status is not zero: it goes on. Any other [`StateError`]: the device has
    /// been reset.
    pub fn restore(&self, state: &HostState) -> Result<(), StateError> {
        if self.status() != 0 {
            return Err(StateError::Busy);
        }
        let result = self.try_restore(state);
        if result.is_err() {
            self.write_status(0);
        }
        result
    }

    fn try_restore(&self, state: &HostState) -> Result<(), StateError> {
        let HostState {
            version,
            device_type,
            status,
            accepted,
            config,
            config_generation,
            config_pending,
            queues,
            device,
        } = state;
        if *version != VERSION {
            return Err(StateError::Version { version: *version });
        }
        if *device_type != self.device_type.0 {
            return Err(StateError::Mismatch { what: "the device type is another" });
        }
        if queues.len() != self.queues.len() {
            return Err(StateError::Mismatch { what: "the number of queues is another" });
        }
        let accepted = Features::from_bits(*accepted);
        for word in 0..4 {
            self.write_features(word, accepted.word(word));
        }
        // Zero would be a reset, and undo what the transport has restored already.
        if status & !(DRIVER_OK | super::status::NEEDS_RESET) != 0 {
            self.write_status(status & !(DRIVER_OK | super::status::NEEDS_RESET));
        }
        if status & FEATURES_OK != self.shared.status() & FEATURES_OK {
            return Err(StateError::Corrupt { what: "the features cannot have been accepted" });
        }
        for (index, queue) in (0..).zip(queues) {
            let QueueState { config, enabled, awaits_enable: _, position: _ } = *queue;
            self.configure_queue(index, |registers| *registers = config);
            if enabled {
                self.enable_queue(index);
            }
            if self.queue(index).is_none_or(|registers| registers.is_enabled() != enabled) {
                return Err(StateError::Corrupt { what: "a queue cannot have been enabled" });
            }
        }
        let may_await = status & DRIVER_OK != 0 && accepted.contains(Features::RING_RESET);
        if queues.iter().any(|queue| queue.awaits_enable && (queue.enabled || queue.position.is_some() || !may_await)) {
            return Err(StateError::Corrupt { what: "a queue cannot have been reset by itself" });
        }
        let mut control = self.control();
        for (registers, queue) in control.queues.iter_mut().zip(queues) {
            registers.awaits_enable = queue.awaits_enable;
        }
        control.device.restore(device)?;
        // The driver may be in the middle of reading what is different here, and has to be told of it.
        let differs = self.config.go_on(*config_generation, config);
        self.shared.config_pending.store(*config_pending || differs, Ordering::SeqCst);
        if status & DRIVER_OK != 0 {
            if status & FEATURES_OK == 0 {
                return Err(StateError::Corrupt { what: "live without an agreement on features" });
            }
            if queues.iter().any(|queue| queue.enabled && queue.position.is_none()) {
                return Err(StateError::Corrupt { what: "a live queue without a position" });
            }
            let positions: Vec<_> = (0..).zip(queues).filter_map(|(i, queue)| Some((i, queue.position?))).collect();
            self.shared.status.fetch_or(DRIVER_OK, Ordering::SeqCst);
            let tasks = self.start_tasks(&mut control, &positions, true);
            let tasks = tasks.map_err(|_| StateError::Corrupt { what: "the device cannot go on from there" })?;
            control.phase = Phase::Paused(tasks, positions);
        }
        self.shared.status.fetch_or(status & super::status::NEEDS_RESET, Ordering::SeqCst);
        Ok(())
    }
}
