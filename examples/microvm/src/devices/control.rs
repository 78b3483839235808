//! What can be done to devices while the machine runs.

use std::collections::HashMap;
use std::sync::Arc;

/// A disk that runs. Errors say why something cannot be had.
pub(crate) trait DiskControl: Send + Sync {
    /// Changes the capacity to `bytes`.
    fn resize(&self, bytes: u64) -> Result<(), String>;

    /// Goes on where storage that failed made it stop.
    fn resume(&self) -> Result<(), String>;

    /// What it has counted: one line of JSON.
    fn stats(&self) -> String;
}

/// The devices that the control socket reaches, by serial number.
#[derive(Default)]
pub(crate) struct Controls {
    disks: HashMap<String, Arc<dyn DiskControl>>,
}

impl Controls {
    /// Makes a disk known.
    pub(crate) fn add_disk(&mut self, serial: String, disk: Arc<dyn DiskControl>) {
        self.disks.insert(serial, disk);
    }

    /// The disk with this serial number.
    pub(crate) fn disk(&self, serial: &str) -> Result<&dyn DiskControl, String> {
        let disk = self.disks.get(serial).ok_or_else(|| format!("no disk has the serial number {serial}"))?;
        Ok(&**disk)
    }
}
