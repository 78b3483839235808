//! The common configuration structure (virtio 1.4, section 4.1.4.3), as a table of registers.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use virtio_core::host::{QueueConfig, QueueRegisters, set_high, set_low};
use virtio_core::{DeviceHost, Features};

use crate::access;
use crate::interrupts::Routing;

/// Which word of the features, and which queue, the other registers are about.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    pub(crate) device_feature: AtomicU32,
    pub(crate) driver_feature: AtomicU32,
    pub(crate) queue: AtomicU16,
}

impl Selectors {
    pub(crate) fn reset(&self) {
        let Selectors { device_feature, driver_feature, queue } = self;
        device_feature.store(0, Ordering::SeqCst);
        driver_feature.store(0, Ordering::SeqCst);
        queue.store(0, Ordering::SeqCst);
    }
}

/// What the registers stand for.
pub(crate) struct Common<'a> {
    pub(crate) host: &'a DeviceHost,
    pub(crate) routing: &'a Routing,
    pub(crate) selectors: &'a Selectors,
    /// What the doorbell of each queue carries with NOTIF_CONFIG_DATA.
    pub(crate) notify_config_data: &'a [u16],
}

/// A register of at most 4 bytes. The 64-bit fields are two of them (PCI-LAYOUT-01).
struct Register {
    offset: u64,
    width: u64,
    read: fn(&Common<'_>) -> u32,
    write: fn(&Common<'_>, u32),
}

const fn register(offset: u64, width: u64, read: fn(&Common<'_>) -> u32, write: fn(&Common<'_>, u32)) -> Register {
    Register { offset, width, read, write }
}

/// DRV-PCI-03: what is not the driver's to write.
fn read_only(_: &Common<'_>, _: u32) {}

/// A register of a feature that is not offered: reads zero.
fn absent(_: &Common<'_>) -> u32 {
    0
}

/// The half of a 64-bit field that a register is.
fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

const DEVICE_STATUS: u64 = 0x14;

#[rustfmt::skip]
static REGISTERS: &[Register] = &[
    // device_feature_select, device_feature: PCI-COMMON-03
    register(0x00, 4, |c| c.selectors.device_feature.load(Ordering::SeqCst),
                      |c, value| c.selectors.device_feature.store(value, Ordering::SeqCst)),
    register(0x04, 4, |c| c.host.offered().word(c.selectors.device_feature.load(Ordering::SeqCst)), read_only),
    // driver_feature_select, driver_feature: PCI-COMMON-04 PCI-COMMON-05
    register(0x08, 4, |c| c.selectors.driver_feature.load(Ordering::SeqCst),
                      |c, value| c.selectors.driver_feature.store(value, Ordering::SeqCst)),
    register(0x0c, 4, |c| c.host.accepted().word(c.selectors.driver_feature.load(Ordering::SeqCst)),
                      |c, value| c.host.write_features(c.selectors.driver_feature.load(Ordering::SeqCst), value)),
    // config_msix_vector: PCI-MSIX-06
    register(0x10, 2, |c| c.routing.config_vector().into(), |c, value| c.routing.set_config_vector(value as u16)),
    // num_queues: PCI-COMMON-19
    register(0x12, 2, |c| c.host.queue_count().into(), read_only),
    // device_status: PCI-COMMON-07 PCI-COMMON-08
    register(DEVICE_STATUS, 1, |c| c.host.status().into(), |c, value| c.host.write_status(value as u8)),
    // config_generation: PCI-COMMON-06
    register(0x15, 1, |c| c.host.config_generation() & 0xff, read_only),
    // queue_select
    register(0x16, 2, |c| c.selected().into(), |c, value| c.selectors.queue.store(value as u16, Ordering::SeqCst)),
    // queue_size: PCI-COMMON-15 PCI-COMMON-16 PCI-COMMON-20
    register(0x18, 2, |c| c.of_queue(|queue| queue.config.size.into()), |c, value| c.set_queue_size(value as u16)),
    // queue_msix_vector: PCI-MSIX-06
    register(0x1a, 2, |c| c.routing.queue_vector(c.selected()).into(),
                      |c, value| c.routing.set_queue_vector(c.selected(), value as u16)),
    // queue_enable: PCI-COMMON-09
    register(0x1c, 2, |c| c.of_queue(|queue| queue.is_enabled().into()), |c, value| c.set_queue_enable(value as u16)),
    // queue_notify_off: each queue has a doorbell of its own
    register(0x1e, 2, |c| c.of_queue(|_| c.selected().into()), read_only),
    // queue_desc, queue_driver, queue_device
    register(0x20, 4, |c| c.of_queue(|queue| low(queue.config.descriptor_area)),
                      |c, value| c.configure(|queue| set_low(&mut queue.descriptor_area, value))),
    register(0x24, 4, |c| c.of_queue(|queue| high(queue.config.descriptor_area)),
                      |c, value| c.configure(|queue| set_high(&mut queue.descriptor_area, value))),
    register(0x28, 4, |c| c.of_queue(|queue| low(queue.config.driver_area)),
                      |c, value| c.configure(|queue| set_low(&mut queue.driver_area, value))),
    register(0x2c, 4, |c| c.of_queue(|queue| high(queue.config.driver_area)),
                      |c, value| c.configure(|queue| set_high(&mut queue.driver_area, value))),
    register(0x30, 4, |c| c.of_queue(|queue| low(queue.config.device_area)),
                      |c, value| c.configure(|queue| set_low(&mut queue.device_area, value))),
    register(0x34, 4, |c| c.of_queue(|queue| high(queue.config.device_area)),
                      |c, value| c.configure(|queue| set_high(&mut queue.device_area, value))),
    // queue_notif_config_data: PCI-COMMON-21
    register(0x38, 2, |c| c.notify_config_data().into(), read_only),
    // queue_reset: PCI-COMMON-10 PCI-COMMON-11 PCI-COMMON-13 PCI-COMMON-14: never 1 without RING_RESET
    register(0x3a, 2, |c| c.of_queue(|queue| queue.is_resetting().into()), |c, value| c.set_queue_reset(value as u16)),
    // admin_queue_index, admin_queue_num: ADMIN_VQ is not offered
    register(0x3c, 2, absent, read_only),
    register(0x3e, 2, absent, read_only),
];

impl Common<'_> {
    /// The driver reads, at any offset and width.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        let len = data.len();
        for register in REGISTERS.iter().filter(|register| register.is_touched(offset, len)) {
            access::read(register.offset, register.width, (register.read)(self), offset, data);
        }
    }

    /// The driver writes, at any offset and width: each register that is touched, in the order of their offsets.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) {
        let mut settled = None;
        for register in REGISTERS.iter().filter(|register| register.is_touched(offset, data.len())) {
            // DRV-PCI-06: nothing is set up that the end of a reset would take back.
            if register.offset != DEVICE_STATUS && !*settled.get_or_insert_with(|| self.host.settle()) {
                continue;
            }
            let old = if register.is_covered(offset, data.len()) { 0 } else { (register.read)(self) };
            (register.write)(self, access::merge(register.offset, register.width, old, offset, data));
        }
    }

