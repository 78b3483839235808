//! The embedded default: what these crates do, shown without KVM, root or a download.
//!
//! Makes a disk image with a FAT file system, attaches it over MMIO and then over PCI, and drives it with the
//! `virtio-drivers` crate, which knows nothing of the crates shown.
//!
//! Virtqueues, block protocol and the order in which a device is brought up are that crate's. The register accesses are
//! not: its `Transport` trait is implemented here, by an adapter for each transport that knows the register layout and
//! calls the device. The crate's own transports read and write registers as volatile memory, and such an access cannot be
//! trapped within one process. The drivers of a Linux guest in `microvm boot` make their own.
//!
//! | File | Idea |
//! |---|---|
//! | `image.rs` | the disk image, its file system and what must be in it |
//! | `driver/` | what the driver needs: guest memory, the two adapters, its disk as a file |
//! | `session.rs` | one device behind one transport, from start to verdict |

mod driver;
mod image;
mod session;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::error::Error;
use image::Image;
use session::Report;

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the disk image {path}: {source}")]
    Image { path: PathBuf, source: io::Error },
    #[error("cannot open the image as a backend: {0}")]
    Open(#[from] virtio_blk::OpenError),
    #[error("cannot build the block device: {0}")]
    Block(#[from] virtio_blk::BuildError),
    #[error("cannot host the device on MMIO: {0}")]
    Mmio(#[from] virtio_core::host::HostError),
    #[error("cannot host the device on PCI: {0}")]
    Pci(#[from] virtio_pci::BuildError),
    #[error("the driver: {0}")]
    Driver(#[from] virtio_drivers::Error),
    #[error("the file system behind the driver: {0}")]
    FileSystem(io::Error),
    #[error("{transport}: {what} should be {expected}, but is {found}")]
    Different { transport: &'static str, what: String, expected: String, found: String },
    #[error("the driver's memory: {0}")]
    Memory(String),
}

/// Runs it all and reports to `out`; the first difference is an error.
pub(crate) fn run(out: &mut impl Write) -> Result<(), Error> {
    let image = Image::create()?;
    writeln!(out, "disk image: {} bytes, FAT, {} files", image.len(), image.files().len()).map_err(Error::Output)?;
    for session in [session::over_mmio, session::over_pci] {
        print(out, &session(&image)?).map_err(Error::Output)?;
    }
    writeln!(out, "everything read back as it was written").map_err(Error::Output)?;
    out.flush().map_err(Error::Output)
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { transport, features, requests, read, written, seconds, verified } = report;
    writeln!(out, "\n{transport}")?;
    writeln!(out, "  features    {}", features.join(", "))?;
    writeln!(out, "  requests    {requests}")?;
    writeln!(out, "  bytes       {read} read, {written} written")?;
    writeln!(out, "  throughput  {:.0} MB/s reading the whole disk", *read as f64 / seconds / 1e6)?;
    writeln!(out, "  verified    {verified}")
}
