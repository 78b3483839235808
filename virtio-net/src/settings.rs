//! What a driver sets by commands: kept when the device is saved, and as at the beginning after a reset.

mod check;
mod coalescing;

use serde::{Deserialize, Serialize};
use virtio_core::Features;

pub(crate) use coalescing::{Coalescing, Delay};

use crate::features;
use crate::{MacAddress, Offloads};

/// Addresses of a kind in the table of the driver; with more, all of the kind are let through.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// What the device can do, at most: as the configuration space says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Pairs of queues, at least 1.
    pub(crate) max_pairs: u16,
    /// Bytes of a key for hashes, at least 40.
    pub(crate) hash_key: u8,
    /// Entries of a table for receive-side scaling, at least 128.
    pub(crate) rss_table: u16,
    /// Kinds of packets that can be hashed: a set of bits, as on the wire.
    pub(crate) hash_types: u32,
    /// Tunnels that can be looked into for a hash: a set of bits, as on the wire.
    pub(crate) tunnel_types: u32,
}

impl Limits {
    /// Pairs of queues that a driver that negotiated `features` can have.
    pub(crate) fn pairs(&self, features: Features) -> u16 {
        if features.intersects(features::MQ | features::RSS) { self.max_pairs } else { 1 }
    }

    /// The control queue's index, behind those of the pairs.
    pub(crate) fn control_queue(&self, features: Features) -> u32 {
        2 * u32::from(self.pairs(features))
    }
}

/// All that a driver sets by commands. The driver's wish to be announced is not here: the configuration space has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) rx: RxModes,
    /// The device's address now.
    pub(crate) mac: MacAddress,
    pub(crate) macs: MacTable,
    pub(crate) vlans: VlanTable,
    /// Pairs in use: the first so many.
    pub(crate) pairs: u16,
    pub(crate) steering: Steering,
    pub(crate) hash: Hash,
    /// Tunnels that hashes look into.
    pub(crate) tunnels: u32,
    /// Work that the driver takes over, exactly as it said: see [`Settings::receive_offloads`].
    pub(crate) offloads: Offloads,
    pub(crate) coalescing: Coalescing,
}

/// What is received whatever the addresses say, and what is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RxModes {
    pub(crate) promisc: bool,
    pub(crate) allmulti: bool,
    pub(crate) alluni: bool,
    pub(crate) nomulti: bool,
    pub(crate) nouni: bool,
    pub(crate) nobcast: bool,
}

/// Addresses that are received besides the device's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MacTable {
    pub(crate) unicast: Vec<MacAddress>,
    pub(crate) multicast: Vec<MacAddress>,
    /// There were too many: all are let through, and `unicast` is empty.
    pub(crate) all_unicast: bool,
    /// There were too many: all are let through, and `multicast` is empty.
    pub(crate) all_multicast: bool,
}

/// VLANs whose frames are received: a bit for each of 4096.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VlanTable([[u64; 32]; 2]);

impl VlanTable {
    /// Ids that there are.
    pub(crate) const IDS: u16 = 4096;

    pub(crate) const EMPTY: VlanTable = VlanTable([[0; 32]; 2]);
    pub(crate) const FULL: VlanTable = VlanTable([[u64::MAX; 32]; 2]);

    /// Only the low 12 bits of `id` count, as those of a tag do.
    pub(crate) fn contains(&self, id: u16) -> bool {
        let (half, word, bit) = VlanTable::place(id);
        self.0[half][word] >> bit & 1 != 0
    }

    pub(crate) fn set(&mut self, id: u16, value: bool) {
        let (half, word, bit) = VlanTable::place(id);
        let word = &mut self.0[half][word];
        *word = *word & !(1 << bit) | u64::from(value) << bit;
    }

    fn place(id: u16) -> (usize, usize, u16) {
        (usize::from(id >> 11 & 1), usize::from(id >> 6 & 31), id & 63)
    }
}

/// Which pair receives a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Steering {
    /// The one that sent what belongs to the same flow.
    #[default]
    Automatic,
    /// What the hash of it says, of the kinds and with the key in [`Settings::hash`].
    Rss {
        /// Pairs, counted from 0, by the low bits of the hash: a power of two of them.
        table: Vec<u16>,
        /// The pair for frames that have no hash.
        unclassified: u16,
    },
}

/// What is hashed, for the driver to see, and for [`Steering::Rss`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hash {
    /// Kinds of packets, as on the wire. None at the beginning (NET-HASH-05).
    pub(crate) types: u32,
    /// Not empty if there are types. What is missing of a long key is zero.
    pub(crate) key: Vec<u8>,
}

impl Settings {
    /// As they are before the driver has said anything.
    pub(crate) fn initial(features: Features, mac: MacAddress) -> Settings {
        let has = |feature| features.contains(feature);
        Settings {
            // A driver that cannot say what it wants to receive gets all.
            rx: RxModes { promisc: !has(features::CTRL_RX), ..RxModes::default() },
            mac,
            // NET-CTRL-MAC-01
            macs: MacTable::default(),
            // NET-CTRL-VLAN-01, NET-CTRL-VLAN-04
            vlans: if has(features::CTRL_VLAN) { VlanTable::EMPTY } else { VlanTable::FULL },
            // NET-MQ-01
            pairs: 1,
            steering: Steering::Automatic,
            hash: Hash::default(),
            tunnels: 0,
            // NET-CTRL-OFFL-01
            offloads: features::receive_offloads(features),
            coalescing: Coalescing::default(),
        }
    }

    /// Work that may be left with frames that are received. What depends on something that the driver has switched off is
    /// not done, although the driver said that it would take it.
    pub(crate) fn receive_offloads(&self) -> Offloads {
        let set = self.offloads;
        if !set.contains(Offloads::CSUM) {
            return Offloads::NONE;
        }
        let tcp = Offloads::TSO4 | Offloads::TSO6;
        let in_tunnels = tcp | Offloads::USO4 | Offloads::USO6;
        let tunnels = set.contains(in_tunnels | Offloads::UDP_TUNNEL_GSO);
        let left_out = Offloads::NONE
            .with_if(!set.intersects(tcp), Offloads::ECN)
            .with_if(!tunnels, Offloads::UDP_TUNNEL_GSO | Offloads::UDP_TUNNEL_GSO_CSUM);
        set - left_out
    }
}

impl Offloads {
    /// Offloads of a guest, with the bits that commands name them by: those of features, but for tunnels.
    const OF_COMMAND: [(Offloads, u32); 9] = [
        (Offloads::CSUM, 1),
        (Offloads::TSO4, 7),
        (Offloads::TSO6, 8),
        (Offloads::ECN, 9),
        (Offloads::UFO, 10),
        (Offloads::UDP_TUNNEL_GSO, 46),
        (Offloads::UDP_TUNNEL_GSO_CSUM, 47),
        (Offloads::USO4, 54),
        (Offloads::USO6, 55),
    ];

    /// Those that a command names, and bits that name none.
    pub(crate) fn of_command(bits: u64) -> (Offloads, u64) {
        let all = Offloads::OF_COMMAND.iter();
        all.fold((Offloads::NONE, bits), |(set, left), &(offload, bit)| {
            (set.with_if(bits >> bit & 1 != 0, offload), left & !(1 << bit))
        })
    }
}

#[cfg(test)]
mod tests;