    fn selected(&self) -> u16 {
        self.selectors.queue.load(Ordering::SeqCst)
    }

    /// PCI-COMMON-15, DRV-PCI-09: everything about a queue that does not exist reads zero.
    fn of_queue(&self, read: impl FnOnce(QueueRegisters) -> u32) -> u32 {
        self.host.queue(self.selected()).map_or(0, read)
    }

    /// DRV-PCI-05, DRV-PCI-09: the host ignores it for a queue that is enabled, or does not exist.
    fn configure(&self, change: impl FnOnce(&mut QueueConfig)) {
        self.host.configure_queue(self.selected(), change);
    }

    /// DRV-PCI-04, PCI-COMMON-16: a size that cannot be leaves the old one.
    fn set_queue_size(&self, size: u16) {
        let any = self.host.negotiated().contains(Features::RING_PACKED);
        let possible = size != 0 && size <= self.host.queue_max_size(self.selected());
        if possible && (any || size.is_power_of_two()) {
            self.configure(|queue| queue.size = size);
        }
    }

    /// DRV-PCI-07, DRV-PCI-08: only 1 means something.
    fn set_queue_enable(&self, value: u16) {
        if value == 1 {
            self.host.enable_queue(self.selected());
        }
    }

    /// PCI-COMMON-12, DRV-PCI-08: only 1 means something.
    fn set_queue_reset(&self, value: u16) {
        if value == 1 {
            self.host.reset_queue(self.selected());
        }
    }

    fn notify_config_data(&self) -> u16 {
        let data = self.notify_config_data.get(usize::from(self.selected())).copied().unwrap_or(0);
        if self.host.negotiated().contains(Features::NOTIF_CONFIG_DATA) { data } else { 0 }
    }
}

impl Register {
    fn is_touched(&self, offset: u64, len: usize) -> bool {
        access::touches(self.offset, self.width, offset, len)
    }

    fn is_covered(&self, offset: u64, len: usize) -> bool {
        offset <= self.offset && self.offset + self.width <= offset.saturating_add(len as u64)
    }
}
