//! What a queue is built from.

use std::fmt;
use std::sync::Arc;

use super::error::Area;
use super::{QueueCounters, QueuePosition, Recorder, RingFault};
use crate::event::Event;
use crate::features::Features;
use crate::interrupt::Interrupt;
use crate::memory::{GuestRam, MemoryView, Window};

/// The configuration of one queue, frozen: what a device is handed for each queue that the driver enabled.
///
/// An in-process device builds a [`Virtqueue`](crate::Virtqueue) from it; a device that lives elsewhere passes it on.
///
/// Send and Sync. No call blocks.
#[derive(Clone)]
#[non_exhaustive]
pub struct QueueSetup {
    /// The queue's number in its device.
    pub index: u16,
    /// Descriptors in the ring.
    pub size: u16,
    /// Device-visible address of the descriptor area (packed layout: the descriptor ring).
    pub descriptor_area: u64,
    /// Device-visible address of the driver area (split layout: the available ring; packed: the driver event
    /// suppression structure).
    pub driver_area: u64,
    /// Device-visible address of the device area (split layout: the used ring; packed: the device event suppression
    /// structure).
    pub device_area: u64,
    /// The features that were negotiated: they decide on the layout.
    pub features: Features,
    /// Where to go on, if the queue was in use before; at the start otherwise.
    pub position: Option<QueuePosition>,
    /// The driver has reset the queue and not enabled it again: it has no ring, whatever the addresses say, and a
    /// [`Virtqueue`](crate::Virtqueue) made of this takes nothing until it is replaced by another.
    pub awaits_enable: bool,
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
    /// Who keeps a log of what is in flight, if anybody does.
    pub recorder: Option<Arc<dyn Recorder>>,
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
            awaits_enable: false,
            memory,
            doorbell,
            interrupt: Arc::new(()),
            counters: Arc::default(),
            faults: Arc::new(()),
            recorder: None,
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
            .field("awaits_enable", &self.awaits_enable)
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

/// The window on an area of a ring.
pub(super) fn window<const ALIGN: usize>(
    view: &MemoryView,
    area: Area,
    address: u64,
    len: u32,
) -> Result<Window<ALIGN>, RingFault> {
    view.window(address, len).ok_or(RingFault::Area { area, address, len })
}
