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

/// A network device that runs. Errors say why something cannot be had.
pub(crate) trait NetControl: Send + Sync {
    /// Says whether there is a link.
    fn set_link(&self, up: bool) -> Result<(), String>;

    /// Has the guest tell the network where it is.
    fn announce(&self) -> Result<(), String>;

    /// What it has counted: one line of JSON.
    fn stats(&self) -> String;
}

/// The devices that the control socket reaches: disks by serial number, network devices by the name of their network or by
/// their number.
#[derive(Default)]
pub(crate) struct Controls {
    disks: HashMap<String, Arc<dyn DiskControl>>,
    nets: Vec<(String, Arc<dyn NetControl>)>,
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

    /// Makes the next network device known.
    pub(crate) fn add_net(&mut self, name: String, net: Arc<dyn NetControl>) {
        self.nets.push((name, net));
    }

    /// The network device with this name, or with this number.
    pub(crate) fn net(&self, name: &str) -> Result<&dyn NetControl, String> {
        let mut named = self.nets.iter().filter(|(net, _)| net == name);
        match (named.next(), named.next()) {
            (Some((_, net)), None) => return Ok(&**net),
            (Some(_), Some(_)) => return Err(format!("several network devices are on {name}: give the number of one")),
            (None, _) => {}
        }
        let numbered = name.parse().ok().and_then(|number: usize| self.nets.get(number));
        let (_, net) = numbered.ok_or_else(|| format!("there is no network device {name}"))?;
        Ok(&**net)
    }

    /// What the disk with this serial number, or else the network device with this name or number, has counted.
    pub(crate) fn stats(&self, device: &str) -> Result<String, String> {
        match (self.disk(device), self.net(device)) {
            (Ok(disk), _) => Ok(disk.stats()),
            (Err(_), Ok(net)) => Ok(net.stats()),
            (Err(no_disk), Err(no_net)) => Err(format!("{no_disk}, and {no_net}")),
        }
    }
}
