//! Feature bits by their names.

use virtio_core::Features;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        $($(#[$doc])* pub const $name: Features = Features::bit($bit);)*

        /// The names of feature bits.
        pub(crate) fn feature_name(bit: u32) -> Option<&'static str> {
            Some(match bit {
                $($bit => stringify!($name),)*
                _ => return None,
            })
        }
    };
}

features! {
    /// Bit 0: the device completes checksums of what is sent (section 5.1.6.2).
    CSUM = 0;
    /// Bit 1: the driver completes checksums of what it receives (section 5.1.6.4).
    GUEST_CSUM = 1;
    /// Bit 2: the driver changes its mind about offloads (section 5.1.6.5.9).
    CTRL_GUEST_OFFLOADS = 2;
    /// Bit 3: the device says how long packets can be (section 5.1.4).
    MTU = 3;
    /// Bit 5: the device says what its address is (section 5.1.4).
    MAC = 5;
    /// Bit 7: the driver takes segments of TCP over IPv4 (section 5.1.6.4).
    GUEST_TSO4 = 7;
    /// Bit 8: the driver takes segments of TCP over IPv6 (section 5.1.6.4).
    GUEST_TSO6 = 8;
    /// Bit 9: the driver takes segments with congestion marks (section 5.1.6.4).
    GUEST_ECN = 9;
    /// Bit 10: the driver takes datagrams that are to be fragmented (section 5.1.6.4).
    GUEST_UFO = 10;
    /// Bit 11: the device takes segments of TCP over IPv4 (section 5.1.6.2).
    HOST_TSO4 = 11;
    /// Bit 12: the device takes segments of TCP over IPv6 (section 5.1.6.2).
    HOST_TSO6 = 12;
    /// Bit 13: the device takes segments with congestion marks (section 5.1.6.2).
    HOST_ECN = 13;
    /// Bit 14: the device takes datagrams that are to be fragmented (section 5.1.6.2).
    HOST_UFO = 14;
    /// Bit 15: a frame can take several receive buffers (section 5.1.6.4).
    MRG_RXBUF = 15;
    /// Bit 16: the device says what the state of its link is (section 5.1.4).
    STATUS = 16;
    /// Bit 17: there is a control queue (section 5.1.6.5).
    CTRL_VQ = 17;
    /// Bit 18: receive modes (section 5.1.6.5.1).
    CTRL_RX = 18;
    /// Bit 19: filtering by VLAN (section 5.1.6.5.3).
    CTRL_VLAN = 19;
    /// Bit 20: more receive modes (section 5.1.6.5.1).
    CTRL_RX_EXTRA = 20;
    /// Bit 21: the driver announces itself when it is asked to (section 5.1.6.5.4).
    GUEST_ANNOUNCE = 21;
    /// Bit 22: several pairs of queues, with automatic steering (sections 5.1.6.5.5 and 5.1.6.5.6).
    MQ = 22;
    /// Bit 23: the driver sets the device's address (section 5.1.6.5.2).
    CTRL_MAC_ADDR = 23;
    /// Bit 50: statistics for the driver (section 5.1.6.5.11).
    DEVICE_STATS = 50;
    /// Bit 51: hashes of what is in tunnels (section 5.1.6.4.4).
    HASH_TUNNEL = 51;
    /// Bit 52: notification coalescing of single queues (section 5.1.6.5.10).
    VQ_NOTF_COAL = 52;
    /// Bit 53: notification coalescing (section 5.1.6.5.10).
    NOTF_COAL = 53;
    /// Bit 54: the driver takes what is to be cut into datagrams over IPv4 (section 5.1.6.4).
    GUEST_USO4 = 54;
    /// Bit 55: the driver takes what is to be cut into datagrams over IPv6 (section 5.1.6.4).
    GUEST_USO6 = 55;
    /// Bit 56: the device takes what is to be cut into datagrams (section 5.1.6.2).
    HOST_USO = 56;
    /// Bit 57: the driver is told a hash of each frame (section 5.1.6.4.5).
    HASH_REPORT = 57;
    /// Bit 59: the driver says exactly how long headers are (section 5.1.6.2).
    GUEST_HDRLEN = 59;
    /// Bit 60: receive-side scaling (section 5.1.6.5.7).
    RSS = 60;
    /// Bit 61: the device says how many segments it put together. Never offered.
    RSC_EXT = 61;
    /// Bit 62: the device stands in for another one of the same address. Never offered.
    STANDBY = 62;
    /// Bit 63: the device says how fast its link is (section 5.1.4).
    SPEED_DUPLEX = 63;
    /// Bit 64: several configurations of receive-side scaling (section 5.1.6.5.8). Never offered.
    RSS_CONTEXT = 64;
    /// Bit 65: the driver takes segments in UDP tunnels (section 5.1.6.4).
    GUEST_UDP_TUNNEL_GSO = 65;
    /// Bit 66: the driver completes outer checksums of UDP tunnels (section 5.1.6.4).
    GUEST_UDP_TUNNEL_GSO_CSUM = 66;
    /// Bit 67: the device takes segments in UDP tunnels (section 5.1.6.2).
    HOST_UDP_TUNNEL_GSO = 67;
    /// Bit 68: the device completes outer checksums of UDP tunnels (section 5.1.6.2).
    HOST_UDP_TUNNEL_GSO_CSUM = 68;
    /// Bit 69: the driver says where the outer network header is. Never offered.
    OUT_NET_HEADER = 69;
    /// Bit 70: packets go through IPsec (section 5.1.6.7). Never offered.
    IPSEC = 70;
}
