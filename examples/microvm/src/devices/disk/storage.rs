//! The storage of a disk.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virtio_blk::{BlockBackend, FileBackend, MemoryBackend, NullBackend};

use crate::cli::disk::{Backend, Disk, Format};

/// Storage that is open.
pub(super) struct Storage {
    /// What the device works on.
    pub(super) backend: Arc<dyn BlockBackend>,
    /// How its size is changed.
    pub(super) growth: Growth,
}

/// How the size of a storage is changed from here.
pub(super) enum Growth {
    /// By that of the file.
    File(PathBuf),
    /// By that of the memory.
    Memory(MemoryBackend),
    /// Not from here: the disk shows as much of it as is asked for.
    Elsewhere,
    /// Not at all; this is why.
    Never(&'static str),
}

impl Growth {
    /// Makes the storage have `bytes`, where that is possible from here.
    pub(super) fn set_len(&self, bytes: u64) -> Result<(), String> {
        match self {
            Growth::File(path) => cut(path, bytes).map_err(|error| format!("{}: {error}", path.display())),
            Growth::Memory(memory) => {
                memory.set_len(usize::try_from(bytes).map_err(|_| "more than memory can hold")?);
                Ok(())
            }
            Growth::Elsewhere => Ok(()),
            Growth::Never(reason) => Err((*reason).to_owned()),
        }
    }
}

fn cut(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    // A block device has the size that it has.
    if file.metadata()?.is_file() { file.set_len(bytes) } else { Ok(()) }
}

/// Opens the storage of `disk`. The error says why it cannot be had.
pub(super) fn open(disk: &Disk) -> Result<Storage, String> {
    let (backend, growth) = match &disk.backend {
        Backend::File { path } | Backend::Uring { path } if disk.format == Format::Raw => {
            let open = if disk.read_only { FileBackend::open_read_only } else { FileBackend::open };
            let file = open(path).map_err(|error| error.to_string())?;
            (Arc::new(file) as Arc<dyn BlockBackend>, Growth::File(path.clone()))
        }
        Backend::File { .. } | Backend::Uring { .. } => return Err("format= is not built in".to_owned()),
        Backend::Memory { size } => {
            let len = usize::try_from(*size).map_err(|_| "more than memory can hold")?;
            let memory = MemoryBackend::zeroed(len);
            (Arc::new(memory.clone()) as Arc<dyn BlockBackend>, Growth::Memory(memory))
        }
        Backend::Null { size } => (Arc::new(NullBackend::new(*size)) as Arc<dyn BlockBackend>, Growth::Elsewhere),
        Backend::Nbd { .. } => return Err("backend=nbd is not built in".to_owned()),
    };
    if disk.direct {
        return Err("direct is not built in".to_owned());
    }
    if disk.zones.is_some() {
        return Err("zoned is not built in".to_owned());
    }
    let growth = if disk.read_only { Growth::Never("the disk is read-only") } else { growth };
    Ok(Storage { backend, growth })
}
