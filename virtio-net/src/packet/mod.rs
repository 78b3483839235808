//! What is in a frame: where its headers are, and what follows from them.
//!
//! Frames come from drivers and from networks, and nothing in them is believed: where a header says that there is more than
//! there is, what it speaks of is missing. What is looked at is memory of this process.

mod bytes;
pub(crate) mod checksum;
pub(crate) mod flow;
pub(crate) mod hash;
mod malformed;
mod network;
pub(crate) mod segment;
mod tunnel;

#[cfg(test)]
mod tests;

pub(crate) use malformed::Malformed;
pub(crate) use network::{Addresses, Network, Protocol, Transport};

use crate::wire::VLAN_TAG_LEN;
use crate::{MacAddress, NetHeader};
use bytes::{array, word};

/// Tags that a frame is looked into behind.
const MAX_TAGS: usize = 2;

/// Types of what follows an Ethernet header.
mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    /// A customer's VLAN tag (802.1Q).
    pub(super) const VLAN: u16 = 0x8100;
    /// A provider's VLAN tag (802.1ad).
    pub(super) const PROVIDER: u16 = 0x88a8;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ethernet {
    pub(crate) destination: MacAddress,
    pub(crate) source: MacAddress,
    /// The VLAN, if the outermost tag is one of 802.1Q. What a provider's tag says is nothing that drivers filter by.
    pub(crate) vlan: Option<u16>,
    /// Of what follows the header and its tags.
    pub(crate) ethertype: u16,
    /// Where that type is.
    pub(crate) ethertype_at: usize,
    /// Where what follows is.
    pub(crate) end: usize,
}

impl Ethernet {
    /// None where there are fewer than 14 bytes.
    #[inline]
    pub(crate) fn parse(head: &[u8]) -> Option<Ethernet> {
        let mut header = Ethernet {
            destination: MacAddress(array(head, 0)?),
            source: MacAddress(array(head, 6)?),
            vlan: None,
            ethertype: word(head, 12)?,
            ethertype_at: 12,
            end: 14,
        };
        for tag in 0..MAX_TAGS {
            if !matches!(header.ethertype, ethertype::VLAN | ethertype::PROVIDER) {
                break;
            }
            let Some(control) = word(head, header.end) else { break };
            if tag == 0 && header.ethertype == ethertype::VLAN {
                header.vlan = Some(control & 0xfff);
            }
            let Some(next) = word(head, header.end + 2) else { break };
            header.ethertype = next;
            header.ethertype_at += VLAN_TAG_LEN;
            header.end += VLAN_TAG_LEN;
        }
        Some(header)
    }

    /// The packet in the frame, if it is one of IP.
    #[inline]
    fn network(&self, head: &[u8]) -> Option<Network> {
        match self.ethertype {
            ethertype::IPV4 => Network::ipv4(head, self.end),
            ethertype::IPV6 => Network::ipv6(head, self.end),
            _ => None,
        }
    }
}

/// The headers of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) ethernet: Ethernet,
    /// The packet of IP in it, if there is one.
    pub(crate) network: Option<Network>,
}

impl Layers {
    /// The headers in `head`, the beginning of a frame. None where there is no whole Ethernet header.
    #[inline]
    pub(crate) fn parse(head: &[u8]) -> Option<Layers> {
        let ethernet = Ethernet::parse(head)?;
        Some(Layers { network: ethernet.network(head), ethernet })
    }

    /// The packet's transport header, if there is a whole one and the packet is no fragment.
    #[cfg(test)]
    pub(crate) fn transport(&self) -> Option<&Transport> {
        self.network.as_ref()?.transport.as_ref()
    }

    /// Bytes of all headers that were found.
    #[inline]
    pub(crate) fn header_len(&self) -> usize {
        self.network.as_ref().map_or(self.ethernet.end, Network::header_end)
    }
}

/// NET-RX-31: bytes of all headers of a frame that is to be cut as `header` says, those in a tunnel too. No more than are in
/// `head`.
pub(crate) fn header_len(head: &[u8], header: &NetHeader) -> usize {
    let inner = match header.gso_type & NetHeader::UDP_TUNNEL {
        0 => None,
        _ => Network::parse(head, usize::from(header.inner_nh_offset)),
    };
    match inner {
        Some(inner) => inner.header_end(),
        None => Layers::parse(head).map_or(0, |layers| layers.header_len()),
    }
}
