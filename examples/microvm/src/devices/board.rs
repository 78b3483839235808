//! What the machine offers to a device: a place on MMIO or PCI, interrupts, doorbells.
//!
//! An MMIO device gets its window and its edge-triggered line with [`Board::mmio_place`], is made by the
//! caller, and is put there with [`Board::add_mmio`]. A PCI function gets its shared INTx line with
//! [`Board::intx`] and as many message-signalled vectors as it likes with [`Board::msi_vector`], and is put
//! into the next slot with [`Board::add_pci`].

use std::sync::Arc;

use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioRange};
use vm_device::device_manager::{IoManager, MmioManager};

use crate::acpi::MmioDevice;
use crate::error::Error;
use crate::irq::line::{EdgeLine, LevelLine, SharedPin};
use crate::irq::msi::MsiVector;
use crate::irq::routes::Routes;
use crate::kvm::Vm;
use crate::kvm::doorbell::{Doorbell, Doorbells};
use crate::layout::{INTX_GSIS, MMIO_DEVICE_SIZE, MMIO_DEVICES, MMIO_GSIS};
use crate::memory::GuestMemory;
use crate::pci;
use crate::pci::bus::{BarDoorbells, PciBus, SLOTS};
use crate::pci::function::PciFunction;

/// The machine while devices are put into it.
pub(crate) struct Board {
    /// The memory that the devices work on.
    pub(crate) memory: GuestMemory,
    /// Ports and memory that CPUs reach devices through.
    pub(crate) io: IoManager,
    /// The PCI bus.
    pub(crate) pci: PciBus,
    /// What the guest is told of the MMIO devices.
    pub(crate) mmio_devices: Vec<MmioDevice>,
    /// Registered doorbells of MMIO devices, which stay where they are.
    doorbells: Vec<Doorbells>,
    vm: Arc<kvm_ioctls::VmFd>,
    routes: Arc<Routes>,
    pins: Vec<Arc<SharedPin>>,
}

/// A place for one MMIO device.
pub(crate) struct MmioPlace {
    /// Where it is.
    pub(crate) at: MmioDevice,
    /// Its interrupt.
    pub(crate) line: EdgeLine,
}

impl Board {
    /// A machine without devices.
    pub(crate) fn new(vm: &Vm, memory: GuestMemory) -> Self {
        Self {
            memory,
            io: IoManager::new(),
            pci: PciBus::default(),
            mmio_devices: Vec::new(),
            doorbells: Vec::new(),
            vm: vm.fd.clone(),
            routes: Routes::new(vm.fd.clone()),
            pins: INTX_GSIS.map(|gsi| SharedPin::new(vm.fd.clone(), gsi)).collect(),
        }
    }

    /// The next free register window with its interrupt.
    pub(crate) fn mmio_place(&self) -> Result<MmioPlace, Error> {
        let full = || Error::TooManyDevices { transport: "mmio", most: MMIO_GSIS.len() };
        let index = self.mmio_devices.len();
        let gsi = MMIO_GSIS.clone().nth(index).ok_or_else(full)?;
        let address = MMIO_DEVICES + index as u64 * MMIO_DEVICE_SIZE;
        Ok(MmioPlace {
            at: MmioDevice { address: u32::try_from(address).map_err(|_| full())?, gsi },
            line: EdgeLine::new(&self.vm, gsi)?,
        })
    }

    /// Puts a device into a place from [`Board::mmio_place`].
    pub(crate) fn add_mmio(
        &mut self,
        at: MmioDevice,
        device: Arc<dyn DeviceMmio + Send + Sync>,
        doorbells: Vec<Doorbell>,
    ) -> Result<(), Error> {
        let base = u64::from(at.address);
        let bus = |source| Error::Bus { what: "a virtio-mmio device", source };
        let range = MmioRange::new(MmioAddress(base), MMIO_DEVICE_SIZE).map_err(bus)?;
        self.io.register_mmio(range, device).map_err(bus)?;
        let mut doorbells = Doorbells::new(self.vm.clone(), doorbells);
        doorbells.place(Some(base))?;
        self.doorbells.push(doorbells);
        self.mmio_devices.push(at);
        Ok(())
    }

    /// The INTx line of the slot that the next PCI function gets.
    pub(crate) fn intx(&self) -> Result<LevelLine, Error> {
        let full = || Error::TooManyDevices { transport: "pci", most: usize::from(SLOTS) - 1 };
        let slot = self.pci.next_slot().ok_or_else(full)?;
        let pin = (pci::intx_gsi(slot) - INTX_GSIS.start) as usize;
        self.pins.get(pin).and_then(SharedPin::connect).ok_or_else(full)
    }

    /// One more message-signalled interrupt.
    pub(crate) fn msi_vector(&self) -> Result<MsiVector, Error> {
        MsiVector::new(self.routes.clone())
    }

    /// Puts a function into the next slot. The doorbells are in its BAR `bar` and move with it.
    pub(crate) fn add_pci(
        &mut self,
        function: Arc<dyn PciFunction>,
        bar: u8,
        doorbells: Vec<Doorbell>,
    ) -> Result<u8, Error> {
        let doorbells = (!doorbells.is_empty())
            .then(|| BarDoorbells { bar, doorbells: Doorbells::new(self.vm.clone(), doorbells) });
        self.pci
            .add(function, doorbells)
            .ok_or(Error::TooManyDevices { transport: "pci", most: usize::from(SLOTS) - 1 })
    }
}
