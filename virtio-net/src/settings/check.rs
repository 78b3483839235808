//! Settings of a saved device, which may be anybody's.

use virtio_core::Features;

use super::{Hash, Limits, MAX_ADDRESSES, MacTable, RxModes, Settings, Steering, VlanTable};
use crate::settings::Coalescing;
use crate::{MacAddress, Offloads, features};

impl Settings {
    /// Whether commands of a driver that negotiated `features` can have led to these.
    ///
    /// # Errors
    /// What cannot have been.
    pub(crate) fn validate(&self, limits: &Limits, features: Features) -> Result<(), &'static str> {
        let Settings { rx, mac, macs, vlans, pairs, steering, hash, tunnels, offloads, coalescing } = self;
        let cx = Check { limits, features };
        cx.filter(rx, *mac, macs, vlans)?;
        cx.steering(*pairs, steering)?;
        cx.hash(hash, *tunnels)?;
        cx.offloads(*offloads)?;
        cx.coalescing(coalescing)
    }
}

struct Check<'a> {
    limits: &'a Limits,
    features: Features,
}

impl Check<'_> {
    fn has(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    fn filter(&self, rx: &RxModes, mac: MacAddress, macs: &MacTable, vlans: &VlanTable) -> Result<(), &'static str> {
        let RxModes { promisc, allmulti, alluni, nomulti, nouni, nobcast } = *rx;
        let MacTable { unicast, multicast, all_unicast, all_multicast } = macs;
        let plain = (promisc, allmulti, macs) == (true, false, &MacTable::default());
        refuse(!self.has(features::CTRL_RX) && !plain, "receive modes or addresses that could not be set")?;
        refuse(
            !self.has(features::CTRL_RX_EXTRA) && (alluni || nomulti || nouni || nobcast),
            "receive modes that could not be set",
        )?;
        refuse(!mac.is_usable(), "a MAC address that no interface has")?;
        refuse(unicast.len() > MAX_ADDRESSES || multicast.len() > MAX_ADDRESSES, "too many MAC addresses")?;
        refuse(
            *all_unicast && !unicast.is_empty() || *all_multicast && !multicast.is_empty(),
            "a table of MAC addresses that is full and is not",
        )?;
        refuse(!self.has(features::CTRL_VLAN) && *vlans != VlanTable::FULL, "VLANs that could not be set")
    }

    fn steering(&self, pairs: u16, steering: &Steering) -> Result<(), &'static str> {
        refuse(pairs == 0 || pairs > self.limits.pairs(self.features), "the pairs of queues in use")?;
        match steering {
            Steering::Automatic => Ok(()),
            Steering::Rss { table, unclassified } => {
                refuse(!self.has(features::RSS), "receive-side scaling, which was not negotiated")?;
                let len = table.len();
                refuse(
                    !len.is_power_of_two() || len > usize::from(self.limits.rss_table),
                    "the length of the table for receive-side scaling",
                )?;
                let beyond = table.iter().chain([unclassified]).any(|pair| *pair >= pairs);
                refuse(beyond, "a pair of queues in the table for receive-side scaling")
            }
        }
    }

    fn hash(&self, hash: &Hash, tunnels: u32) -> Result<(), &'static str> {
        let Hash { types, key } = hash;
        let may = self.features.intersects(features::RSS | features::HASH_REPORT);
        refuse(!may && *hash != Hash::default(), "hashes, which were not negotiated")?;
        refuse(types & !self.limits.hash_types != 0, "types of hashes")?;
        refuse(
            key.len() > usize::from(self.limits.hash_key) || (key.is_empty() && *types != 0),
            "the length of the key for hashes",
        )?;
        let known = if self.has(features::HASH_TUNNEL) { self.limits.tunnel_types } else { 0 };
        refuse(tunnels & !known != 0, "types of tunnels for hashes")
    }

    fn offloads(&self, offloads: Offloads) -> Result<(), &'static str> {
        let negotiated = crate::features::receive_offloads(self.features);
        refuse(!negotiated.contains(offloads), "offloads that were not negotiated")?;
        refuse(!self.has(features::CTRL_GUEST_OFFLOADS) && offloads != negotiated, "offloads that could not be set")
    }

    fn coalescing(&self, coalescing: &Coalescing) -> Result<(), &'static str> {
        let Coalescing { rx, tx, queues } = coalescing;
        let none = Coalescing::default();
        let changed = (*rx, *tx) != (none.rx, none.tx);
        refuse(!self.has(features::NOTF_COAL) && changed, "coalescing that could not be set")?;
        refuse(!self.has(features::VQ_NOTF_COAL) && !queues.is_empty(), "coalescing of queues that could not be set")?;
        let end = self.limits.control_queue(self.features);
        refuse(queues.keys().any(|queue| u32::from(*queue) >= end), "coalescing of a queue that there is not")
    }
}

fn refuse(bad: bool, what: &'static str) -> Result<(), &'static str> {
    if bad { Err(what) } else { Ok(()) }
}
