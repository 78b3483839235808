//! What the driver has set, in the form in which tasks go by it.

use std::time::Duration;

use virtio_core::{Features, Moderation};

use crate::features;
use crate::filter::Filter;
use crate::packet::hash::{Hasher, RssKey};
use crate::settings::{Coalescing, Settings, Steering};
use crate::wire::{ETHERNET_LEN, VLAN_TAG_LEN};
use crate::{Offloads, mac::MacAddress};

/// What tasks go by: made anew whenever a command changes something, and never changed then.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Counts plans.
    pub(crate) version: u64,
    /// Work that the driver takes over.
    pub(crate) receive: Offloads,
    /// Work that the driver may leave to the device.
    pub(crate) transmit: Offloads,
    /// Pairs in use.
    pub(crate) pairs: u16,
    pub(crate) steering: Steering,
    /// Where the driver wants some packets hashed.
    pub(crate) hasher: Option<Hasher>,
    /// Whether the driver is told hashes.
    pub(crate) report: bool,
    pub(crate) filter: Filter,
    /// Bytes before each frame.
    pub(crate) header_len: usize,
    /// Frames may be spread over several buffers.
    pub(crate) spread: bool,
    /// Bytes of the longest frame that is not to be cut, without a VLAN tag, where the driver knows of it.
    longest: Option<usize>,
    coalescing: Coalescing,
}

impl Plan {
    pub(crate) fn new(version: u64, features: Features, settings: &Settings, mtu: Option<u16>) -> Plan {
        let vlans = features.contains(features::CTRL_VLAN).then_some(&settings.vlans);
        let mac: Option<MacAddress> = Some(settings.mac);
        let key = RssKey::new(&settings.hash.key).filter(|_| settings.hash.types != 0);
        Plan {
            version,
            receive: settings.receive_offloads(),
            transmit: features::transmit_offloads(features),
            pairs: settings.pairs,
            steering: settings.steering.clone(),
            hasher: key.map(|key| Hasher::new(&key, settings.hash.types, settings.tunnels)),
            report: features.contains(features::HASH_REPORT),
            filter: Filter::new(mac, Some(settings.rx), &settings.macs, vlans),
            header_len: features::header_len(features),
            spread: features.contains(features::MRG_RXBUF),
            longest: mtu.filter(|_| features.contains(features::MTU)).map(|mtu| usize::from(mtu) + ETHERNET_LEN),
            coalescing: settings.coalescing.clone(),
        }
    }

    /// NET-CFG-05: whether a frame that is not to be cut is longer than the driver expects.
    #[inline]
    pub(crate) fn is_too_long(&self, len: usize, tagged: bool) -> bool {
        let tag = if tagged { VLAN_TAG_LEN } else { 0 };
        self.longest.is_some_and(|longest| len > longest + tag)
    }

    /// How the interrupts of a queue are held back.
    pub(crate) fn moderation(&self, queue: u16) -> Option<Moderation> {
        let delay = self.coalescing.of(queue);
        let holds = delay.max_packets > 1 && delay.max_usecs > 0;
        holds.then(|| Moderation { most: delay.max_packets, delay: Duration::from_micros(delay.max_usecs.into()) })
    }

    /// Whether all frames go to the pair that they were received by, with no need to look into them, where the network
    /// steers.
    #[inline]
    pub(crate) fn is_steered(&self, network_steers: bool) -> bool {
        matches!(self.steering, Steering::Automatic) && (network_steers || self.pairs <= 1)
    }
}
