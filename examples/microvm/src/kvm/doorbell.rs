//! Doorbells that do not leave the kernel: a write at an address becomes an eventfd.

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

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0xe000_0000;

    fn doorbell(offset: u64, value: u32) -> Doorbell {
        Doorbell { offset, value: Some(value), event: EventFd::new(0).unwrap() }
    }

    fn machine() -> Arc<VmFd> {
        Arc::new(kvm_ioctls::Kvm::new().unwrap().create_vm().unwrap())
    }

    #[test]
    #[ignore = "needs /dev/kvm"]
    fn doorbells_that_cannot_all_be_placed_leave_none() {
        let vm = machine();
        let mut clashing = Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1), doorbell(0, 0)]);
        assert!(clashing.place(Some(BASE)).is_err());
        Doorbells::new(vm, vec![doorbell(0, 0), doorbell(0, 1)]).place(Some(BASE)).unwrap();
    }

    #[test]
    #[ignore = "needs /dev/kvm"]
    fn one_that_cannot_be_taken_away_keeps_no_other() {
        let vm = machine();
        let mut doorbells = Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1)]);
        doorbells.place(Some(BASE)).unwrap();
        doorbells.unregister(&doorbells.sites[0], BASE).unwrap();
        assert!(doorbells.place(Some(BASE + 0x1000)).is_err());
        for base in [BASE, BASE + 0x1000] {
            Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1)]).place(Some(base)).unwrap();
        }
    }
}
