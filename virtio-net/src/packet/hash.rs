//! The hash of a packet's addresses and ports (virtio 1.4, section 5.1.6.4): Toeplitz's, as receive-side scaling has it.

use std::fmt;

use super::tunnel::{self, Inner};
use super::{Addresses, Layers, Network, Protocol, Transport};
use crate::wire::hash_type;

/// Bytes of the longest key: what is hashed, and four.
pub(crate) const KEY_LEN: usize = INPUT_LEN + 4;
/// Bytes of what is hashed at most: two addresses of IPv6 and two ports.
const INPUT_LEN: usize = 36;

/// A key of a hash. Bytes that it was not given are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RssKey([u8; KEY_LEN]);

impl RssKey {
    /// None where it is too long.
    pub(crate) fn new(bytes: &[u8]) -> Option<RssKey> {
        let mut key = [0; KEY_LEN];
        key.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(RssKey(key))
    }
}

/// The hash of a packet, as it is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) value: u32,
    /// What was hashed; 0 where nothing was.
    pub(crate) report: u16,
}

impl Hash {
    /// NET-RSS-01: the packet has one.
    pub(crate) fn is_known(&self) -> bool {
        self.report != 0
    }
}

/// Hashes packets with a key, by types that are enabled.
pub(crate) struct Hasher {
    /// For each byte of what is hashed, what its high and its low half contribute: 4.5 KiB.
    table: Box<[[[u32; 16]; 2]; INPUT_LEN]>,
    types: u32,
    tunnels: u32,
}

impl Hasher {
    /// `types` are hash types, `tunnels` tunnel types whose content is hashed instead.
    pub(crate) fn new(key: &RssKey, types: u32, tunnels: u32) -> Hasher {
        let mut table = Box::new([[[0; 16]; 2]; INPUT_LEN]);
        for (at, halves) in table.iter_mut().enumerate() {
            // The key from this byte on. There are four more than bytes of input.
            let window = key.0.iter().skip(at).take(5).fold(0_u64, |window, byte| window << 8 | u64::from(*byte));
            for (half, values) in halves.iter_mut().enumerate() {
                for (bits, value) in values.iter_mut().enumerate() {
                    let set = (0..4).filter(|bit| bits & (8 >> bit) != 0);
                    *value = set.fold(0, |sum, bit| sum ^ (window >> (8 - 4 * half - bit)) as u32);
                }
            }
        }
        Hasher { table, types, tunnels }
    }

    /// NET-HASH-06. `layers` are those of `head`.
    pub(crate) fn hash(&self, head: &[u8], layers: &Layers) -> Hash {
        let Some(outer) = &layers.network else { return Hash::default() };
        if self.tunnels != 0 {
            match tunnel::inner(head, outer, self.tunnels) {
                // What is in the tunnel, or nothing.
                Inner::Tunnel(inner) => return inner.map_or_else(Hash::default, |inner| self.of(&inner)),
                // NET-HASH-07
                Inner::NoTunnel => {}
            }
        }
        self.of(outer)
    }

    fn of(&self, packet: &Network) -> Hash {
        use hash_type::{IP_EX, IPV4, IPV6, TCP_EX, TCPV4, TCPV6, UDP_EX, UDPV4, UDPV6};
        let transport = packet.transport.as_ref();
        match packet.addresses {
            Addresses::V4 { source, destination } => match self.choose(transport, TCPV4, UDPV4, IPV4) {
                Some(kind) => self.report(kind, &source, &destination, transport, IPV4),
                None => Hash::default(),
            },
            Addresses::V6 { source, destination } => {
                let extended = if packet.extensions { self.choose(transport, TCP_EX, UDP_EX, IP_EX) } else { None };
                if let Some(kind) = extended {
                    let source = packet.home.unwrap_or(source);
                    let destination = packet.routing.unwrap_or(destination);
                    return self.report(kind, &source, &destination, transport, IP_EX);
                }
                match self.choose(transport, TCPV6, UDPV6, IPV6) {
                    Some(kind) => self.report(kind, &source, &destination, transport, IPV6),
                    None => Hash::default(),
                }
            }
        }
    }

    /// The type among those enabled that fits best.
    fn choose(&self, transport: Option<&Transport>, tcp: u32, udp: u32, ip: u32) -> Option<u32> {
        let ports = match transport.map(|transport| transport.protocol) {
            Some(Protocol::Tcp { .. }) => tcp,
            Some(Protocol::Udp) => udp,
            None => 0,
        };
        [ports, ip].into_iter().find(|kind| self.types & kind != 0)
    }

    /// The hash of addresses, and of ports where `kind` is not `bare`, the type of those without.
    fn report(&self, kind: u32, source: &[u8], destination: &[u8], transport: Option<&Transport>, bare: u32) -> Hash {
        let ports = transport.filter(|_| kind != bare).map_or([].as_slice(), |transport| &transport.ports);
        let mut rows = self.table.iter();
        let mut value = 0;
        for part in [source, destination, ports] {
            for (byte, [high, low]) in part.iter().zip(rows.by_ref()) {
                value ^= high[usize::from(byte >> 4)] ^ low[usize::from(byte & 0xf)];
            }
        }
        Hash { value, report: kind.trailing_zeros() as u16 + 1 }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher(types {:#x}, tunnels {:#x})", self.types, self.tunnels)
    }
}
