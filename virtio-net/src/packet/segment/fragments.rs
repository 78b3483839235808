//! UDP by fragments of IP: the first piece has the header of the datagram.

use std::hash::{BuildHasher, RandomState};

use super::Piece;
use super::stream::{finish_ipv4, finish_ipv6, fits, is_at};
use crate::NetHeader;
use crate::packet::bytes::{put, word};
use crate::packet::checksum::pseudo_header;
use crate::packet::network::{extension, protocol};
use crate::packet::{Layers, Malformed, Network, Protocol};

/// Bytes of the extension header for fragments.
const HEADER_LEN: usize = 8;

/// How to cut a datagram into fragments.
pub(super) struct Fragments {
    network: Network,
    /// Where what is cut starts.
    pub(super) split: usize,
    /// Bytes from there on in a piece: a multiple of 8.
    pub(super) size: usize,
    /// What tells its fragments from others.
    number: u32,
    /// Where the kind of the first header to be cut is, for IPv6.
    kind_at: usize,
    /// Where the datagram's header is, its length and its checksum.
    header_at: usize,
    len: [u8; 2],
    checksum: [u8; 2],
}

impl Fragments {
    /// None where one piece is enough.
    pub(super) fn new(frame: &[u8], header: &NetHeader) -> Result<Option<Fragments>, Malformed> {
        let bad = Malformed::Headers { gso_type: header.gso_type, len: frame.len() };
        let network = Layers::parse(frame).and_then(|layers| layers.network).ok_or(bad)?;
        let transport = network.transport.filter(|transport| transport.protocol == Protocol::Udp).ok_or(bad)?;
        if network.detour && network.routing.is_none() {
            return Err(bad);
        }
        is_at(&transport, header, frame.len())?;
        fits(&network, frame.len())?;
        let size = usize::from(header.gso_size & !7);
        if size == 0 {
            return Err(Malformed::GsoSize { size: header.gso_size });
        }
        let (split, kind_at) =
            if network.is_v4() { (network.payload_at, 0) } else { split(frame, &network).ok_or(bad)? };
        if frame.len().saturating_sub(split) <= size {
            return Ok(None);
        }
        if transport.at + transport.len > split + size {
            // All headers are in the first fragment.
            return Err(Malformed::GsoSize { size: header.gso_size });
        }
        fits(&network, split + HEADER_LEN + size)?;
        let number = word(frame, network.at + 4).filter(|number| network.is_v4() && *number != 0);
        let datagram = frame.get(transport.at..).unwrap_or_default();
        let (ahead, behind) = (datagram.get(..6).unwrap_or_default(), datagram.get(8..).unwrap_or_default());
        let len = (datagram.len() as u16).to_be_bytes();
        // The length in the header may be another.
        let sum = pseudo_header(&network, transport.protocol, datagram.len())
            .add(ahead.get(..4).unwrap_or_default())
            .add(&len)
            .add(behind);
        Ok(Some(Fragments {
            network,
            split,
            size,
            number: number.map_or_else(random, u32::from),
            kind_at,
            header_at: transport.at,
            len,
            checksum: sum.checksum(),
        }))
    }

    pub(super) fn make(&self, frame: &[u8], piece: Piece, out: &mut Vec<u8>) {
        out.extend_from_slice(frame.get(..self.split).unwrap_or_default());
        let payload = frame.get(self.split + piece.start..self.split + piece.end).unwrap_or_default();
        // The start is a multiple of 8, and of 16 bits.
        let start = piece.start as u16;
        let header_at = if self.network.is_v4() {
            let more = if piece.last { 0 } else { 0x2000 };
            put(out, self.network.at + 4, (self.number as u16).to_be_bytes());
            put(out, self.network.at + 6, (start >> 3 | more).to_be_bytes());
            out.extend_from_slice(payload);
            finish_ipv4(out, &self.network);
            self.header_at
        } else {
            let kind = frame.get(self.kind_at).copied().unwrap_or_default();
            let [high, low] = (start | u16::from(!piece.last)).to_be_bytes();
            let [a, b, c, d] = self.number.to_be_bytes();
            put(out, self.kind_at, [protocol::FRAGMENT]);
            out.extend_from_slice(&[kind, 0, high, low, a, b, c, d]);
            out.extend_from_slice(payload);
            finish_ipv6(out, &self.network);
            self.header_at + HEADER_LEN
        };
        if piece.index == 0 {
            put(out, header_at + 4, self.len);
            put(out, header_at + 6, self.checksum);
        }
    }
}

/// Where the headers end that all fragments have, those for every router on the way, and where the kind of the next one is.
/// None where there is a header for fragments already.
fn split(frame: &[u8], packet: &Network) -> Option<(usize, usize)> {
    let (mut kind_at, mut at) = (packet.at + 6, packet.at + 40);
    let mut split = (at, kind_at);
    while at < packet.payload_at {
        let kind = *frame.get(kind_at)?;
        if kind == protocol::FRAGMENT {
            return None;
        }
        (kind_at, at) = (at, at + extension(frame, at, kind)?.len());
        if kind != protocol::DESTINATION {
            split = (at, kind_at);
        }
    }
    Some(split)
}

/// A number that nobody guesses.
fn random() -> u32 {
    RandomState::new().hash_one(()) as u32
}
