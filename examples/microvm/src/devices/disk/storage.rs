//! The storage of a disk.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virtio_blk::backend::zone::ZonedModel;
use virtio_blk::backend::{NbdBackend, ZonedBackend};
use virtio_blk::{
    BlockBackend, FileBackend, FileOptions, ImageBackend, ImageFormat, ImageOptions, MemoryBackend, NullBackend,
    OpenError, UringBackend,
};

use crate::cli::disk::{Backend, Disk, Format, Model, Zoned, Zones};

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
    /// By that of the image.
    Image(ImageBackend),
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
            Growth::Image(image) => image.set_len(bytes).map_err(|error| error.to_string()),
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
    let zoned = match &disk.zoned {
        Some(Zoned::Host) => Some(zones_of_host(disk)?),
        Some(Zoned::Emulated(zones)) => Some(emulated(plain(disk)?.backend, zones)?),
        None => None,
    };
    let mut storage = match zoned {
        Some(zoned) => Storage { backend: Arc::new(zoned), growth: Growth::Never("a zoned disk keeps its size") },
        None => plain(disk)?,
    };
    if disk.read_only {
        storage.growth = Growth::Never("the disk is read-only");
    }
    Ok(storage)
}

fn plain(disk: &Disk) -> Result<Storage, String> {
    let storage = match &disk.backend {
        Backend::Uring { path } => {
            Storage { backend: Arc::new(UringBackend::new(file(disk, path)?)), growth: Growth::File(path.clone()) }
        }
        Backend::File { path } => match disk.format {
            Format::Raw => Storage { backend: Arc::new(file(disk, path)?), growth: Growth::File(path.clone()) },
            Format::Qcow2 => image(disk, path, ImageFormat::Qcow2)?,
            Format::Vmdk => image(disk, path, ImageFormat::Vmdk)?,
        },
        Backend::Memory { size } => {
            let memory = MemoryBackend::zeroed(usize::try_from(*size).map_err(|_| "more than memory can hold")?);
            Storage { backend: Arc::new(memory.clone()), growth: Growth::Memory(memory) }
        }
        Backend::Null { size } => Storage { backend: Arc::new(NullBackend::new(*size)), growth: Growth::Elsewhere },
        Backend::Nbd { uri } => {
            let server = NbdBackend::builder(uri).read_only(disk.read_only).cache_survives(disk.cache_survives);
            let server = server.connect().map_err(|error| error.to_string())?;
            Storage { backend: Arc::new(server), growth: Growth::Elsewhere }
        }
    };
    Ok(storage)
}

fn file(disk: &Disk, path: &Path) -> Result<FileBackend, String> {
    let options = FileOptions::new().read_only(disk.read_only).direct(disk.direct);
    options.open(path).map_err(|error| match error {
        OpenError::Zoned { .. } => "it is a host-managed zoned block device: add zoned=host".to_owned(),
        error => error.to_string(),
    })
}

fn image(disk: &Disk, path: &Path, format: ImageFormat) -> Result<Storage, String> {
    let options = ImageOptions::new(format).read_only(disk.read_only).direct(disk.direct);
    let image = options.backing_files(disk.backing_files).open(path).map_err(|error| error.to_string())?;
    Ok(Storage { backend: Arc::new(image.clone()), growth: Growth::Image(image) })
}

fn zones_of_host(disk: &Disk) -> Result<ZonedBackend, String> {
    ZonedBackend::open(disk.place()).map_err(|error| error.to_string())
}

fn emulated(inner: Arc<dyn BlockBackend>, zones: &Zones) -> Result<ZonedBackend, String> {
    let Zones { model, zone, conventional, max_open, max_active, state } = zones;
    let model = match model {
        Model::HostManaged => ZonedModel::HostManaged,
        Model::HostAware => ZonedModel::HostAware,
    };
    let mut zoned = ZonedBackend::builder(inner).model(model).zone_len(*zone).conventional(*conventional);
    zoned = zoned.max_open(*max_open).max_active(*max_active);
    if let Some(state) = state {
        zoned = zoned.state_file(state);
    }
    zoned.build().map_err(|error| error.to_string())
}
