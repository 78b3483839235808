//! Doorbells that do not leave the kernel: a write at an address becomes an eventfd.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use vmm_sys_util::eventfd::EventFd;

use crate::error::Error;

/// One place that a driver writes to in order to notify the device.
#[derive(Debug)]
pub(crate) struct Doorbell {
    /// Where, relative to the register window or to the BAR.
    pub(crate) offset: u64,
    /// Which value, where others mean other doorbells.
    pub(crate) value: Option<u32>,
    /// What the write becomes.
    pub(crate) event: EventFd,
}

/// The doorbells of one device, registered while this lives and [`Doorbells::place`] says where.
pub(crate) struct Doorbells {
    vm: Arc<VmFd>,
    sites: Vec<Doorbell>,
    base: Option<u64>,
}

impl Doorbells {
    /// Doorbells that ring nowhere yet.
    pub(crate) fn new(vm: Arc<VmFd>, sites: Vec<Doorbell>) -> Self {
        Self { vm, sites, base: None }
    }

    /// Moves the doorbells to a window at `base`, or takes them away. After an error none rings, and KVM's exits reach the
    /// device instead.
    pub(crate) fn place(&mut self, base: Option<u64>) -> Result<(), Error> {
        if self.base == base {
            return Ok(());
        }
        if let Some(old) = self.base.take() {
            self.unregister_all(&self.sites, old)?;
        }
        if let Some(new) = base {
            for (done, site) in self.sites.iter().enumerate() {
                if let Err(error) = self.register(site, new) {
                    let rung = self.sites.get(..done).unwrap_or_default();
                    if let Err(second) = self.unregister_all(rung, new) {
                        log::warn!("{second}");
                    }
                    return Err(error);
                }
            }
        }
        self.base = base;
        Ok(())
    }

    /// Goes on after an error, so that as little as possible stays registered, and returns the first.
    fn unregister_all(&self, sites: &[Doorbell], base: u64) -> Result<(), Error> {
        let mut all = Ok(());
        for site in sites {
            all = all.and(self.unregister(site, base));
        }
        all
    }

    fn register(&self, site: &Doorbell, base: u64) -> Result<(), Error> {
        let at = IoEventAddress::Mmio(base.wrapping_add(site.offset));
        match site.value {
            None => self.vm.register_ioevent(&site.event, &at, NoDatamatch),
            Some(value) => self.vm.register_ioevent(&site.event, &at, value),
        }
        .map_err(Error::kvm("register a doorbell"))
    }

    fn unregister(&self, site: &Doorbell, base: u64) -> Result<(), Error> {
        let at = IoEventAddress::Mmio(base.wrapping_add(site.offset));
        match site.value {
            None => self.vm.unregister_ioevent(&site.event, &at, NoDatamatch),
            Some(value) => self.vm.unregister_ioevent(&site.event, &at, value),
        }
        .map_err(Error::kvm("unregister a doorbell"))
    }
}

impl Drop for Doorbells {
    fn drop(&mut self) {
        if let Err(error) = self.place(None) {
            log::warn!("{error}");
        }
    }
}
