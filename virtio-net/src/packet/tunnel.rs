//! Packets in packets.

use super::bytes::{array, word};
use super::network::protocol;
use super::{Ethernet, Network, Protocol, ethertype};
use crate::wire::tunnel_type;

/// Frames of Ethernet in GRE and GENEVE.
const BRIDGED: u16 = 0x6558;

/// Ports of UDP that tunnels end at.
mod port {
    pub(super) const GRE: u16 = 4754;
    pub(super) const VXLAN: u16 = 4789;
    pub(super) const VXLAN_GPE: u16 = 4790;
    pub(super) const GENEVE: u16 = 6081;
}

/// What is in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    /// The packet is in no tunnel of the types asked for.
    NoTunnel,
    /// It is in one, and this is in there: nothing, where that is no whole header of IP.
    Tunnel(Option<Network>),
}

/// What is in `outer`, if that is one of `types`.
pub(super) fn inner(head: &[u8], outer: &Network, types: u32) -> Inner {
    let found = match outer.protocol {
        _ if outer.fragment => None,
        protocol::IPV4 if outer.is_v4() => {
            Some((tunnel_type::IPIP, Carried { kind: ethertype::IPV4, at: outer.payload_at }))
        }
        protocol::GRE => gre(head, outer.payload_at, outer.is_v4()),
        protocol::UDP => udp(head, outer),
        _ => None,
    };
    match found {
        Some((found, carried)) if found & types != 0 => Inner::Tunnel(carried.network(head)),
        _ => Inner::NoTunnel,
    }
}

/// Where what is carried starts, and what it is.
struct Carried {
    kind: u16,
    at: usize,
}

impl Carried {
    fn network(&self, head: &[u8]) -> Option<Network> {
        match self.kind {
            ethertype::IPV4 => Network::ipv4(head, self.at),
            ethertype::IPV6 => Network::ipv6(head, self.at),
            BRIDGED => {
                // Within the frame, places count from its beginning.
                let ethernet = Ethernet::parse(head.get(self.at..)?)?;
                match ethernet.ethertype {
                    ethertype::IPV4 => Network::ipv4(head, self.at + ethernet.end),
                    ethertype::IPV6 => Network::ipv6(head, self.at + ethernet.end),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The types that a header of GRE belongs to. One type extends another, so there can be several.
fn gre(head: &[u8], at: usize, over_v4: bool) -> Option<(u32, Carried)> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    // Routes, which are history, and versions other than 0, as that of PPTP.
    const OTHER: u16 = 0x4807;
    let flags = word(head, at)?;
    let kind = word(head, at + 2)?;
    if flags & OTHER != 0 {
        return None;
    }
    let mut types = 0;
    if flags & (KEY | SEQUENCE) == 0 {
        if over_v4 {
            types |= tunnel_type::GRE_2784;
        }
        if !over_v4 || kind == ethertype::IPV6 {
            types |= tunnel_type::GRE_7676;
        }
    } else {
        types |= tunnel_type::GRE_2890;
        if flags & (CHECKSUM | KEY | SEQUENCE) == KEY && kind == BRIDGED {
            types |= tunnel_type::NVGRE;
        }
    }
    let fields = [CHECKSUM, KEY, SEQUENCE].into_iter().filter(|flag| flags & flag != 0).count();
    Some((types, Carried { kind, at: at + 4 + 4 * fields }))
}

fn udp(head: &[u8], outer: &Network) -> Option<(u32, Carried)> {
    let transport = outer.transport.filter(|transport| transport.protocol == Protocol::Udp)?;
    let [_, _, high, low] = transport.ports;
    let at = transport.at + transport.len;
    match u16::from_be_bytes([high, low]) {
        port::GRE => gre(head, at, outer.is_v4()).map(|(_, carried)| (tunnel_type::GRE_UDP, carried)),
        port::VXLAN => {
            let [flags, ..] = array::<8>(head, at)?;
            let network = flags & 0x08 != 0;
            network.then_some((tunnel_type::VXLAN, Carried { kind: BRIDGED, at: at + 8 }))
        }
        port::VXLAN_GPE => {
            let [flags, _, _, next, ..] = array::<8>(head, at)?;
            // An identifier, of version 0, and no operations packet. Bit 2: the next protocol is named.
            if flags & 0x39 != 0x08 {
                return None;
            }
            let kind = match (flags & 0x04, next) {
                (0, _) | (_, 3) => BRIDGED,
                (_, 1) => ethertype::IPV4,
                (_, 2) => ethertype::IPV6,
                _ => return None,
            };
            Some((tunnel_type::VXLAN_GPE, Carried { kind, at: at + 8 }))
        }
        port::GENEVE => {
            let [first, flags, ..] = array::<8>(head, at)?;
            // Version 0, and no control packet.
            if first >> 6 != 0 || flags & 0x80 != 0 {
                return None;
            }
            let options = usize::from(first & 0x3f) * 4;
            Some((tunnel_type::GENEVE, Carried { kind: word(head, at + 2)?, at: at + 8 + options }))
        }
        _ => None,
    }
}
