//! Numbers and layouts of the specification, without logic.

pub(crate) use virtio_core::put_field as put;

/// Bytes of the configuration space.
pub(crate) const CONFIG_LEN: usize = 28;

/// Where the fields of the configuration space are.
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const MAC: Range<usize> = 0..6;
    pub(crate) const STATUS: Range<usize> = 6..8;
    pub(crate) const MAX_VIRTQUEUE_PAIRS: Range<usize> = 8..10;
    pub(crate) const MTU: Range<usize> = 10..12;
    pub(crate) const SPEED: Range<usize> = 12..16;
    pub(crate) const DUPLEX: Range<usize> = 16..17;
    pub(crate) const RSS_MAX_KEY_SIZE: Range<usize> = 17..18;
    pub(crate) const RSS_MAX_INDIRECTION_TABLE_LENGTH: Range<usize> = 18..20;
    pub(crate) const SUPPORTED_HASH_TYPES: Range<usize> = 20..24;
    pub(crate) const SUPPORTED_TUNNEL_TYPES: Range<usize> = 24..28;
}

/// Bits of the status in the configuration space.
pub(crate) mod status {
    pub(crate) const LINK_UP: u16 = 1;
    pub(crate) const ANNOUNCE: u16 = 2;
}

/// Bytes of an Ethernet header, without tags.
pub(crate) const ETHERNET_LEN: usize = 14;
/// Bytes of a VLAN tag.
pub(crate) const VLAN_TAG_LEN: usize = 4;
/// Bytes of the longest frame there can be, with tags: the length of an IP packet has 16 bits.
pub(crate) const MAX_FRAME_LEN: usize = 65535 + ETHERNET_LEN + 2 * VLAN_TAG_LEN;

/// Hash types: bits of what is configured. The report of each is its number, counted from 1.
pub(crate) mod hash_type {
    pub(crate) const IPV4: u32 = 1 << 0;
    pub(crate) const TCPV4: u32 = 1 << 1;
    pub(crate) const UDPV4: u32 = 1 << 2;
    pub(crate) const IPV6: u32 = 1 << 3;
    pub(crate) const TCPV6: u32 = 1 << 4;
    pub(crate) const UDPV6: u32 = 1 << 5;
    pub(crate) const IP_EX: u32 = 1 << 6;
    pub(crate) const TCP_EX: u32 = 1 << 7;
    pub(crate) const UDP_EX: u32 = 1 << 8;
    pub(crate) const ALL: u32 = 0x1ff;
}

/// Tunnel types: bits of what is configured.
pub(crate) mod tunnel_type {
    pub(crate) const GRE_2784: u32 = 1 << 0;
    pub(crate) const GRE_2890: u32 = 1 << 1;
    pub(crate) const GRE_7676: u32 = 1 << 2;
    pub(crate) const GRE_UDP: u32 = 1 << 3;
    pub(crate) const VXLAN: u32 = 1 << 4;
    pub(crate) const VXLAN_GPE: u32 = 1 << 5;
    pub(crate) const GENEVE: u32 = 1 << 6;
    pub(crate) const IPIP: u32 = 1 << 7;
    pub(crate) const NVGRE: u32 = 1 << 8;
    pub(crate) const ALL: u32 = 0x1ff;
}
