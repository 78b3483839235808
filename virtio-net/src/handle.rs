//! What can be done with a device that runs.

use std::sync::Arc;

use virtio_core::{Event, Rate, RateLimit};

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
    /// Takes the link up or down, and tells the driver (virtio 1.4, section 5.1.4: `VIRTIO_NET_S_LINK_UP`). While it is down,
    /// frames are dropped and counted in both directions. It is down in any case while the network has nobody at its other end.
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

    /// The address that the device has now: the driver may have changed it (virtio 1.4, section 5.1.6.5.2).
    pub fn mac(&self) -> MacAddress {
        self.0.settings().mac
    }

    /// Pairs of queues that the driver uses now (virtio 1.4, section 5.1.6.5.5).
    pub fn pairs(&self) -> u16 {
        self.0.settings().pairs
    }

    /// Has the driver be given other numbers of frames, and bytes of frames, in a second, at once. Whether it can: the device was
    /// built with a [limit](crate::NetBuilder::receive_limit), which may have been none on anything. All devices that share the
    /// limit have the new one; those of other handles go by it when they next look.
    pub fn set_receive_limit(&self, frames: Option<Rate>, bytes: Option<Rate>) -> bool {
        self.set_limit(self.0.options.rx_rate.as_ref(), frames, bytes)
    }

    /// The same of what the driver may send: see [`NetBuilder::transmit_limit`](crate::NetBuilder::transmit_limit).
    pub fn set_transmit_limit(&self, frames: Option<Rate>, bytes: Option<Rate>) -> bool {
        self.set_limit(self.0.options.tx_rate.as_ref(), frames, bytes)
    }

    fn set_limit(&self, limit: Option<&RateLimit>, frames: Option<Rate>, bytes: Option<Rate>) -> bool {
        let Some(limit) = limit else { return false };
        limit.set(frames, bytes);
        // Tasks that wait look again.
        self.0.wakes.iter().for_each(Event::signal);
        true
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
