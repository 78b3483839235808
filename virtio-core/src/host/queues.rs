//! The registers of the queues.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::status::{DRIVER_OK, FEATURES_OK};
use super::{Control, DeviceHost, Phase};
use crate::deadline::Deadline;
use crate::event::Event;
use crate::features::Features;
use crate::ring::{QueueSetup, RingFault, Virtqueue};
use crate::task::Quiesce;

/// What the driver configures of one queue. Checked when the queue is enabled, and frozen then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConfig {
    /// Descriptors in the ring; the largest possible after a reset.
    pub size: u16,
    /// Address of the descriptor area.
    pub descriptor_area: u64,
    /// Address of the driver area.
    pub driver_area: u64,
    /// Address of the device area.
    pub device_area: u64,
}

impl QueueConfig {
    pub(super) fn after_reset(size: u16) -> QueueConfig {
        QueueConfig { size, descriptor_area: 0, driver_area: 0, device_area: 0 }
    }
}

/// Writes the low half of an address, for transports whose drivers write it in halves.
pub fn set_low(address: &mut u64, value: u32) {
    *address = *address & !0xffff_ffff | u64::from(value);
}

/// Writes the high half of an address, as [`set_low`] the other.
pub fn set_high(address: &mut u64, value: u32) {
    *address = *address & 0xffff_ffff | u64::from(value) << 32;
}

/// Whether a queue is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueActivity {
    /// It is not: the driver can configure it.
    Off,
    /// It is.
    On,
    /// It is still: a reset of the queue goes on.
    Resetting,
}

/// The registers of one queue, as the driver reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueRegisters {
    /// What the driver has configured.
    pub config: QueueConfig,
    /// Whether the queue is enabled.
    pub activity: QueueActivity,
    /// It was reset by itself while the device was live: its task waits for it, and it can be enabled again.
    pub(super) awaits_enable: bool,
}

impl QueueRegisters {
    pub(super) fn after_reset(size: u16) -> QueueRegisters {
        let config = QueueConfig::after_reset(size);
        QueueRegisters { config, activity: QueueActivity::Off, awaits_enable: false }
    }

    /// Whether the queue is enabled; while it is being reset, too.
    pub fn is_enabled(&self) -> bool {
        self.activity != QueueActivity::Off
    }

    /// Whether a reset of the queue goes on.
    pub fn is_resetting(&self) -> bool {
        self.activity == QueueActivity::Resetting
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
        self.registers(&mut control, index).copied()
    }

    /// The driver configures queue `index`: ignored while it is enabled, or where there is no such queue.
    pub fn configure_queue(&self, index: u16, change: impl FnOnce(&mut QueueConfig)) {
        let mut control = self.control();
        if !self.settled(&mut control) {
            return;
        }
        // DRV-MMIO-04 DRV-PCI-05: frozen while it is enabled.
        if let Some(queue) = self.registers(&mut control, index)
            && !queue.is_enabled()
        {
            change(&mut queue.config);
        }
    }

