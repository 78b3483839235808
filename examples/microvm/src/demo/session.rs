//! One block device behind one transport, driven from start to verdict.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use fatfs::{FileSystem, FsOptions};
use virtio_blk::{Block, FileBackend};
use virtio_core::{DeviceHost, HostBuilder, InlineRuntime};
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::transport::Transport;
use virtio_mmio::MmioTransport;
use virtio_pci::VirtioPci;

use super::DemoError;
use super::driver::{DiskFile, DriverMemory, MmioDriver, PciDriver};
use super::image::{Image, Sum, content, read_file};

const SERIAL: &str = "demo-disk";
/// Sectors of one request when the whole disk is read.
const CHUNK: usize = 256;

/// What happened behind one transport.
pub(crate) struct Report {
    pub(crate) transport: &'static str,
    pub(crate) features: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    /// What reading the whole disk took.
    pub(crate) seconds: f64,
    pub(crate) verified: String,
}

pub(crate) fn over_mmio(image: &Image) -> Result<Report, DemoError> {
    let runtime = InlineRuntime::new();
    let device = Arc::new(MmioTransport::new(builder(image, &runtime)?, |_: bool| {})?);
    let driver = MmioDriver::new(device.clone(), runtime);
    drive("virtio-mmio", image, driver, device.host())
}

pub(crate) fn over_pci(image: &Image) -> Result<Report, DemoError> {
    let runtime = InlineRuntime::new();
    let device = Arc::new(VirtioPci::builder(builder(image, &runtime)?).intx(|_: bool| {}).build()?);
    let driver = PciDriver::new(device.clone(), runtime)?;
    drive("virtio-pci", image, driver, device.host())
}

/// The same device for both.
fn builder(image: &Image, runtime: &InlineRuntime) -> Result<HostBuilder, DemoError> {
    let block = Block::builder(FileBackend::open(image.path())?).serial(SERIAL).build()?;
    let memory = DriverMemory::ram()?;
    Ok(DeviceHost::builder(block, memory, Arc::new(runtime.clone())))
}

fn drive<T: Transport>(
    transport: &'static str,
    image: &Image,
    driver: T,
    host: &DeviceHost,
) -> Result<Report, DemoError> {
    let same = |what: &str, expected: String, found: String| match expected == found {
        true => Ok(()),
        false => Err(DemoError::Different { transport, what: what.to_owned(), expected, found }),
    };
    let mut disk = VirtIOBlk::<DriverMemory, T>::new(driver)?;
    let features = host.feature_names();
    same("the capacity", (image.len() / SECTOR_SIZE as u64).to_string(), disk.capacity().to_string())?;
    let mut id = [0; 20];
    let len = disk.device_id(&mut id)?;
    same("the serial number", SERIAL.to_owned(), String::from_utf8_lossy(&id[..len]).into_owned())?;

    let started = Instant::now();
    let mut whole = vec![0; disk.capacity() as usize * SECTOR_SIZE];
    for (i, chunk) in whole.chunks_mut(CHUNK * SECTOR_SIZE).enumerate() {
        disk.read_blocks(i * CHUNK, chunk)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let read = whole.len() as u64;
    same("the checksum of the disk", image.sum()?.short(), Sum::of(&whole).short())?;

    let name = format!("{}.BIN", if transport.ends_with("pci") { "FROMPCI" } else { "FROMMMIO" });
    let new = content(&name, 1_234_567);
    let volume = FileSystem::new(DiskFile::new(disk), FsOptions::new()).map_err(DemoError::FileSystem)?;
    for (name, sum) in image.files() {
        let bytes = read_file(&volume, name).map_err(DemoError::FileSystem)?;
        same(&format!("the checksum of {name}"), sum.short(), Sum::of(&bytes).short())?;
    }
    let write = || volume.root_dir().create_file(&name)?.write_all(&new);
    write().map_err(DemoError::FileSystem)?;
    volume.unmount().map_err(DemoError::FileSystem)?;
    same(&format!("the checksum of {name}"), Sum::of(&new).short(), image.sum_of(&name)?.short())?;

    let counts = host.queue_counts(0).unwrap_or_default();
    let faults = counts.ring_faults + counts.chain_faults + counts.request_faults + counts.dropped;
    same("the number of faults", "0".to_owned(), faults.to_string())?;
    Ok(Report {
        transport,
        features,
        requests: counts.chains,
        read,
        written: new.len() as u64,
        seconds,
        verified: format!(
            "the disk, {} files read through the driver, {name} read back on the host",
            image.files().len()
        ),
    })
}
