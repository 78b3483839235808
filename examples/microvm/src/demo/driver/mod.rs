//! What the `virtio-drivers` crate needs to reach a device in the same process.

mod disk;
mod mmio;
mod pci;
#[allow(unsafe_code)]
mod sys;

pub(crate) use disk::DiskFile;
pub(crate) use mmio::MmioDriver;
pub(crate) use pci::PciDriver;
pub(crate) use sys::DriverMemory;
