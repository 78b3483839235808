//! The registers of the queues.

use std::sync::Arc;

use log::Level;

use super::status::{DRIVER_OK, FEATURES_OK};
use super::{Control, DeviceHost, Phase};
use crate::event::Event;
use crate::features::Features;
use crate::ring::{QueueSetup, RingFault, Virtqueue};
use crate::task::Quiesce;

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
    /// Whether a reset of the queue goes on. It is still enabled then.
    pub resetting: bool,
    /// Its task waits for it: it was reset while the device was live, and can be enabled again.
    pub(super) idle: bool,
}

impl QueueRegisters {
    pub(super) fn after_reset(size: u16) -> QueueRegisters {
        let (descriptor_area, driver_area, device_area) = (0, 0, 0);
        let (enabled, resetting, idle) = (false, false, false);
        QueueRegisters { size, descriptor_area, driver_area, device_area, enabled, resetting, idle }
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
        self.note_stop(&mut control, index);
        // DRV-MMIO-04, DRV-PCI-05: frozen while it is enabled.
        if let Some(queue) = control.queues.get_mut(usize::from(index))
            && !queue.enabled
        {
            let QueueRegisters { idle, .. } = *queue;
            change(queue);
            (queue.enabled, queue.resetting, queue.idle) = (false, false, idle);
        }
    }

    /// The driver enables queue `index`. Takes effect between FEATURES_OK and DRIVER_OK, and later for a queue that was
    /// enabled then and has been reset by itself.
    ///
    /// A queue whose size or addresses are not what they must be stays as it is, and the device asks for a reset.
    pub fn enable_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.end_reset(&mut control) || self.shared.status() & FEATURES_OK == 0 {
            return;
        }
        self.note_stop(&mut control, index);
        let Some(registers) = control.queues.get(usize::from(index)).copied() else {
            return;
        };
        let live = self.shared.status() & DRIVER_OK != 0;
        // DRV-PCI-11, DRV-MMIO-09: not while it is being reset, when it is enabled still.
        if registers.enabled || live && !registers.idle {
            return;
        }
        // DRV-VQRESET-02: nothing that was there before makes up for what is not right now.
        let checked = QueueRegisters { idle: false, ..registers };
        let checked = self.setup(&control, index, checked).and_then(Virtqueue::new);
        match checked {
            Ok(queue) if live => control.restart(queue),
            Ok(_) => control.queues[usize::from(index)].enabled = true,
            Err(fault) => {
                self.shared.log.log(Level::Debug, format_args!("queue {index} cannot be enabled: {fault}"));
                self.shared.needs_reset();
            }
        }
    }

    /// The driver stops queue `index` without a reset, as MMIO lets it. The register shows the queue as enabled until
    /// nothing accesses it any more (DRV-MMIO-06). A live queue can only be enabled again after a reset, of the queue or
    /// of the device.
    pub fn disable_queue(&self, index: u16) {
        let mut control = self.control();
        if self.end_reset(&mut control) && control.queues.get(usize::from(index)).is_some_and(|queue| queue.enabled) {
            self.stop_queue(&mut control, index, Quiesce::Drain);
        }
    }

    /// The driver resets queue `index` by itself (virtio 1.4, section 2.6.1): nothing more is taken from it, what is in
    /// flight in it is given up, and its registers are what they were at the start. Ignored where RING_RESET was not
    /// negotiated (DRV-PCI-10, DRV-MMIO-09).
    ///
    /// Waits for the end as the write that resets the device does, see
    /// [`HostBuilder::reset_wait`](crate::HostBuilder::reset_wait). Until then the queue is shown as
    /// [resetting](QueueRegisters::resetting) and enabled; afterwards as neither.
    pub fn reset_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.end_reset(&mut control) || !self.negotiated_in(&control).contains(Features::RING_RESET) {
            return;
        }
        self.note_stop(&mut control, index);
        let Some(queue) = control.queues.get_mut(usize::from(index)) else {
            return;
        };
        if queue.resetting {
            return;
        }
        queue.resetting = true;
        if queue.enabled {
            self.stop_queue(&mut control, index, Quiesce::Cancel);
        } else {
            self.finish_stop(&mut control, index);
        }
    }

    /// Has queue `index`, which is enabled, take nothing more, and waits a while for its end.
    fn stop_queue(&self, control: &mut Control, index: u16, how: Quiesce) {
        let Some(task) = control.phase.task_of(index) else {
            return self.finish_stop(control, index);
        };
        task.stop_queue(index, how);
        self.wait_until(self.reset_wait, |slice| task.wait_stopped(index, slice));
        self.note_stop(control, index);
    }

    /// A queue that was to be stopped may have come to rest since.
    pub(super) fn note_stop(&self, control: &mut Control, index: u16) {
        let Some(task) = control.phase.task_of(index) else {
            return;
        };
        if task.has_stopped(index) == Some(false) {
            self.runtime.assist();
        }
        if task.has_stopped(index) == Some(true) {
            self.finish_stop(control, index);
        }
    }

    /// Nothing accesses queue `index` any more: it is not enabled, and its reset is over if one went on.
    fn finish_stop(&self, control: &mut Control, index: u16) {
        let stopped = control.phase.task_of(index).is_some_and(|task| task.has_stopped(index) == Some(true));
        let handles = self.queues.get(usize::from(index));
        let (Some(queue), Some(handles)) = (control.queues.get_mut(usize::from(index)), handles) else {
            return;
        };
        queue.enabled = false;
        if queue.resetting {
            // BASIC-VQRESET-02, MMIO-REG-13, PCI-COMMON-14
            let idle = queue.idle || stopped;
            *queue = QueueRegisters { idle, ..QueueRegisters::after_reset(handles.max_size) };
            self.shared.interrupts.queue_reset(index);
        }
        if let Phase::Paused(_, positions) = &mut control.phase {
            positions.retain(|(queue, _)| *queue != index);
        }
    }

    /// What a device is handed for queue `index`.
    pub(super) fn setup(
        &self,
        control: &Control,
        index: u16,
        registers: QueueRegisters,
    ) -> Result<QueueSetup, RingFault> {
        let handles = self.queues.get(usize::from(index));
        let handles = handles.ok_or(RingFault::Size { size: registers.size })?;
        let idle = registers.idle;
        // What the driver may have written since it reset the queue counts when it enables it.
        let registers = if idle { QueueRegisters::after_reset(handles.max_size) } else { registers };
        let QueueRegisters { size, descriptor_area, driver_area, device_area, .. } = registers;
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
            awaits_enable: idle,
            memory: self.memory.clone(),
            doorbell: handles.doorbell.clone(),
            interrupt: self.shared.interrupts.queue(index),
            counters: handles.counters.clone(),
            faults: Arc::clone(&self.shared) as _,
            recorder: None,
        })
    }
}

impl Control {
    /// Has the task of a queue that was reset serve it again.
    fn restart(&mut self, queue: Virtqueue) {
        let (index, position) = (queue.index(), queue.position());
        let Some(registers) = self.queues.get_mut(usize::from(index)) else {
            return;
        };
        // A task that is gone has had the device ask for a reset.
        if self.phase.task_of(index).is_some_and(|task| task.start_queue(queue)) {
            (registers.enabled, registers.idle) = (true, false);
            if let Phase::Paused(_, positions) = &mut self.phase {
                positions.push((index, position));
                positions.sort_by_key(|(queue, _)| *queue);
            }
        }
    }
}
