//! Numbers of commands, without logic.

pub(crate) const OK: u8 = 0;
pub(crate) const ERR: u8 = 1;
/// Bytes of an ack.
pub(crate) const ACK_LEN: usize = 1;

pub(crate) mod class {
    pub(crate) const RX: u8 = 0;
    pub(crate) const MAC: u8 = 1;
    pub(crate) const VLAN: u8 = 2;
    pub(crate) const ANNOUNCE: u8 = 3;
    pub(crate) const MQ: u8 = 4;
    pub(crate) const GUEST_OFFLOADS: u8 = 5;
    pub(crate) const NOTF_COAL: u8 = 6;
    pub(crate) const HASH_TUNNEL: u8 = 7;
    pub(crate) const STATS: u8 = 8;
}

pub(crate) const RX_PROMISC: u8 = 0;
pub(crate) const RX_ALLMULTI: u8 = 1;
pub(crate) const RX_ALLUNI: u8 = 2;
pub(crate) const RX_NOMULTI: u8 = 3;
pub(crate) const RX_NOUNI: u8 = 4;
pub(crate) const RX_NOBCAST: u8 = 5;

pub(crate) const MAC_TABLE_SET: u8 = 0;
pub(crate) const MAC_ADDR_SET: u8 = 1;

pub(crate) const VLAN_ADD: u8 = 0;
pub(crate) const VLAN_DEL: u8 = 1;

pub(crate) const ANNOUNCE_ACK: u8 = 0;

pub(crate) const MQ_VQ_PAIRS_SET: u8 = 0;
pub(crate) const MQ_RSS_CONFIG: u8 = 1;
pub(crate) const MQ_HASH_CONFIG: u8 = 2;

pub(crate) const GUEST_OFFLOADS_SET: u8 = 0;

pub(crate) const NOTF_COAL_TX_SET: u8 = 0;
pub(crate) const NOTF_COAL_RX_SET: u8 = 1;
pub(crate) const NOTF_COAL_VQ_SET: u8 = 2;
pub(crate) const NOTF_COAL_VQ_GET: u8 = 3;
/// Bytes of the answer to VQ_GET.
pub(crate) const NOTF_COAL_LEN: usize = 8;

pub(crate) const HASH_TUNNEL_SET: u8 = 0;

pub(crate) const STATS_QUERY: u8 = 0;
pub(crate) const STATS_GET: u8 = 1;
/// Bytes of the answer to STATS_QUERY.
pub(crate) const STATS_CAPABILITIES_LEN: usize = 8;
/// Bytes before the numbers of each statistics.
pub(crate) const STATS_REPLY_HEADER_LEN: usize = 8;
