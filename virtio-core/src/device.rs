//! What a device implements, and what it is handed.

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::config::ConfigSpace;
use crate::device_type::DeviceType;
use crate::features::Features;
use crate::ring::{QueueSetup, RingFault, Virtqueue};
use crate::task::QueueTask;

/// A device model: what stands behind a transport.
///
/// Its host drives it through these states; it never has to ask which one it is in.
///
/// ```text
///              negotiate(features)            activate(queues)
///   created ──────────────────────> agreed ─────────────────────> live: its tasks run
///      ^         refused: stays        │                            │
///      └───────────── reset() <────────┴────── tasks have ended <───┘
/// ```
///
/// All calls come from the host, one at a time, on the threads of whoever writes the registers; none of them may wait
/// for a queue task. What a task needs of the device it is given at activation.
pub trait VirtioDevice: Send {
    /// What kind of device this is.
    fn device_type(&self) -> DeviceType;

    /// The features of its type that it offers; none unless it says otherwise. The host adds those of rings and transport.
    fn features(&self) -> Features {
        Features::NONE
    }

    /// What can be offered of `offered` when the embedder, or the transport, has taken features away: all but those
    /// that depend on one that is not there (BASIC-FEAT-01).
    fn consistent(&self, offered: Features) -> Features {
        offered
    }

    /// The name of one of the features of its type.
    fn feature_name(&self, bit: u32) -> Option<&'static str> {
        let _ = bit;
        None
    }

    /// The features of rings and of their notifications that its queues understand: those of
    /// [`Virtqueue`], unless the queues are served elsewhere. Which of them are offered is the
    /// embedder's choice: see [`HostBuilder::with`](crate::HostBuilder::with).
    fn ring_features(&self) -> Features {
        Virtqueue::FEATURES
    }

    /// The largest size of each of its queues: powers of two up to 32768.
    fn queue_sizes(&self) -> &[u16];

    /// Its configuration space, which the host asks for once; an empty one unless it says otherwise.
    fn config(&self) -> ConfigSpace {
        ConfigSpace::new(Vec::new())
    }

    /// The driver's choice among the offered features: refused where it does not fit together, taken note of
    /// otherwise. What depends on it in the configuration changes here, by [`ConfigSpace::store`].
    ///
    /// # Errors
    /// [`FeatureRefusal`]: the driver sees that its choice was not accepted (BASIC-FEAT-03).
    fn negotiate(&mut self, features: Features) -> Result<(), FeatureRefusal> {
        let _ = features;
        Ok(())
    }

    /// The driver writes the configuration space. Bytes that are not the driver's to write are ignored.
    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let _ = (offset, data);
    }

    /// The driver is ready: make the tasks that serve the queues.
    ///
    /// # Errors
    /// [`ActivateError`]: the device asks for a reset.
    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError>;

    /// Back to the state in which it was created. Its tasks have ended.
    fn reset(&mut self);

    /// What of the device itself (not of rings, host and transport) a driver could notice. Called while paused.
    fn save(&self) -> DeviceState {
        DeviceState::default()
    }

    /// Takes over a saved state, before activation, with the features negotiated as they were.
    ///
    /// # Errors
    /// [`StateError`] for whatever `save` would not have returned: the bytes may be corrupt or hostile.
    fn restore(&mut self, state: &DeviceState) -> Result<(), StateError> {
        if *state == DeviceState::default() { Ok(()) } else { Err(StateError::Version { version: state.version }) }
    }
}

/// What a device is handed when the driver is ready.
///
/// Send and Sync: all of it can be handed on to tasks.
#[derive(Debug)]
#[non_exhaustive]
pub struct Activation {
    /// The features that were negotiated.
    pub features: Features,
    /// The queues that the driver enabled, in the order of their numbers: any subset of the device's queues, or none.
    /// Where a saved device goes on, those too that the driver had enabled and then reset: see [`QueueSetup::awaits_enable`].
    pub queues: Vec<QueueSetup>,
}

impl Activation {
    /// What a device is handed; for tests of a device without its host.
    pub fn new(features: Features, queues: Vec<QueueSetup>) -> Activation {
        Activation { features, queues }
    }