    /// The driver enables queue `index`. Takes effect between FEATURES_OK and DRIVER_OK, and later for a queue that was
    /// enabled then and has been reset by itself.
    ///
    /// A queue whose size or addresses are not what they must be stays as it is, and the device asks for a reset.
    pub fn enable_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.settled(&mut control) || self.shared.status() & FEATURES_OK == 0 {
            return;
        }
        let Some(registers) = self.registers(&mut control, index).copied() else {
            return;
        };
        let live = self.shared.status() & DRIVER_OK != 0;
        // DRV-PCI-11 DRV-MMIO-09: not while it is being reset, when it is enabled still.
        if registers.is_enabled() || live && !registers.awaits_enable {
            return;
        }
        // DRV-VQRESET-02: nothing that was there before makes up for what is not right now.
        match self.setup(&control, index, registers.config).and_then(Virtqueue::new) {
            Ok(queue) if live => control.restart(queue),
            Ok(_) => control.queues[usize::from(index)].activity = QueueActivity::On,
            Err(fault) => self.shared.fault(index, fault, "cannot be enabled"),
        }
    }

    /// The driver stops queue `index` without a reset, as MMIO lets it. The register shows the queue as enabled until
    /// nothing accesses it any more (DRV-MMIO-06). A live queue can only be enabled again after a reset, of the queue or
    /// of the device.
    pub fn disable_queue(&self, index: u16) {
        let mut control = self.control();
        if self.settled(&mut control) && self.registers(&mut control, index).is_some_and(|queue| queue.is_enabled()) {
            self.begin_queue_stop(&mut control, index, Quiesce::Drain);
        }
    }

    /// The driver resets queue `index` by itself (virtio 1.4, section 2.6.1): nothing more is taken from it, what is in
    /// flight in it is given up, and its registers are what they were at the start. Ignored where RING_RESET was not
    /// negotiated (DRV-PCI-10 DRV-MMIO-09).
    ///
    /// Waits for the end as the write that resets the device does, see
    /// [`HostBuilder::reset_wait`](crate::HostBuilder::reset_wait). Until then the queue is shown as
    /// [resetting](QueueActivity::Resetting); afterwards as off.
    pub fn reset_queue(&self, index: u16) {
        let mut control = self.control();
        if !self.settled(&mut control) || !self.negotiated_in(&control).contains(Features::RING_RESET) {
            return;
        }
        let Some(queue) = self.registers(&mut control, index) else {
            return;
        };
        match std::mem::replace(&mut queue.activity, QueueActivity::Resetting) {
            QueueActivity::Off => self.complete_queue_stop(&mut control, index),
            QueueActivity::On => self.begin_queue_stop(&mut control, index, Quiesce::Cancel),
            QueueActivity::Resetting => {}
        }
    }

    /// The registers of queue `index`, which may have come to rest since the last look.
    fn registers<'a>(&self, control: &'a mut Control, index: u16) -> Option<&'a mut QueueRegisters> {
        self.poll_queue_stop(control, index);
        control.queues.get_mut(usize::from(index))
    }

    /// Has queue `index`, which is enabled, take nothing more, and waits a while for its end.
    fn begin_queue_stop(&self, control: &mut Control, index: u16, how: Quiesce) {
        let Some(task) = control.phase.task_of(index) else {
            return self.complete_queue_stop(control, index);
        };
        task.stop_queue(index, how);
        self.wait_until(Deadline::after(self.reset_wait), |slice| task.wait_stopped(index, slice));
        self.poll_queue_stop(control, index);
    }

    /// A queue that was to be stopped may have come to rest since.
    pub(super) fn poll_queue_stop(&self, control: &mut Control, index: u16) {
        let Some(task) = control.phase.task_of(index) else {
            return;
        };
        if task.has_stopped(index) == Some(false) {
            self.runtime.assist();
        }
        if task.has_stopped(index) == Some(true) {
            self.complete_queue_stop(control, index);
        }
    }

    /// Nothing accesses queue `index` any more: it is not enabled, and its reset is over if one went on.
    fn complete_queue_stop(&self, control: &mut Control, index: u16) {
        let stopped = control.phase.task_of(index).is_some_and(|task| task.has_stopped(index) == Some(true));
        let handles = self.queues.get(usize::from(index));
        let (Some(queue), Some(handles)) = (control.queues.get_mut(usize::from(index)), handles) else {
            return;
        };
        if std::mem::replace(&mut queue.activity, QueueActivity::Off) == QueueActivity::Resetting {
            // BASIC-VQRESET-02 MMIO-REG-13 PCI-COMMON-14
            queue.config = QueueConfig::after_reset(handles.max_size);
            queue.awaits_enable |= stopped;
            self.shared.hooks.queue_reset(index);
        }
        if let Phase::Paused(_, positions) = &mut control.phase {
            positions.retain(|(queue, _)| *queue != index);
        }
    }

    /// What a device is handed for queue `index`.
    pub(super) fn setup(&self, control: &Control, index: u16, config: QueueConfig) -> Result<QueueSetup, RingFault> {
        let QueueConfig { size, descriptor_area, driver_area, device_area } = config;
        // DRV-PCI-04 DRV-MMIO-03
        let handles = self.queues.get(usize::from(index)).filter(|queue| (1..=queue.max_size).contains(&size));
        let handles = handles.ok_or(RingFault::Size { size })?;
        Ok(QueueSetup {
            index,
            size,
            descriptor_area,
            driver_area,
            device_area,
            features: control.accepted,
            position: None,
            awaits_enable: false,
            memory: self.memory.clone(),
            doorbell: handles.doorbell.clone(),
            interrupt: self.shared.hooks.queue_interrupt(index),
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
            (registers.activity, registers.awaits_enable) = (QueueActivity::On, false);
            if let Phase::Paused(_, positions) = &mut self.phase {
                positions.push((index, position));
                positions.sort_by_key(|(queue, _)| *queue);
            }
        }
    }
}
