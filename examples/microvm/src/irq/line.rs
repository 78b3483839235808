//! Interrupt wires.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kvm_ioctls::VmFd;
use virtio_core::InterruptLine;
use vmm_sys_util::eventfd::EventFd;

use crate::error::Error;

/// A wire whose rising edge counts. Each `set(true)` is an edge, so that a device which still has a reason
/// after the driver acknowledged another one only has to assert again.
pub(crate) struct EdgeLine {
    event: EventFd,
}

impl EdgeLine {
    /// A wire to pin `gsi` of the interrupt controller.
    pub(crate) fn new(vm: &VmFd, gsi: u32) -> Result<Self, Error> {
        let event = EventFd::new(libc::EFD_NONBLOCK).map_err(Error::setup("an eventfd"))?;
        vm.register_irqfd(&event, gsi).map_err(Error::kvm("connect an interrupt"))?;
        Ok(Self { event })
    }
}

impl InterruptLine for EdgeLine {
    fn set(&self, asserted: bool) {
        // The counter is drained by KVM: it cannot be full for long, and then an edge is on its way anyway.
        if asserted && let Err(error) = self.event.write(1) {
            log::debug!("interrupt: {error}");
        }
    }
}

/// A level-triggered pin that several devices share: it is asserted while one of them asserts it.
pub(crate) struct SharedPin {
    vm: Arc<VmFd>,
    gsi: u32,
    devices: AtomicU32,
    /// One bit per device that asserts. The lock also keeps the calls to KVM in order.
    asserted: Mutex<u32>,
}

impl SharedPin {
    /// Pin `gsi` of the interrupt controller.
    pub(crate) fn new(vm: Arc<VmFd>, gsi: u32) -> Arc<Self> {
        Arc::new(Self { vm, gsi, devices: AtomicU32::new(0), asserted: Mutex::new(0) })
    }

    /// One more device's wire to this pin, of at most 32.
    pub(crate) fn connect(pin: &Arc<Self>) -> Option<LevelLine> {
        let device = pin.devices.fetch_add(1, Ordering::Relaxed);
        Some(LevelLine { pin: pin.clone(), bit: 1u32.checked_shl(device)? })
    }
}

/// One device's wire to a [`SharedPin`].
pub(crate) struct LevelLine {
    pin: Arc<SharedPin>,
    bit: u32,
}

impl InterruptLine for LevelLine {
    fn set(&self, asserted: bool) {
        let mut now = self.pin.asserted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *now;
        if asserted {
            *now |= self.bit;
        } else {
            *now &= !self.bit;
        }
        if (before != 0) != (*now != 0)
            && let Err(errno) = self.pin.vm.set_irq_line(self.pin.gsi, *now != 0)
        {
            log::error!("interrupt {}: {errno}", self.pin.gsi);
        }
    }
}
