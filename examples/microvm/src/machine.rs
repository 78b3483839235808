//! The whole machine: built from the command line, run until it ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use custom_device::Entropy;
use virtio_net::Net;
use vm_device::bus::{MmioAddress, MmioRange, PioAddress, PioRange};
use vm_device::device_manager::{MmioManager, PioManager};
use vm_device::{DeviceMmio, DevicePio};

use crate::cli::Boot;
use crate::control::server::ControlServer;
use crate::devices::board::Board;
use crate::devices::control::Controls;
use crate::devices::{disk, net, rng};
use crate::error::Error;
use crate::irq::line::EdgeLine;
use crate::kvm::{Host, Vm};
use crate::legacy::console::{self, RawMode};
use crate::legacy::keyboard::Keyboard;
use crate::legacy::power::{self, Power};
use crate::legacy::serial::Com1;
use crate::memory::GuestMemory;
use crate::pci::bridge::HostBridge;
use crate::pci::bus::PciBus;
use crate::pci::ecam::Ecam;
use crate::pci::ports::{self, ConfigPorts};
use crate::pci::windows::Window;
use crate::stop::{Ending, Stop};
use crate::vcpu::{Vcpu, threads};
use crate::{acpi, boot, layout, memory};

#[cfg(test)]
mod tests;

/// Builds the machine, runs it and says how it ended.
pub(crate) fn run(boot: &Boot) -> Result<Ending, Error> {
    let Inputs { memory, entry, disks, nets, rngs } = inputs(boot)?;
    let host = Host::open()?;
    if usize::from(boot.cpus) > host.max_cpus() {
        return Err(Error::TooManyCpus { wanted: boot.cpus, most: host.max_cpus() });
    }
    let vm = host.create_vm(&memory)?;
    let stop = Arc::new(Stop::new()?);
    let mut board = Board::new(&vm, memory.clone());
    let mut controls = Controls::default();
    board.add_pci(Arc::new(HostBridge::new()), 0, Vec::new())?;
    for (disk, opened) in boot.disks.iter().zip(disks) {
        disk::attach(&mut board, &mut controls, disk, opened)?;
    }
    for (net, device) in boot.nets.iter().zip(nets) {
        net::attach(&mut board, &mut controls, net, device)?;
    }
    for (rng, entropy) in boot.rngs.iter().zip(rngs) {
        rng::attach(&mut board, rng, entropy)?;
    }
    let com1 = legacy_devices(&mut board, &vm, &stop)?;
    let pci_window_64 = layout::pci_window_64(memory::end(boot.mem));
    let description = acpi::Machine {
        cpus: boot.cpus,
        pci_window_64: pci_window_64.clone(),
        mmio_devices: std::mem::take(&mut board.mmio_devices),
    };
    acpi::write(&memory, &description)?;
    pci_bus(&mut board, pci_window_64)?;

    let io = Arc::new(std::mem::take(&mut board.io));
    let cpus = (0..boot.cpus)
        .map(|id| Vcpu::new(&host, &vm, id, boot.cpus, io.clone(), stop.clone()))
        .collect::<Result<Vec<_>, Error>>()?;
    if let Some(first) = cpus.first() {
        first.start_at(&memory, entry)?;
    }

    let _control = boot.control.as_deref().map(|path| ControlServer::start(path, controls)).transpose()?;
    stop.on_signals()?;
    let _raw = RawMode::enter();
    console::pass_input(com1, stop.clone())?;
    let threads = threads::start(cpus)?;
    let ending = stop.wait();
    threads.join();
    Ok(ending)
}

/// What the command line names, loaded or open.
struct Inputs {
    /// Holds kernel, initrd and boot parameters.
    memory: GuestMemory,
    /// Where the first CPU starts.
    entry: u64,
    /// The disks in the order of the command line.
    disks: Vec<disk::Opened>,
    /// The network devices likewise.
    nets: Vec<Net>,
    /// The entropy devices likewise.
    rngs: Vec<Entropy>,
}

/// Takes up the files. Needs no KVM, so that a wrong command line is answered as one on any machine.
fn inputs(boot: &Boot) -> Result<Inputs, Error> {
    let disks = disk::open(&boot.disks)?;
    let nets = net::open(&boot.nets)?;
    let rngs = boot.rngs.iter().map(rng::open).collect::<Result<Vec<_>, Error>>()?;
    let memory = memory::map(boot.mem)?;
    let kernel = boot::kernel::load(&memory, &boot.kernel)?;
    let initrd = boot.initrd.as_ref().map(|path| kernel.load_initrd(&memory, boot.mem, path)).transpose()?;
    boot::params::write(&memory, boot.mem, &kernel, initrd, &boot.cmdline)?;
    boot::reset_vector::write(&memory)?;
    Ok(Inputs { memory, entry: kernel.entry, disks, nets, rngs })
}

fn legacy_devices(board: &mut Board, vm: &Vm, stop: &Arc<Stop>) -> Result<Arc<Com1<File>>, Error> {
    // The guest writes single bytes: they go out unbuffered.
    let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(Error::setup("standard output"))?;
    let line = EdgeLine::new(&vm.fd, layout::SERIAL_GSI)?;
    let com1 = Arc::new(Com1::new(line, File::from(output)));
    ports_at(board, "COM1", layout::SERIAL_PORTS, 8, com1.clone())?;
    let keyboard = Arc::new(Keyboard::new(stop.clone()));
    ports_at(board, "the keyboard", layout::I8042_PORTS, 5, keyboard)?;
    let power = Arc::new(Power::new(stop.clone()));
    ports_at(board, "the power registers", layout::POWER_PORTS, power::REGISTERS, power)?;
    Ok(com1)
}

fn pci_bus(board: &mut Board, window_64: std::ops::Range<u64>) -> Result<(), Error> {
    let bus: Arc<PciBus> = Arc::new(std::mem::take(&mut board.pci));
    let ecam = layout::ECAM..layout::ECAM + layout::ECAM_SIZE;
    memory_at(board, "ECAM", ecam, Arc::new(Ecam(bus.clone())))?;
    for window in [layout::PCI_WINDOW_32, window_64] {
        memory_at(board, "a PCI window", window, Arc::new(Window(bus.clone())))?;
    }
    let config = Arc::new(ConfigPorts::new(bus));
    ports_at(board, "the PCI ports", layout::PCI_CONFIG_PORTS, ports::PORTS, config)
}

fn ports_at(
    board: &mut Board,
    what: &'static str,
    base: u16,
    count: u16,
    device: Arc<dyn DevicePio + Send + Sync>,
) -> Result<(), Error> {
    PioRange::new(PioAddress(base), count)
        .and_then(|range| board.io.register_pio(range, device))
        .map_err(|source| Error::Bus { what, source })
}

fn memory_at(
    board: &mut Board,
    what: &'static str,
    range: std::ops::Range<u64>,
    device: Arc<dyn DeviceMmio + Send + Sync>,
) -> Result<(), Error> {
    MmioRange::new(MmioAddress(range.start), range.end - range.start)
        .and_then(|range| board.io.register_mmio(range, device))
        .map_err(|source| Error::Bus { what, source })
}
