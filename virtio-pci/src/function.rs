//! The function as the embedder sees it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_core::{DeviceHost, DoorbellSite, HostBuilder};

use crate::access;
use crate::bars::{self, Bar, BarChange, BarPlacement};
use crate::builder::Builder;
use crate::capabilities::Places;
use crate::common::{Common, Selectors};
use crate::doorbells;
use crate::header::{BUS_MASTER, COMMAND, INTERRUPT, INTX_DISABLE, Image, STATUS};
use crate::interrupts::Routing;
use crate::layout::{MSIX_BAR, STRUCTURES_BAR, Structures};

/// A modern virtio PCI function: a [`DeviceHost`] behind a configuration space and memory BARs.
///
/// The embedder routes the driver's accesses to [`read_config`](Self::read_config), [`write_config`](Self::write_config),
/// [`read_bar`](Self::read_bar) and [`write_bar`](Self::write_bar); everything else is a service for it.
///
/// Send and Sync; every call takes `&self` and may come from any thread. Doorbells, reads of the interrupt status and
/// interrupts take no lock. A write of the device status may take as long as a reset (see
/// [`HostBuilder::reset_wait`]), and other control writes wait for one that has not ended. Accesses to the configuration
/// space take turns; none of them waits for the device, except through the PCI_CFG window.
///
/// Dropping it is a surprise removal: it stops the device.
pub struct VirtioPci {
    pub(crate) host: DeviceHost,
    pub(crate) routing: Arc<Routing>,
    pub(crate) selectors: Arc<Selectors>,
    pub(crate) config: Mutex<Image>,
    /// The configuration space after a reset of the function.
    pub(crate) power_on: Image,
    pub(crate) places: Places,
    pub(crate) structures: Structures,
    pub(crate) bars: Vec<Bar>,
    /// What the doorbell of each queue carries with NOTIF_CONFIG_DATA.
    pub(crate) notify_config_data: Box<[u16]>,
}

/// What happened to the function's PCI side.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PciCounts {
    /// Times that a message vector could not be routed; it is masked until the driver writes it again.
    pub route_failures: u64,
}

impl VirtioPci {
    /// The BAR that the [`doorbells`](Self::doorbells) are in.
    pub const DOORBELL_BAR: u8 = STRUCTURES_BAR;

    /// A function for the device of `host`.
    pub fn builder(host: HostBuilder) -> Builder {
        Builder::new(host)
    }

    /// The device's host: to pause and resume it, and for its counters.
    pub fn host(&self) -> &DeviceHost {
        &self.host
    }

    /// The driver reads the configuration space: any offset, any width. What is not there reads zero.
    pub fn read_config(&self, offset: u16, data: &mut [u8]) {
        let window = self.places.window.data();
        let through = access::touches(window.into(), 4, offset.into(), data.len());
        if through {
            // PCI-CFGACC-03
            let target = self.places.window.target(&self.config(), &self.structures);
            let mut bytes = [0; 4];
            if let Some((at, part)) = target.and_then(|(at, len)| Some((at, bytes.get_mut(..len)?))) {
                self.read_bar(STRUCTURES_BAR, at.into(), part);
            }
            self.config().set(window, &bytes);
        }
        let config = self.config();
        config.read(offset, data);
        if access::touches(STATUS.into(), 2, offset.into(), data.len()) {
            // PCI-ISR-04
            let interrupt = if self.routing.intx.is_asserted() { INTERRUPT } else { 0 };
            let status = config.u16(STATUS) | interrupt;
            access::read(STATUS.into(), 2, status.into(), offset.into(), data);
        }
    }

    /// The driver writes the configuration space: any offset, any width. What is not the driver's to write is ignored.
    ///
    /// Returns the BARs that begin or end to answer somewhere, for an embedder that maps them: usually none. One that
    /// has several threads write at once asks for [`bars`](Self::bars) under a lock of its own instead.
    pub fn write_config(&self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        let touches = |register: u16, width| access::touches(register.into(), width, offset.into(), data.len());
        let mut sync = false;
        let mut through = None;
        let mut config = self.config();
        let before = self.placements(&config);
        config.write(offset, data);
        if touches(COMMAND, 2) {
            self.routing.intx.disable(config.u16(COMMAND) & INTX_DISABLE != 0);
            sync = true;
        }
        if let Some(control) = self.places.msix_control.filter(|control| touches(*control, 2)) {
            self.routing.msix.set_control(config.u16(control));
            sync = true;
        }
        let window = self.places.window;
        if touches(window.data(), 4) {
            let target = window.target(&config, &self.structures);
            through = target.map(|target| (target, config.u32(window.data()).to_le_bytes()));
        }
        let changes = bars::changes(&before, &self.placements(&config));
        drop(config);
        if sync {
            self.routing.intx.sync();
        }
        // PCI-CFGACC-02: without the lock, for the write may take as long as a reset.
        if let Some(((at, len), bytes)) = through {
            self.write_bar(STRUCTURES_BAR, at.into(), bytes.get(..len).unwrap_or_default());
        }
        changes
    }

