//! What a queue is built from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{QueueCounters, RingFault};
use crate::event::Event;
use crate::features::Features;
use crate::interrupt::Interrupt;
use crate::memory::GuestRam;

/// The configuration of one queue, frozen: what a device is handed for each queue that the driver enabled.
///
/// An in-process device builds a [`Virtqueue`](crate::Virtqueue) from it; a device that lives elsewhere passes it on.
#[derive(Clone)]
#[non_exhaustive]
pub struct QueueSetup {
    /// The queue's number in its device.
    pub index: u16,
    /// Descriptors in the ring.
    pub size: u16,
    /// Device-visible address of the descriptor area.
    pub descriptor_area: u64,
    /// Device-visible address of the driver area (split layout: the available ring).
    pub driver_area: u64,
    /// Device-visible address of the device area (split layout: the used ring).
    pub device_area: u64,
    /// The features that were negotiated.
    pub features: Features,
    /// Where to go on, if the queue was in use before; at the start otherwise.
    pub position: Option<QueuePosition>,
    /// Guest memory.
    pub memory: GuestRam,
    /// What the driver rings. Also signalled when memory changes.
    pub doorbell: Event,
    /// How the driver is told of used buffers.
    pub interrupt: Arc<dyn Interrupt>,
    /// Where the queue counts.
    pub counters: Arc<QueueCounters>,
    /// Who is told when the ring is broken.
    pub faults: Arc<dyn FaultSink>,
}

impl QueueSetup {
    /// A queue with no place, at size 0, that is heard by nobody: fill in the rest.
    pub fn new(memory: GuestRam, doorbell: Event) -> QueueSetup {
        QueueSetup {
            index: 0,
            size: 0,
            descriptor_area: 0,
            driver_area: 0,
            device_area: 0,
            features: Features::NONE,
            position: None,
            memory,
            doorbell,
            interrupt: Arc::new(()),
            counters: Arc::default(),
            faults: Arc::new(()),
        }
    }
}

impl fmt::Debug for QueueSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSetup")
            .field("index", &self.index)
            .field("size", &self.size)
            .field("descriptor_area", &format_args!("{:#x}", self.descriptor_area))
            .field("driver_area", &format_args!("{:#x}", self.driver_area))
            .field("device_area", &format_args!("{:#x}", self.device_area))
            .field("features", &self.features)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Hears of broken rings. Must not wait for anything.
pub trait FaultSink: Send + Sync {
    /// Queue `index` has stopped for good: the device has to ask for a reset.
    fn ring_fault(&self, index: u16, fault: RingFault);
}

/// Nobody hears of it.
impl FaultSink for () {
    fn ring_fault(&self, _index: u16, _fault: RingFault) {}
}

/// How far a queue has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueuePosition {
    /// A queue in the split layout.
    Split {
        /// The next entry of the available ring to take.
        available: u16,
        /// The next entry of the used ring to fill.
        used: u16,
        /// The used index at which an interrupt was last decided on; none if not known, then the next batch sends one.
        decided: Option<u16>,
    },
}
