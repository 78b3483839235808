//! From a `--disk` to a block device in a place of the machine.
//!
//! | File | Idea |
//! |---|---|
//! | `storage.rs` | its storage, opened |
//! | `running.rs` | what `microvm ctl` can do to it |

mod running;
mod storage;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::Arc;

use virtio_blk::{Block, OnError};
use virtio_core::{DeviceHost, GuestRam, ThreadRuntime};

use self::running::Running;
use self::storage::{Growth, Storage};
use super::board::Board;
use super::control::Controls;
use super::rate::Groups;
use crate::cli::disk::{self as cli, Disk};
use crate::error::Error;

/// A disk whose storage is open, before it is put into a machine.
pub(crate) struct Opened {
    block: Block,
    growth: Growth,
}

/// Puts `opened`, which is `disk` opened, into the machine and makes it known to the control socket.
pub(crate) fn attach(board: &mut Board, controls: &mut Controls, disk: &Disk, opened: Opened) -> Result<(), Error> {
    let Opened { block, growth } = opened;
    if let Some(serial) = &disk.serial {
        controls.add_disk(serial.clone(), Arc::new(Running { growth, handle: block.handle() }));
    }
    let memory = GuestRam::from_vm_memory(&board.memory).map_err(bad(disk))?;
    let runtime = Arc::new(ThreadRuntime::named("virtio-blk"));
    let host = DeviceHost::builder(block, memory, runtime).name(disk.place().to_string_lossy()).with(disk.features);
    super::attach::attach(board, disk.transport, host, bad(disk))
}

/// Opens the storage of all disks, and makes block devices of them. There need not be a machine yet.
pub(crate) fn open(disks: &[Disk]) -> Result<Vec<Opened>, Error> {
    let groups = Groups::new(cli::groups(disks).unwrap_or_default());
    disks.iter().map(|disk| open_one(disk, &groups)).collect()
}

fn open_one(disk: &Disk, groups: &Groups<'_>) -> Result<Opened, Error> {
    let Storage { backend, growth } = storage::open(disk).map_err(bad(disk))?;
    let on_error = match disk.on_error {
        cli::OnError::Report => OnError::Report,
        cli::OnError::Ignore => OnError::Ignore,
        cli::OnError::Stop => OnError::Stop,
        cli::OnError::StopWhenFull => OnError::StopWhenFull,
    };
    let name = disk.place().display().to_string();
    let mut block = Block::builder(backend)
        .read_only(disk.read_only)
        .queues(disk.queues)
        .discard(disk.discard)
        .on_read_error(on_error)
        .on_write_error(on_error)
        .on_stop(move |stopped| log::warn!("--disk {name}: {stopped}; `microvm ctl SOCKET resume` has it go on"));
    if let Some(size) = disk.queue_size {
        block = block.queue_size(size);
    }
    if let Some(serial) = &disk.serial {
        block = block.serial(serial);
    }
    if let Some(rate) = &disk.rate {
        block = block.rate_limit(groups.limit(rate));
    }
    if let Some(timeout) = disk.timeout {
        block = block.timeout(timeout);
    }
    let block = block.build().map_err(bad(disk))?;
    Ok(Opened { block, growth })
}

/// For `map_err`: the disk, and why it cannot be had.
fn bad<E: Display>(disk: &Disk) -> impl FnOnce(E) -> Error {
    |reason| Error::Device { option: "--disk", path: disk.place(), reason: reason.to_string() }
}
