//! Commands of the control queue, as a driver writes them.

use virtio_core::testing::RingDriver;
use virtio_net::NetHeader;

use crate::rig::{Port, Queues, Rig};

/// Its class, and its number in the class.
pub(crate) type Command = (u8, u8);

pub(crate) const PROMISC: Command = (0, 0);
pub(crate) const ALLMULTI: Command = (0, 1);
pub(crate) const ALLUNI: Command = (0, 2);
pub(crate) const NOMULTI: Command = (0, 3);
pub(crate) const NOUNI: Command = (0, 4);
pub(crate) const NOBCAST: Command = (0, 5);
pub(crate) const MAC_TABLE_SET: Command = (1, 0);
pub(crate) const MAC_ADDR_SET: Command = (1, 1);
pub(crate) const VLAN_ADD: Command = (2, 0);
pub(crate) const VLAN_DEL: Command = (2, 1);
pub(crate) const ANNOUNCE_ACK: Command = (3, 0);
pub(crate) const PAIRS_SET: Command = (4, 0);
pub(crate) const RSS_CONFIG: Command = (4, 1);
pub(crate) const HASH_CONFIG: Command = (4, 2);
pub(crate) const OFFLOADS_SET: Command = (5, 0);
pub(crate) const COAL_TX_SET: Command = (6, 0);
pub(crate) const COAL_RX_SET: Command = (6, 1);
pub(crate) const COAL_VQ_SET: Command = (6, 2);
pub(crate) const COAL_VQ_GET: Command = (6, 3);
pub(crate) const HASH_TUNNEL_SET: Command = (7, 0);
pub(crate) const STATS_QUERY: Command = (8, 0);
pub(crate) const STATS_GET: Command = (8, 1);

pub(crate) const OK: u8 = 0;
pub(crate) const ERR: u8 = 1;

impl<P: Port> Rig<P> {
    /// The ack of a command.
    pub(crate) fn order(&self, queues: &mut Queues<P::Driver>, command: Command, data: &[u8]) -> u8 {
        self.command(queues, command.0, command.1, data).expect("an answer")
    }

    /// Whether the driver gets a frame from the first pair of the network, in its first receive queue.
    pub(crate) fn hears(&self, queues: &mut Queues<P::Driver>, frame: &[u8]) -> bool {
        let ring = &queues.rx[0];
        if ring.free() == usize::from(ring.size()) {
            self.post(queues, 0, 2048);
        }
        self.arrive(0, NetHeader::default(), frame);
        queues.rx[0].used().is_some()
    }
}

pub(crate) fn mac_table(unicast: &[[u8; 6]], multicast: &[[u8; 6]]) -> Vec<u8> {
    let mut data = Vec::new();
    for addresses in [unicast, multicast] {
        data.extend((addresses.len() as u32).to_le_bytes());
        data.extend(addresses.concat());
    }
    data
}

/// Steering by a table of pairs.
pub(crate) fn rss(types: u32, table: &[u16], unclassified: u16, transmit: u16, key: &[u8]) -> Vec<u8> {
    let mut data = types.to_le_bytes().to_vec();
    data.extend((table.len() as u16).wrapping_sub(1).to_le_bytes());
    data.extend(unclassified.to_le_bytes());
    data.extend(table.iter().flat_map(|pair| pair.to_le_bytes()));
    data.extend(transmit.to_le_bytes());
    data.push(key.len() as u8);
    data.extend(key);
    data
}

/// Hashes without a table.
pub(crate) fn hash(types: u32, key: &[u8]) -> Vec<u8> {
    let mut data = types.to_le_bytes().to_vec();
    data.extend([0; 8]);
    data.push(key.len() as u8);
    data.extend(key);
    data
}

pub(crate) fn delay(packets: u32, usecs: u32) -> Vec<u8> {
    [packets.to_le_bytes(), usecs.to_le_bytes()].concat()
}

pub(crate) fn queue_delay(queue: u16, packets: u32, usecs: u32) -> Vec<u8> {
    [&queue.to_le_bytes()[..], &[0, 0], &delay(packets, usecs)].concat()
}

/// A request for kinds of statistics of a queue.
pub(crate) fn statistics(queue: u16, kinds: u64) -> Vec<u8> {
    [&queue.to_le_bytes()[..], &[0; 6], &kinds.to_le_bytes()].concat()
}
