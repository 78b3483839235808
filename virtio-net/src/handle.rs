//! What can be done with a device that runs.

use std::sync::Arc;

use crate::MacAddress;
use crate::backend::NetworkCounts;
use crate::counters::NetCounts;
use crate::shared::Shared;

/// A hold on a [`Net`](crate::Net) device, for whoever manages it.
///
/// Cheap to clone; all clones are of the same device. Send and Sync. No call waits for a queue task.
#[derive(Clone, Debug)]
pub struct NetHandle(pub(crate) Arc<Shared>);

impl NetHandle {
    /// Takes the link up or down, and tells the driver. While it is down, frames are dropped and counted in both directions. It
    /// is down in any case while the network has nobody at its other end.
    pub fn set_link(&self, up: bool) {
        self.0.want_link(up);
    }

    /// Whether the link is up.
    pub fn is_link_up(&self) -> bool {
        self.0.is_link_up()
    }

    /// Asks the driver to announce its addresses to the network, as is needed when the device has moved to another host (virtio
    /// 1.4, section 5.1.6.5.4). Whether it can.
    pub fn announce(&self) -> bool {
        self.0.announce()
    }

    /// The address that the device has now: the driver may have changed it.
    pub fn mac(&self) -> MacAddress {
        self.0.settings().mac
    }

    /// Pairs of queues that the driver uses now.
    pub fn pairs(&self) -> u16 {
        self.0.settings().pairs
    }

    /// What has been counted.
    pub fn counts(&self) -> NetCounts {
        let mut counts = NetCounts::default();
        self.0.counters.iter().for_each(|pair| pair.add_to(&mut counts));
        counts
    }

    /// What has been counted of each pair.
    pub fn pair_counts(&self, pair: u16) -> Option<NetCounts> {
        let place = usize::from(pair);
        let counters = self.0.counters.get(place).filter(|_| place < self.0.mailboxes.len())?;
        let mut counts = NetCounts::default();
        counters.add_to(&mut counts);
        Some(counts)
    }

    /// What the network has counted: frames that never came as far as the device, and what became of its other end.
    pub fn network_counts(&self) -> NetworkCounts {
        self.0.backend.counts()
    }
}
