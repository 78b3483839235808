//! What can be done to devices while the machine runs.

use std::collections::HashMap;
use std::sync::Arc;

/// A device whose capacity can be changed.
pub(crate) trait Resize: Send + Sync {
    /// Changes the capacity to `bytes`. The error says why not.
    fn resize(&self, bytes: u64) -> Result<(), String>;
}

/// The devices that the control socket reaches, by serial number.
#[derive(Default)]
pub(crate) struct Controls {
    disks: HashMap<String, Arc<dyn Resize>>,
}

impl Controls {
    /// Makes a disk known.
    pub(crate) fn add_disk(&mut self, serial: String, disk: Arc<dyn Resize>) {
        self.disks.insert(serial, disk);
    }

    /// Changes the capacity of the disk with this serial number.
    pub(crate) fn resize(&self, serial: &str, bytes: u64) -> Result<(), String> {
        self.disks.get(serial).ok_or_else(|| format!("no disk has the serial number {serial}"))?.resize(bytes)
    }
}