    /// The driver reads `data.len()` bytes at `offset` in `bar`. What is not there reads zero.
    ///
    /// An access belongs to the structure in which it begins. Whether the BAR is enabled is the embedder's to know, which
    /// found it by its address.
    pub fn read_bar(&self, bar: u8, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Structures { common, isr, device, .. } = self.structures;
        match bar {
            STRUCTURES_BAR => {
                if let Some(within) = isr.within(offset) {
                    let bits = self.routing.intx.acknowledge();
                    access::read(0, 1, bits.into(), within, data);
                } else if let Some(within) = common.within(offset) {
                    self.common().read(within, data);
                } else if let Some(within) = device.within(offset) {
                    self.host.read_config(within, data);
                }
            }
            MSIX_BAR => self.routing.msix.read(offset, data),
            _ => {}
        }
    }

    /// The driver writes `data` at `offset` in `bar`. What is not the driver's to write is ignored.
    pub fn write_bar(&self, bar: u8, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let Structures { common, device, notify, .. } = self.structures;
        match bar {
            STRUCTURES_BAR => {
                if let Some(within) = notify.within(offset) {
                    doorbells::ring(&self.host, within);
                } else if let Some(within) = common.within(offset) {
                    self.common().write(within, data);
                } else if let Some(within) = device.within(offset) {
                    self.host.write_config(within, data);
                }
            }
            MSIX_BAR => self.routing.msix.write(offset, data),
            _ => {}
        }
    }

    /// Where the function's BARs are.
    pub fn bars(&self) -> Vec<BarPlacement> {
        self.placements(&self.config())
    }

    /// Whether the driver lets the function access memory. The function does not look at it by itself: a driver that
    /// takes it away without a reset is one that the embedder may want to pause the device for.
    pub fn is_bus_master(&self) -> bool {
        self.config().u16(COMMAND) & BUS_MASTER != 0
    }

    /// The doorbells, by their offsets in [`DOORBELL_BAR`](Self::DOORBELL_BAR). To be registered with the hypervisor at
    /// the BAR's address for as long as it answers there.
    pub fn doorbells(&self) -> Vec<DoorbellSite> {
        doorbells::sites(&self.host, self.structures.notify)
    }

    /// The doorbells with the addresses at which they are now; none while their BAR does not answer.
    pub fn doorbell_addresses(&self) -> Vec<(u64, DoorbellSite)> {
        let place = self.bars().into_iter().find(|place| place.bar == Self::DOORBELL_BAR && place.enabled);
        let at =
            |place: BarPlacement| self.doorbells().into_iter().map(move |site| (place.address + site.offset, site));
        place.into_iter().flat_map(at).collect()
    }

    /// Resets the function as the bus does: the device, and everything in the configuration space.
    ///
    /// Takes as long as a write of zero to the device status. Returns the BARs that answer no more.
    pub fn reset(&self) -> Vec<BarChange> {
        self.host.write_status(0);
        let mut config = self.config();
        let before = self.placements(&config);
        *config = self.power_on.clone();
        self.routing.msix.replace(std::iter::repeat((0, 0, true, false)));
        self.routing.intx.disable(false);
        let changes = bars::changes(&before, &self.placements(&config));
        drop(config);
        self.routing.intx.sync();
        changes
    }

    /// What happened to the function's PCI side.
    pub fn counts(&self) -> PciCounts {
        PciCounts { route_failures: self.routing.msix.route_failures() }
    }

    fn common(&self) -> Common<'_> {
        let VirtioPci { host, routing, selectors, notify_config_data, .. } = self;
        Common { host, routing, selectors, notify_config_data }
    }

    pub(crate) fn placements(&self, config: &Image) -> Vec<BarPlacement> {
        self.bars.iter().map(|bar| bar.placement(config)).collect()
    }

    pub(crate) fn config(&self) -> MutexGuard<'_, Image> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for VirtioPci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtioPci")
            .field("host", &self.host)
            .field("bars", &self.bars())
            .field("vectors", &self.routing.msix.count())
            .finish_non_exhaustive()
    }
}
