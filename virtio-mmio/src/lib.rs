//! The virtio MMIO transport (virtio 1.4, section 4.2): a window of registers over a
//! [`DeviceHost`](virtio_core::DeviceHost).
//!
//! The embedder maps [`MmioTransport`] at an address of its choice, passes it the driver's reads and writes, and gives
//! it an interrupt line. It tells the driver of the device by its own means: ACPI (`LNRO0005`), a device tree
//! (`virtio,mmio`), or the kernel's command line.
//!
//! Modules: `transport` decodes the registers, `registers` has their offsets, `line` the interrupt status and its line,
//! `slot` is a window without a device, `bus` implements vm-device's traits.
//!
//! ```
//! use virtio_core::testing::{TestDevice, TestMemory};
//! use std::sync::Arc;
//!
//! use virtio_core::{DeviceHost, ThreadRuntime};
//! use virtio_mmio::MmioTransport;
//!
//! let memory = TestMemory::new(1 << 20);
//! let (device, _) = TestDevice::new(1);
//! let host = DeviceHost::builder(device).memory(memory.ram().clone()).runtime(Arc::new(ThreadRuntime::new()));
//! let transport = MmioTransport::new(host, |asserted: bool| println!("line: {asserted}"))?;
//!
//! let mut magic = [0; 4];
//! transport.read(0x000, &mut magic);
//! assert_eq!(&magic, b"virt");
//! for site in transport.doorbells() {
//!     println!("queue {} has its doorbell at {:#x}", site.queue, site.offset);
//! }
//! # Ok::<(), virtio_core::host::HostError>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "vm-device")]
mod bus;
mod line;
mod registers;
mod slot;
#[cfg(test)]
mod tests;
mod transport;

pub use slot::EmptySlot;
pub use transport::{MmioTransport, SharedMemory, WINDOW};
