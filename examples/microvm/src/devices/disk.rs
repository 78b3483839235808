//! From a `--disk` to a block device in a place of the machine.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;

use virtio_blk::{Block, BlockHandle, FileBackend};
use virtio_core::{DeviceHost, GuestRam, ThreadRuntime};

use super::board::Board;
use super::control::{Controls, Resize};
use crate::cli::disk::Disk;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// Unit of a disk's size in bytes.
const SECTOR: u64 = 512;

/// Puts `block`, which is `disk` opened, into the machine and makes it known to the control socket.
pub(crate) fn attach(board: &mut Board, controls: &mut Controls, disk: &Disk, block: Block) -> Result<(), Error> {
    if let Some(serial) = &disk.serial {
        let resize = ImageFile { path: disk.path.clone(), read_only: disk.read_only, handle: block.handle() };
        controls.add_disk(serial.clone(), Arc::new(resize));
    }
    let memory = GuestRam::from_vm_memory(&board.memory).map_err(bad(disk))?;
    let runtime = Arc::new(ThreadRuntime::named("virtio-blk"));
    let host = DeviceHost::builder(block, memory, runtime).name(disk.path.to_string_lossy()).with(disk.features);
    super::attach::attach(board, disk.transport, host, bad(disk))
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

/// For `map_err`: the disk, and why it cannot be had.
fn bad<E: Display>(disk: &Disk) -> impl FnOnce(E) -> Error {
    |reason| Error::Device { option: "--disk", path: disk.path.clone(), reason: reason.to_string() }
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
