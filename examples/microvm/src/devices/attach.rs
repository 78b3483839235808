//! From a `--disk` to a device in a place of the machine.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;

use virtio_blk::{Block, BlockHandle, FileBackend};
use virtio_core::{DeviceHost, DoorbellSite, GuestRam, HostBuilder, ThreadRuntime};
use virtio_mmio::MmioTransport;
use virtio_pci::{MessageVector, VirtioPci};

use super::board::Board;
use super::control::{Controls, Resize};
use crate::cli::disk::{Disk, Transport};
use crate::error::Error;
use crate::kvm::doorbell::Doorbell;
use crate::pci::virtio::VirtioFunction;

#[cfg(test)]
mod tests;

/// Unit of a disk's size in bytes.
const SECTOR: u64 = 512;

/// Puts `block`, which is `disk` opened, into the machine and makes it known to the control socket.
pub(crate) fn disk(board: &mut Board, controls: &mut Controls, disk: &Disk, block: Block) -> Result<(), Error> {
    if let Some(serial) = &disk.serial {
        let resize = ImageFile { path: disk.path.clone(), read_only: disk.read_only, handle: block.handle() };
        controls.add_disk(serial.clone(), Arc::new(resize));
    }
    let memory = GuestRam::from_vm_memory(&board.memory).map_err(bad(disk))?;
    let runtime = Arc::new(ThreadRuntime::named("virtio-blk"));
    let host = DeviceHost::builder(block).memory(memory).runtime(runtime).with(disk.features);
    match disk.transport {
        Transport::Mmio => on_mmio(board, disk, host),
        Transport::Pci => on_pci(board, disk, host),
    }
}

/// Opens the image of `disk` as a block device. There need not be a machine yet.
pub(crate) fn open(disk: &Disk) -> Result<Block, Error> {
    let open = if disk.read_only { FileBackend::open_read_only } else { FileBackend::open };
    let mut block = Block::builder(open(&disk.path).map_err(bad(disk))?).read_only(disk.read_only);
    if let Some(serial) = &disk.serial {
        block = block.serial(serial);
    }
    block.build().map_err(bad(disk))
}

fn on_mmio(board: &mut Board, disk: &Disk, host: HostBuilder) -> Result<(), Error> {
    let place = board.mmio_place()?;
    let device = MmioTransport::new(host, place.line).map_err(bad(disk))?;
    let doorbells = doorbells(device.doorbells())?;
    board.add_mmio(place.at, Arc::new(device), doorbells)
}

fn on_pci(board: &mut Board, disk: &Disk, host: HostBuilder) -> Result<(), Error> {
    // One vector for each queue and one for the configuration.
    let count = host.device().queue_sizes().len() + 1;
    let vectors = (0..count).map(|_| board.msi_vector().map(Arc::new)).collect::<Result<Vec<_>, Error>>()?;
    let vector = move |index: u16| match vectors.get(usize::from(index)) {
        Some(vector) => Ok(vector.clone() as Arc<dyn MessageVector>),
        None => Err(std::io::ErrorKind::NotFound.into()),
    };
    let function = VirtioPci::builder(host).msix(vector).intx(board.intx()?).build().map_err(bad(disk))?;
    let doorbells = doorbells(function.doorbells())?;
    board.add_pci(Arc::new(VirtioFunction(function)), VirtioPci::DOORBELL_BAR, doorbells)?;
    Ok(())
}

/// What KVM has to know to ring a doorbell without leaving the kernel.
fn doorbells(sites: Vec<DoorbellSite>) -> Result<Vec<Doorbell>, Error> {
    let doorbell = |site: DoorbellSite| {
        let event = site.event.eventfd().try_clone().map_err(Error::setup("an eventfd"))?;
        Ok(Doorbell { offset: site.offset, value: site.datamatch, event })
    };
    sites.into_iter().map(doorbell).collect()
}

/// For `map_err`: the disk, and why it cannot be had.
fn bad<E: Display>(disk: &Disk) -> impl FnOnce(E) -> Error {
    |reason| Error::Disk { path: disk.path.clone(), reason: reason.to_string() }
}

/// An image file and the device that shows it.
struct ImageFile {
    path: PathBuf,
    read_only: bool,
    handle: BlockHandle,
}

impl Resize for ImageFile {
    fn resize(&self, bytes: u64) -> Result<(), String> {
        if self.read_only {
            return Err("the disk is read-only".to_owned());
        }
        if !bytes.is_multiple_of(SECTOR) {
            return Err(format!("{bytes} bytes are not a multiple of {SECTOR}"));
        }
        let path = self.path.display();
        let cut = || -> std::io::Result<()> {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            // A block device has the size that it has.
            if file.metadata()?.is_file() { file.set_len(bytes) } else { Ok(()) }
        };
        // What becomes smaller does so for the guest first.
        if bytes < self.handle.capacity() * SECTOR {
            self.handle.resize(bytes).map_err(|error| error.to_string())?;
        }
        cut().map_err(|error| format!("{path}: {error}"))?;
        self.handle.resize(bytes).map_err(|error| error.to_string())
    }
}
