//! Saving a device and taking it over elsewhere.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::status::{DRIVER_OK, FEATURES_OK, NEEDS_RESET, PLAIN};
use super::{Control, DeviceHost, Phase, QueueActivity, QueueConfig, QueueRegisters};
use crate::device::{DeviceState, StateError};
use crate::device_type::DeviceType;
use crate::features::Features;
use crate::ring::{QueuePosition, Virtqueue};

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
            self.poll_queue_stop(&mut control, index);
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
        let mut control = self.control();
        if !self.poll_reset(&mut control) || self.shared.status() != 0 {
            return Err(StateError::Busy);
        }
        let result = self
            .check(state)
            .and_then(|()| self.restore_registers(&mut control, state))
            .and_then(|()| self.restore_device(&mut control, state))
            .and_then(|()| self.go_on_paused(&mut control, state));
        if result.is_err() {
            self.begin_reset(&mut control);
        }
        result
    }

    /// What can be said of a state by itself.
    fn check(&self, state: &HostState) -> Result<(), StateError> {
        let HostState { version, device_type, status, accepted, ref queues, .. } = *state;
        if version != VERSION {
            return Err(StateError::Version { version });
        }
        if device_type != self.device_type.0 {
            return Err(StateError::DeviceType { saved: DeviceType(device_type), here: self.device_type });
        }
        if queues.len() != self.queues.len() {
            return Err(StateError::QueueCount { saved: queues.len(), here: self.queues.len() });
        }
        let (agreed, live) = (status & FEATURES_OK != 0, status & DRIVER_OK != 0);
        if live && !agreed {
            return Err(StateError::Status { status });
        }
        let resettable = live && Features::from_bits(accepted).contains(Features::RING_RESET);
        let possible = |queue: &QueueState| match *queue {
            QueueState { awaits_enable: true, enabled, position, .. } => resettable && !enabled && position.is_none(),
            QueueState { enabled: true, position, .. } => agreed && (!live || position.is_some()),
            QueueState { enabled: false, .. } => true,
        };
        match (0..).zip(queues).find(|(_, queue)| !possible(queue)) {
            Some((queue, _)) => Err(StateError::QueueState { queue, status }),
            None => Ok(()),
        }
    }

    /// What the driver wrote before it said DRIVER_OK.
    fn restore_registers(&self, control: &mut Control, state: &HostState) -> Result<(), StateError> {
        let accepted = Features::from_bits(state.accepted);
        control.accepted = accepted;
        self.shared.status.fetch_or(state.status & PLAIN, Ordering::SeqCst);
        if state.status & FEATURES_OK != 0 {
            let refused = |refusal| StateError::Features { saved: accepted, offered: self.offered, refusal };
            self.negotiate(control).map_err(refused)?;
        }
        for (index, queue) in (0..).zip(&state.queues) {
            let QueueState { config, enabled, awaits_enable, position: _ } = *queue;
            if enabled {
                let checked = self.setup(control, index, config).and_then(Virtqueue::new);
                checked.map_err(|fault| StateError::Queue { queue: index, fault })?;
            }
            let activity = if enabled { QueueActivity::On } else { QueueActivity::Off };
            if let Some(registers) = control.queues.get_mut(usize::from(index)) {
                *registers = QueueRegisters { config, activity, awaits_enable };
            }
        }
        Ok(())
    }

    fn restore_device(&self, control: &mut Control, state: &HostState) -> Result<(), StateError> {
        control.device.restore(&state.device)?;
        // The driver may be in the middle of reading what is different here, and has to be told of it.
        let differs = self.config.go_on(state.config_generation, &state.config);
        self.shared.config_pending.store(state.config_pending || differs, Ordering::SeqCst);
        Ok(())
    }

    /// A device that was live has its tasks again, which rest.
    fn go_on_paused(&self, control: &mut Control, state: &HostState) -> Result<(), StateError> {
        if state.status & DRIVER_OK != 0 {
            let position =
                |(index, queue): (u16, &QueueState)| Some((index, queue.position.filter(|_| queue.enabled)?));
            let positions: Vec<_> = (0..).zip(&state.queues).filter_map(position).collect();
            self.shared.status.fetch_or(DRIVER_OK, Ordering::SeqCst);
            let tasks = self.start_tasks(control, &positions, true).map_err(StateError::Activate)?;
            control.phase = Phase::Paused(tasks, positions);
        }
        self.shared.status.fetch_or(state.status & NEEDS_RESET, Ordering::SeqCst);
        Ok(())
    }
}
