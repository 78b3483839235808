//! What `--disk` takes.

use std::path::PathBuf;
use std::str::FromStr;

use virtio_core::Features;

use super::options;
use super::transport::Transport;

/// Longest serial number of a virtio block device.
const MAX_SERIAL: usize = 20;

const KEYS: &str = "path=FILE, ro, serial=TEXT, transport=pci|mmio, packed, in-order and notification-data";

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The image.
    pub(crate) path: PathBuf,
    /// Whether the guest may only read.
    pub(crate) read_only: bool,
    /// What the guest and `microvm ctl` name it by.
    pub(crate) serial: Option<String>,
    /// How the guest reaches it.
    pub(crate) transport: Transport,
    /// Features of its queues to offer besides the usual ones.
    pub(crate) features: Features,
}

impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut path = None;
        let mut read_only = false;
        let mut serial = None;
        let mut transport = Transport::default();
        let mut features = Features::NONE;
        options::each(text, |key, value| {
            match (key, value) {
                ("path", value) if !value.is_empty() => path = Some(PathBuf::from(value)),
                ("path", _) => return Err("path is empty".to_owned()),
                ("ro", "") => read_only = true,
                ("serial", value) => serial = Some(valid_serial(value)?),
                ("transport", value) => transport = Transport::parse(value)?,
                ("packed", "") => features |= Features::RING_PACKED,
                ("in-order", "") => features |= Features::IN_ORDER,
                ("notification-data", "") => features |= Features::NOTIFICATION_DATA,
                (key, value) => return Err(options::unknown(key, value, KEYS)),
            }
            Ok(())
        })?;
        Ok(Self { path: path.ok_or("path=FILE is missing")?, read_only, serial, transport, features })
    }
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
