//! What goes before each frame (virtio 1.4, section 5.1.6): `struct virtio_net_hdr`.

/// Bytes of the longest header that is understood: with the fields of tunnels.
pub(crate) const MAX_HEADER_LEN: usize = 24;

/// What is left to do with a frame: the fields that go with each, whoever it comes from (virtio 1.4, section 5.1.6: `struct
/// virtio_net_hdr`; sections 5.1.6.2 and 5.1.6.4 say what they mean).
///
/// Plain numbers as the other side wrote them, or as it is to see them: nothing here says that they make sense. Send and Sync.
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

/// How a frame is to be cut, without modifiers (virtio 1.4, section 5.1.6: `VIRTIO_NET_HDR_GSO_*`).
///
/// Plain data: Send and Sync.
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

    /// As words of its bytes, with a hash, and with `num_buffers` in the second 16 bits of the second.
    ///
    /// Put together in registers: what is written in small pieces and then read in large ones has to wait for the memory.
    #[inline]
    pub(crate) fn words(&self, hash: u32, report: u16) -> [u64; MAX_HEADER_LEN / 8] {
        let four = |a: u16, b: u16, c: u16, d: u16| {
            u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48
        };
        let kind = u16::from_le_bytes([self.flags, self.gso_type]);
        [
            four(kind, self.hdr_len, self.gso_size, self.csum_start),
            u64::from(self.csum_offset) | u64::from(hash) << 32,
            four(report, 0, self.outer_th_offset, self.inner_nh_offset),
        ]
    }

    /// The bytes of such words, with `num_buffers`.
    #[inline]
    pub(crate) fn bytes([first, second, third]: [u64; MAX_HEADER_LEN / 8], num_buffers: u16) -> [u8; MAX_HEADER_LEN] {
        let words = [first, second | u64::from(num_buffers) << 16, third];
        let mut bytes = [0; MAX_HEADER_LEN];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// As bytes, with `num_buffers`, and no hash. The first 10, 12, 20 or 24 of them are what goes before a frame, as was
    /// agreed on.
    #[inline]
    pub fn encode(&self, num_buffers: u16) -> [u8; MAX_HEADER_LEN] {
        NetHeader::bytes(self.words(0, 0), num_buffers)
    }
}
