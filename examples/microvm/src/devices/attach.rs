//! A device into a place of the machine.

use std::sync::Arc;

use virtio_core::{DoorbellSite, HostBuilder};
use virtio_mmio::MmioTransport;
use virtio_pci::{MessageVector, VirtioPci};

use super::board::Board;
use crate::cli::transport::Transport;
use crate::error::Error;
use crate::kvm::doorbell::Doorbell;
use crate::pci::virtio::VirtioFunction;

/// Puts the device of `host` behind a transport and into the machine; `bad` makes an error of why it cannot be had.
pub(super) fn attach(
    board: &mut Board,
    transport: Transport,
    host: HostBuilder,
    bad: impl FnOnce(String) -> Error,
) -> Result<(), Error> {
    match transport {
        Transport::Mmio => on_mmio(board, host, bad),
        Transport::Pci => on_pci(board, host, bad),
    }
}

fn on_mmio(board: &mut Board, host: HostBuilder, bad: impl FnOnce(String) -> Error) -> Result<(), Error> {
    let place = board.mmio_place()?;
    let device = MmioTransport::new(host, place.line).map_err(|error| bad(error.to_string()))?;
    let doorbells = doorbells(device.doorbells())?;
    board.add_mmio(place.at, Arc::new(device), doorbells)
}

fn on_pci(board: &mut Board, host: HostBuilder, bad: impl FnOnce(String) -> Error) -> Result<(), Error> {
    // One vector for each queue and one for the configuration.
    let count = host.device().queue_sizes().len() + 1;
    let vectors = (0..count).map(|_| board.msi_vector().map(Arc::new)).collect::<Result<Vec<_>, Error>>()?;
    let vector = move |index: u16| match vectors.get(usize::from(index)) {
        Some(vector) => Ok(vector.clone() as Arc<dyn MessageVector>),
        None => Err(std::io::ErrorKind::NotFound.into()),
    };
    let function =
        VirtioPci::builder(host).msix(vector).intx(board.intx()?).build().map_err(|error| bad(error.to_string()))?;
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