    /// The queues themselves, for a device that serves them in this process.
    ///
    /// # Errors
    /// [`ActivateError::Queue`] for the first one that cannot be used.
    pub fn into_queues(self) -> Result<Vec<Virtqueue>, ActivateError> {
        let build = |setup: QueueSetup| {
            let queue = setup.index;
            Virtqueue::new(setup).map_err(|fault| ActivateError::Queue { queue, fault })
        };
        self.queues.into_iter().map(build).collect()
    }

    /// A task for each queue, made of it by `task`.
    ///
    /// # Errors
    /// As [`into_queues`](Self::into_queues).
    pub fn task_per_queue<T: QueueTask + 'static>(
        self,
        mut task: impl FnMut(Virtqueue) -> T,
    ) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        let boxed = |queue| Box::new(task(queue)) as Box<dyn QueueTask>;
        Ok(self.into_queues()?.into_iter().map(boxed).collect())
    }
}

/// The driver's choice of features does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureRefusal {
    /// Features that were not offered.
    #[error("{0:?} were not offered")]
    NotOffered(Features),
    /// Features that the device does not work without.
    #[error("{0:?} must be accepted")]
    Missing(Features),
    /// A feature was accepted without what it depends on.
    #[error("{feature:?} needs {needs:?}")]
    Dependency {
        /// What was accepted.
        feature: Features,
        /// What it needs.
        needs: Features,
    },
}

/// The device could not start.
///
/// Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// A queue cannot be used.
    #[error("queue {queue}: {fault}")]
    Queue {
        /// The queue's number.
        queue: u16,
        /// What is wrong with it.
        fault: RingFault,
    },
    /// A queue is among those of no task, or of more than one: a fault of the device.
    #[error("queue {queue} is not served by exactly one task")]
    NotServed {
        /// The queue's number.
        queue: u16,
    },
    /// Something outside of virtio failed.
    #[error(transparent)]
    Device(Box<dyn Error + Send + Sync>),
}

/// A device's own part of a saved state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceState {
    /// The version of the device's format; 0 means that there is nothing.
    pub version: u32,
    /// In the device's format.
    pub data: Vec<u8>,
}

/// A saved state cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state is of a version that is not understood.
    #[error("version {version} of the state is not understood")]
    Version {
        /// Its version.
        version: u32,
    },
    /// The state is of another kind of device.
    #[error("the state is of a device of type {saved:?}, this is {here:?}")]
    DeviceType {
        /// What kind it was.
        saved: DeviceType,
        /// What kind this is.
        here: DeviceType,
    },
    /// The state is of a device with more queues, or fewer.
    #[error("the state is of a device with {saved} queues, this has {here}")]
    QueueCount {
        /// How many there were.
        saved: usize,
        /// How many there are.
        here: usize,
    },
    /// The features that were negotiated cannot be here.
    #[error("{saved:?} cannot be negotiated where {offered:?} are offered")]
    Features {
        /// What was negotiated.
        saved: Features,
        /// What is offered here.
        offered: Features,
        /// Why that does not do.
        #[source]
        refusal: FeatureRefusal,
    },
    /// No device has this status.
    #[error("the status cannot be {status:#04x}")]
    Status {
        /// The status.
        status: u8,
    },
    /// Where the status is this, the queue cannot be enabled, reset by itself, or without a position as it is.
    #[error("queue {queue} cannot be as it is where the status is {status:#04x}")]
    QueueState {
        /// The queue's number.
        queue: u16,
        /// The status.
        status: u8,
    },
    /// An enabled queue is no ring here.
    #[error("queue {queue}: {fault}")]
    Queue {
        /// The queue's number.
        queue: u16,
        /// What is wrong with it.
        fault: RingFault,
    },
    /// The device could not go on.
    #[error("the device cannot go on")]
    Activate(#[source] ActivateError),
    /// The state is of a device that is built differently.
    #[error("the state does not fit the device: {what}")]
    Mismatch {
        /// What does not fit.
        what: &'static str,
    },
    /// The state contradicts itself, or the rules of virtio.
    #[error("the state is corrupt: {what}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
    },
    /// The device is in use.
    #[error("the device is in use")]
    Busy,
}
