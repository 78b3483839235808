//! The registers of the queues.

use std::sync::Arc;

use log::Level;

use super::status::{DRIVER_OK, FEATURES_OK};
use super::{Control, DeviceHost};
use crate::event::Event;
use crate::ring::{QueueSetup, RingFault, Virtqueue};

/// What the driver has configured of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueRegisters {
    /// Descriptors in the ring; the largest possible after a reset. Checked when the queue is enabled.
    pub size: u16,
    /// Address of the descriptor area.
    pub descriptor_area: u64,
    /// Address of the driver area.
    pub driver_area: u64,
    /// Address of the device area.
    pub device_area: u64,
    /// Whether the queue is enabled; the rest is frozen then.
    pub enabled: bool,
}

impl QueueRegisters {
    pub(super) fn after_reset(size: u16) -> QueueRegisters {
        QueueRegisters { size, descriptor_area: 0, driver_area: 0, device_area: 0, enabled: false }
    }
}

impl DeviceHost {
    /// How many queues the device has.
    pub fn queue_count(&self) -> u16 {
        // The builder saw that it fits.
        u16::try_from(self.queues.len()).unwrap_or(u16::MAX)
    }

    /// The largest size that queue `index` can have; 0 for a queue that does not exist.
    pub fn queue_max_size(&self, index: u16) -> u16 {
        self.queues.get(usize::from(index)).map_or(0, |queue| queue.max_size)
    }

    /// What the driver rings for queue `index`. The same event over the whole life of the host.
    pub fn doorbell(&self, index: u16) -> Option<&Event> {
        self.queues.get(usize::from(index)).map(|queue| &queue.doorbell)
    }

    /// The driver has something for queue `index`; ignored for a queue that does not exist.
    #[inline]
    pub fn notify(&self, index: u16) {
        if let Some(doorbell) = self.doorbell(index) {
            doorbell.signal();
        }
    }

    /// The registers of queue `index`.
    pub fn queue(&self, index: u16) -> Option<QueueRegisters> {
        let mut control = self.control();
        self.note_stop(&mut control, index);
        control.queues.get(usize::from(index)).copied()
    }

    /// The driver changes registers of queue `index`: ignored while it is enabled, or where there is no such queue.
    pub fn configure_queue(&self, index: u16, change: impl FnOnce(&mut QueueRegisters)) {
        let mut control = self.control();
        if !self.end_reset(&mut control) {
            return;
        }
        // DRV-MMIO-04, DRV-PCI-05: frozen while it is enabled.
        if let Some(queue) = control.queues.get_mut(usize::from(index))
            && !queue.enabled
        {
            change(queue);
            queue.enabled = false;
        }
    }

    /// The driver enables queue `index`. Takes effect between FEATURES_OK and DRIVER_OK only.
    ///
    /// A queue whose size or addresses are not what they must be stays as it is, and the device asks for a reset.
    pub fn enable_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.end_reset(&mut control) || self.shared.status() & (FEATURES_OK | DRIVER_OK) != FEATURES_OK {
            return;
        }
        let Some(registers) = control.queues.get(usize::from(index)).copied() else {
            return;
        };
        if registers.enabled {
            return;
        }
        let checked = self.setup(&control, index, registers).and_then(Virtqueue::new);
        match checked {
            Ok(_) => control.queues[usize::from(index)].enabled = true,
            Err(fault) => {
                self.shared.log.log(Level::Debug, format_args!("queue {index} cannot be enabled: {fault}"));
                self.shared.needs_reset();
            }
        }
    }

    /// The driver stops queue `index` without a reset, as MMIO lets it. The register shows the queue as enabled until
    /// nothing accesses it any more (DRV-MMIO-06). A live queue can only be enabled again after a reset.
    pub fn disable_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.end_reset(&mut control) || !control.queues.get(usize::from(index)).is_some_and(|queue| queue.enabled) {
            return;
        }
        if let Some(task) = control.phase.task_of(index) {
            task.stop_queue(index);
            self.wait_until(self.reset_wait, |slice| task.wait_stopped(index, slice));
            self.note_stop(&mut control, index);
        } else if let Some(queue) = control.queues.get_mut(usize::from(index)) {
            queue.enabled = false;
        }
    }

    /// A queue that was to be stopped may have come to rest since: then it is not enabled any more.
    pub(super) fn note_stop(&self, control: &mut Control, index: u16) {
        let Some(task) = control.phase.task_of(index) else {
            return;
        };
        if task.has_stopped(index) == Some(false) {
            self.runtime.assist();
        }
        let stopped = task.has_stopped(index) == Some(true);
        if stopped && let Some(queue) = control.queues.get_mut(usize::from(index)) {
            queue.enabled = false;
        }
    }

    /// What a device is handed for queue `index`.
    pub(super) fn setup(
        &self,
        control: &Control,
        index: u16,
        registers: QueueRegisters,
    ) -> Result<QueueSetup, RingFault> {
        let QueueRegisters { size, descriptor_area, driver_area, device_area, enabled: _ } = registers;
        let handles = self.queues.get(usize::from(index)).ok_or(RingFault::Size { size })?;
        // DRV-PCI-04, DRV-MMIO-03
        if size == 0 || size > handles.max_size {
            return Err(RingFault::Size { size });
        }
        Ok(QueueSetup {
            index,
            size,
            descriptor_area,
            driver_area,
            device_area,
            features: control.accepted,
            position: None,
            memory: self.memory.clone(),
            doorbell: handles.doorbell.clone(),
            interrupt: self.shared.interrupts.queue(index),
            counters: handles.counters.clone(),
            faults: Arc::clone(&self.shared) as _,
            recorder: None,
        })
    }
}
