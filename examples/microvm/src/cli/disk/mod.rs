//! What `--disk` takes.
//!
//! | File | Idea |
//! |---|---|
//! | `storage.rs` | where its data lives, and in which format |
//! | `zones.rs` | whose zones it has, and those that are to be emulated |
//! | `policy.rs` | what becomes of requests that the storage fails or does not answer |
//! | `usable.rs` | which of these go together |

mod policy;
mod storage;
mod usable;
mod zones;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use virtio_core::Features;

use super::rate::{self, Rate};
use super::transport::Transport;
use super::{options, size};

pub(crate) use policy::OnError;
pub(crate) use storage::{Backend, Format};
pub(crate) use zones::{Model, Zoned, Zones};

/// Longest serial number of a virtio block device.
const MAX_SERIAL: usize = 20;
/// Each takes a thread, an interrupt and a doorbell.
const MAX_QUEUES: u16 = 64;
/// Sizes that a block device's queue can have.
const QUEUE_SIZES: std::ops::RangeInclusive<u16> = 4..=32768;

const KEYS: &str = "path=FILE, backend=uring|file|mem|null|nbd=URI, cache-survives, format=raw|qcow2|vmdk, backing-files, size=SIZE, ro, \
    direct, serial=TEXT, transport=pci|mmio, queues=N, queue-size=N, packed, in-order, notification-data, \
    discard=on|off, zoned=MODEL, rate=LIMITS, on-error=report|ignore|stop|enospc and timeout=TIME";

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Where its data lives.
    pub(crate) backend: Backend,
    /// How it is written there.
    pub(crate) format: Format,
    /// Whether an image may name other files that it is made of.
    pub(crate) backing_files: bool,
    /// Whether its data goes past the host's page cache.
    pub(crate) direct: bool,
    /// Whether its server's cache is still there after a connection broke.
    pub(crate) cache_survives: bool,
    /// Whether the guest may only read.
    pub(crate) read_only: bool,
    /// What the guest and `microvm ctl` name it by.
    pub(crate) serial: Option<String>,
    /// How the guest reaches it.
    pub(crate) transport: Transport,
    /// Features of its queues to offer besides the usual ones.
    pub(crate) features: Features,
    /// How many queues it has.
    pub(crate) queues: u16,
    /// Descriptors in each; as many as the device thinks best where it is not said.
    pub(crate) queue_size: Option<u16>,
    /// Whether the guest may give back storage, where the storage can take it.
    pub(crate) discard: bool,
    /// Its zones, where it has some.
    pub(crate) zoned: Option<Zoned>,
    /// How much it may do in a second.
    pub(crate) rate: Option<Rate>,
    /// What becomes of requests that the storage fails.
    pub(crate) on_error: OnError,
    /// How long the storage may take for a request; for ever where it is not said.
    pub(crate) timeout: Option<Duration>,
}

impl Disk {
    /// A disk of which nothing but its storage is said.
    fn on(backend: Backend) -> Self {
        Self {
            backend,
            format: Format::Raw,
            backing_files: false,
            direct: false,
            cache_survives: false,
            read_only: false,
            serial: None,
            transport: Transport::default(),
            features: Features::NONE,
            queues: 1,
            queue_size: None,
            discard: true,
            zoned: None,
            rate: None,
            on_error: OnError::default(),
            timeout: None,
        }
    }

    /// What messages name it by: its file or address.
    pub(crate) fn place(&self) -> PathBuf {
        self.backend.place()
    }
}

impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut place = storage::Place::default();
        // Its storage is known at the end.
        let mut disk = Disk::on(Backend::Null { size: 0 });
        options::each(text, |key, value| {
            match (key, value) {
                ("path" | "backend" | "nbd" | "size" | "format", value) => place.take(key, value)?,
                ("backing-files", "") => disk.backing_files = true,
                ("direct", "") => disk.direct = true,
                ("cache-survives", "") => disk.cache_survives = true,
                ("ro", "") => disk.read_only = true,
                ("serial", value) => disk.serial = Some(valid_serial(value)?),
                ("transport", value) => disk.transport = Transport::parse(value)?,
                ("queues", value) => disk.queues = queues(value)?,
                ("queue-size", value) => disk.queue_size = Some(queue_size(value)?),
                ("packed", "") => disk.features |= Features::RING_PACKED,
                ("in-order", "") => disk.features |= Features::IN_ORDER,
                ("notification-data", "") => disk.features |= Features::NOTIFICATION_DATA,
                ("discard", value) => disk.discard = options::switch(key, value)?,
                ("zoned", value) => disk.zoned = Some(value.parse()?),
                ("rate", value) => disk.rate = Some(value.parse()?),
                ("on-error", value) => disk.on_error = OnError::parse(value)?,
                ("timeout", value) => disk.timeout = Some(policy::timeout(value)?),
                (key, value) => return Err(options::unknown(key, value, KEYS)),
            }
            Ok(())
        })?;
        (disk.backend, disk.format) = place.storage()?;
        usable::check(&disk)?;
        Ok(disk)
    }
}

/// The limits of each group of disks, by name.
pub(crate) fn groups(disks: &[Disk]) -> Result<HashMap<&str, Rate>, String> {
    rate::groups("--disk", "disk", disks.iter().filter_map(|disk| disk.rate.as_ref()))
}

fn valid_serial(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_SERIAL {
        return Err(format!("serial: 1 to {MAX_SERIAL} bytes are possible"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("serial: only printable ASCII without blanks is possible".to_owned());
    }
    Ok(text.to_owned())
}

fn queues(value: &str) -> Result<u16, String> {
    let queues = value.parse().ok().filter(|count| (1..=MAX_QUEUES).contains(count));
    queues.ok_or_else(|| format!("queues={value}: a number from 1 to {MAX_QUEUES} is needed"))
}

fn queue_size(value: &str) -> Result<u16, String> {
    let size = value.parse().ok().filter(|size: &u16| QUEUE_SIZES.contains(size) && size.is_power_of_two());
    let (least, most) = (QUEUE_SIZES.start(), QUEUE_SIZES.end());
    size.ok_or_else(|| format!("queue-size={value}: a power of two from {least} to {most} is needed"))
}

/// A size in whole sectors, but not none.
fn disk_size(key: &str, value: &str) -> Result<u64, String> {
    let bytes = size::parse(value).map_err(|reason| format!("{key}={value}: {reason}"))?;
    if bytes == 0 || bytes % 512 != 0 {
        return Err(format!("{key}={value}: a multiple of 512 bytes is needed, and not 0"));
    }
    Ok(bytes)
}
