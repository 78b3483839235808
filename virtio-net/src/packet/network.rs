//! Packets of IP, and what they carry.

use super::bytes::{array, word};

/// Extension headers that are looked behind: hosts send one of each kind at most, and twice destination options.
const MAX_EXTENSIONS: usize = 8;

/// Protocols, and extension headers of IPv6.
pub(super) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const DESTINATION: u8 = 60;
}

/// Who sent a packet, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    V4 { source: [u8; 4], destination: [u8; 4] },
    V6 { source: [u8; 16], destination: [u8; 16] },
}

/// A packet of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Where its header starts.
    pub(crate) at: usize,
    pub(crate) addresses: Addresses,
    /// The protocol of what it carries; behind extension headers where those were seen whole.
    pub(crate) protocol: u8,
    /// Where what it carries starts: behind options and extension headers.
    pub(crate) payload_at: usize,
    /// There is only a part of what was sent.
    pub(crate) fragment: bool,
    /// There are extension headers of IPv6.
    pub(crate) extensions: bool,
    /// The address in a home address option.
    pub(crate) home: Option<[u8; 16]>,
    /// The address in a routing header of type 2.
    pub(crate) routing: Option<[u8; 16]>,
    /// It is on a detour: the destination is not the last one.
    pub(crate) detour: bool,
    /// What it carries, if that is known, there is a whole header of it, and the packet is no fragment.
    pub(crate) transport: Option<Transport>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp { flags: u8 },
    Udp,
}

/// The header of a segment or a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Where it starts.
    pub(crate) at: usize,
    /// Bytes of it, with options.
    pub(crate) len: usize,
    pub(crate) protocol: Protocol,
    /// Source and destination, as they are in the packet.
    pub(crate) ports: [u8; 4],
}

impl Network {
    /// The packet at `at`, of whichever version its first byte says: the one in a tunnel, at `inner_nh_offset`.
    #[inline]
    pub(crate) fn parse(head: &[u8], at: usize) -> Option<Network> {
        match head.get(at)? >> 4 {
            4 => Network::ipv4(head, at),
            6 => Network::ipv6(head, at),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn ipv4(head: &[u8], at: usize) -> Option<Network> {
        let fixed: [u8; 20] = array(head, at)?;
        let len = usize::from(fixed[0] & 0xf) * 4;
        if fixed[0] >> 4 != 4 || len < 20 || head.len() < at + len {
            return None;
        }
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = fixed;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        // More fragments come, or it is not the first one.
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0;
        let (payload_at, protocol) = (at + len, fixed[9]);
        let body = until(head, at, total);
        Some(Network {
            at,
            addresses: Addresses::V4 { source: [s0, s1, s2, s3], destination: [d0, d1, d2, d3] },
            protocol,
            payload_at,
            fragment,
            extensions: false,
            home: None,
            routing: None,
            detour: false,
            transport: if fragment { None } else { Transport::parse(body, payload_at, protocol) },
        })
    }

    #[inline]
    pub(super) fn ipv6(head: &[u8], at: usize) -> Option<Network> {
        let fixed: [u8; 40] = array(head, at)?;
        if fixed[0] >> 4 != 6 {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let body = until(head, at, if len == 0 { 0 } else { 40 + len });
        let mut packet = Network {
            at,
            addresses: Addresses::V6 { source: array(&fixed, 8)?, destination: array(&fixed, 24)? },
            protocol: fixed[6],
            payload_at: at + 40,
            fragment: false,
            extensions: false,
            home: None,
            routing: None,
            detour: false,
            transport: None,
        };
        if is_extension(packet.protocol) {
            packet.skip_extensions(body);
        }
        if !packet.fragment {
            packet.transport = Transport::parse(body, packet.payload_at, packet.protocol);
        }
        Some(packet)
    }

    /// Goes behind extension headers. Where there are too many, or one is not whole, the protocol is that of the next one.
    fn skip_extensions(&mut self, body: &[u8]) {
        self.extensions = true;
        for _ in 0..MAX_EXTENSIONS {
            let (kind, at) = (self.protocol, self.payload_at);
            let Some(header) = extension(body, at, kind) else { return };
            match kind {
                protocol::FRAGMENT => self.fragment |= word(header, 2).is_some_and(|field| field & 0xfff9 != 0),
                protocol::ROUTING => {
                    self.detour |= header.get(3).is_some_and(|left| *left != 0);
                    if header.get(2) == Some(&2) {
                        self.routing = self.routing.or(array(header, 8));
                    }
                }
                protocol::DESTINATION => self.home = self.home.or_else(|| home_address(header)),
                _ => {}
            }
            (self.protocol, self.payload_at) = (header.first().copied().unwrap_or(kind), at + header.len());
            // What follows in a fragment need not be a header.
            if self.fragment || !is_extension(self.protocol) {
                return;
            }
        }
    }

    /// Whether it is one of IPv4.
    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        matches!(self.addresses, Addresses::V4 { .. })
    }

    /// Where its headers end, with the one of what it carries.
    #[inline]
    pub(crate) fn header_end(&self) -> usize {
        self.transport.map_or(self.payload_at, |transport| transport.at + transport.len)
    }
}

impl Transport {
    #[inline]
    fn parse(body: &[u8], at: usize, protocol: u8) -> Option<Transport> {
        let (protocol, len) = match protocol {
            protocol::TCP => {
                let fixed: [u8; 20] = array(body, at)?;
                let len = usize::from(fixed[12] >> 4) * 4;
                if len < 20 || body.len() - at < len {
                    return None;
                }
                (Protocol::Tcp { flags: fixed[13] }, len)
            }
            protocol::UDP => (Protocol::Udp, array::<8>(body, at)?.len()),
            _ => return None,
        };
        Some(Transport { at, len, protocol, ports: array(body, at)? })
    }

    /// Where the checksum is, from the header on.
    #[inline]
    pub(crate) fn checksum_offset(&self) -> usize {
        match self.protocol {
            Protocol::Tcp { .. } => 16,
            Protocol::Udp => 6,
        }
    }
}

/// `head` up to the end of the packet at `at`, which says that it is `len` bytes long. Padding follows short ones. None say
/// nothing: packets of more than 64 KiB do.
#[inline]
fn until(head: &[u8], at: usize, len: usize) -> &[u8] {
    if len == 0 { head } else { head.get(..at + len).unwrap_or(head) }
}

fn is_extension(kind: u8) -> bool {
    matches!(kind, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION)
}

/// The extension header of kind `kind` at `at`, if it is one, and is whole.
pub(super) fn extension(body: &[u8], at: usize, kind: u8) -> Option<&[u8]> {
    let len = match kind {
        protocol::FRAGMENT => 8,
        kind if is_extension(kind) => (usize::from(*body.get(at + 1)?) + 1) * 8,
        _ => return None,
    };
    body.get(at..at + len)
}

/// The address in a home address option among destination options.
fn home_address(header: &[u8]) -> Option<[u8; 16]> {
    const PAD1: u8 = 0;
    const HOME_ADDRESS: u8 = 201;
    let mut options = header.get(2..)?;
    // Each takes at least a byte of what is left.
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            (PAD1, rest) => rest,
            (HOME_ADDRESS, [16, rest @ ..]) => return array(rest, 0),
            (_, [len, rest @ ..]) => rest.get(usize::from(*len)..)?,
            (_, []) => return None,
        };
    }
    None
}
