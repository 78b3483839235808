//! What goes before each frame (virtio 1.4, section 5.1.6): `struct virtio_net_hdr`.

/// Bytes of the longest header that is understood: with the fields of tunnels.
pub(crate) const MAX_HEADER_LEN: usize = 24;

/// What is left to do with a frame: the fields that go with each, whoever it comes from.
///
/// Plain numbers as the other side wrote them, or as it is to see them: nothing here says that they make sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetHeader {
    /// [`NEEDS_CSUM`](Self::NEEDS_CSUM) and others.
    pub flags: u8,
    /// How the frame is to be cut: [`GsoType`] in the low bits, and modifiers.
    pub gso_type: u8,
    /// Bytes of all headers of the frame, where it is to be cut.
    pub hdr_len: u16,
    /// Bytes behind the headers in each piece, where it is to be cut.
    pub gso_size: u16,
    /// Where what is summed starts, with [`NEEDS_CSUM`](Self::NEEDS_CSUM).
    pub csum_start: u16,
    /// Where the checksum is, from there.
    pub csum_offset: u16,
    /// Where the transport header of the tunnel is, with a modifier for tunnels.
    pub outer_th_offset: u16,
    /// Where the network header in the tunnel is, with a modifier for tunnels.
    pub inner_nh_offset: u16,
}

/// How a frame is to be cut, without modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GsoType {
    /// It is not.
    None = 0,
    /// TCP over IPv4.
    Tcp4 = 1,
    /// UDP, by fragments.
    Udp = 3,
    /// TCP over IPv6.
    Tcp6 = 4,
    /// UDP, by datagrams.
    UdpL4 = 5,
}

impl NetHeader {
    /// Flag: the checksum at `csum_offset` from `csum_start` is that of the pseudo header alone.
    pub const NEEDS_CSUM: u8 = 1;
    /// Flag: the checksum has been verified.
    pub const DATA_VALID: u8 = 2;
    /// Flag: the frame was put together of segments, and `csum_start` and `csum_offset` count them and duplicated acknowledgements.
    pub const RSC_INFO: u8 = 4;
    /// Flag: the checksum of a tunnel's own header is that of the pseudo header alone.
    pub const UDP_TUNNEL_CSUM: u8 = 8;
    /// Modifier of `gso_type`: a tunnel over UDP and IPv4.
    pub const UDP_TUNNEL_IPV4: u8 = 0x20;
    /// Modifier of `gso_type`: a tunnel over UDP and IPv6.
    pub const UDP_TUNNEL_IPV6: u8 = 0x40;
    /// Both of them.
    pub const UDP_TUNNEL: u8 = 0x60;
    /// Modifier of `gso_type`: congestion marks.
    pub const ECN: u8 = 0x80;

    /// How the frame is to be cut; none where that is nothing known.
    pub fn gso(&self) -> Option<GsoType> {
        match self.gso_type & !(NetHeader::ECN | NetHeader::UDP_TUNNEL) {
            0 => Some(GsoType::None),
            1 => Some(GsoType::Tcp4),
            3 => Some(GsoType::Udp),
            4 => Some(GsoType::Tcp6),
            5 => Some(GsoType::UdpL4),
            _ => None,
        }
    }

    /// Whether the checksum is to be completed.
    pub fn needs_csum(&self) -> bool {
        self.flags & NetHeader::NEEDS_CSUM != 0
    }

    /// Whether the frame is to be cut.
    pub fn is_gso(&self) -> bool {
        self.gso_type != 0
    }

    /// Of its bytes; fields that are not among them are zero. Neither `num_buffers` nor a hash are kept.
    #[inline]
    pub fn decode(bytes: &[u8]) -> NetHeader {
        let word = |at: usize| match bytes.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        NetHeader {
            flags: bytes.first().copied().unwrap_or(0),
            gso_type: bytes.get(1).copied().unwrap_or(0),
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
            outer_th_offset: word(20),
            inner_nh_offset: word(22),
        }
    }

    /// As bytes, with `num_buffers`, and no hash. The first 10, 12, 20 or 24 of them are what goes before a frame, as was
    /// agreed on.
    #[inline]
    pub fn encode(&self, num_buffers: u16) -> [u8; MAX_HEADER_LEN] {
        let mut bytes = [0; MAX_HEADER_LEN];
        let [f, g] = [self.flags, self.gso_type];
        let mut put = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        put(0, u16::from_le_bytes([f, g]));
        put(2, self.hdr_len);
        put(4, self.gso_size);
        put(6, self.csum_start);
        put(8, self.csum_offset);
        put(10, num_buffers);
        put(20, self.outer_th_offset);
        put(22, self.inner_nh_offset);
        bytes
    }
}
