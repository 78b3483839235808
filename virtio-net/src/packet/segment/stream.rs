//! TCP by segments and UDP by datagrams: each piece has all the headers, those of a tunnel too.

use super::Piece;
use crate::packet::bytes::{array, put, word};
use crate::packet::checksum::{Sum, pseudo_header};
use crate::packet::{Addresses, Layers, Malformed, Network, Protocol, Transport};
use crate::{GsoType, NetHeader};

/// Flags of TCP.
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const CWR: u8 = 0x80;
}

/// How to cut a frame into those that have its headers.
pub(super) struct Stream {
    tunnel: Option<Tunnel>,
    network: Network,
    transport: Transport,
    /// Bytes of all headers.
    pub(super) header_len: usize,
    /// Bytes behind them in a piece.
    pub(super) size: usize,
}

/// The headers of a tunnel.
struct Tunnel {
    network: Network,
    transport: Transport,
    /// Its checksum covers the packet in it.
    checksum: bool,
}

impl Stream {
    pub(super) fn new(frame: &[u8], header: &NetHeader, gso: GsoType) -> Result<Stream, Malformed> {
        let bad = Malformed::Headers { gso_type: header.gso_type, len: frame.len() };
        let outer = Layers::parse(frame).and_then(|layers| layers.network).ok_or(bad)?;
        let (tunnel, network) = match header.gso_type & NetHeader::UDP_TUNNEL {
            0 => (None, outer),
            _ => {
                let (tunnel, inner) = Tunnel::new(frame, header, outer)?;
                (Some(tunnel), inner)
            }
        };
        let transport = network.transport.ok_or(bad)?;
        match (gso, transport.protocol) {
            (GsoType::Tcp4, Protocol::Tcp { .. }) if network.is_v4() => {}
            (GsoType::Tcp6, Protocol::Tcp { .. }) if !network.is_v4() => {}
            (GsoType::UdpL4, Protocol::Udp) => {}
            _ => return Err(bad),
        }
        // Where the last destination is not known, nor is what the checksum covers.
        if network.detour && network.routing.is_none() {
            return Err(bad);
        }
        is_at(&transport, header, frame.len())?;
        let header_len = transport.at + transport.len;
        let size = usize::from(header.gso_size);
        let longest = header_len + size.min(frame.len().saturating_sub(header_len));
        let outermost = tunnel.as_ref().map_or(&network, |tunnel| &tunnel.network);
        fits(outermost, longest)?;
        Ok(Stream { tunnel, network, transport, header_len, size })
    }

    pub(super) fn make(&self, frame: &[u8], piece: Piece, out: &mut Vec<u8>) {
        out.extend_from_slice(frame.get(..self.header_len).unwrap_or_default());
        let payload = self.header_len + piece.start..self.header_len + piece.end;
        out.extend_from_slice(frame.get(payload).unwrap_or_default());
        let at = self.transport.at;
        if let Protocol::Tcp { flags } = self.transport.protocol {
            let sequence = u32::from_be_bytes(array(frame, at + 4).unwrap_or_default());
            put(out, at + 4, sequence.wrapping_add(piece.start as u32).to_be_bytes());
            let last = if piece.last { 0 } else { flag::FIN | flag::PSH };
            let first = if piece.index == 0 { 0 } else { flag::CWR };
            put(out, at + 13, [flags & !last & !first]);
        }
        finish_ip(out, &self.network, piece.index);
        finish_transport(out, &self.network, &self.transport, true);
        if let Some(Tunnel { network, transport, checksum }) = &self.tunnel {
            finish_ip(out, network, piece.index);
            finish_transport(out, network, transport, *checksum);
        }
    }
}

impl Tunnel {
    /// The tunnel whose packet `outer` is, and what is in it.
    fn new(frame: &[u8], header: &NetHeader, outer: Network) -> Result<(Tunnel, Network), Malformed> {
        let &NetHeader { outer_th_offset, inner_nh_offset, .. } = header;
        // DRV-NET-TX-11
        let bad = Malformed::Tunnel { outer: outer_th_offset, inner: inner_nh_offset, len: frame.len() };
        let transport = outer.transport.ok_or(bad)?;
        let inner = usize::from(inner_nh_offset);
        if transport.protocol != Protocol::Udp
            || transport.at != usize::from(outer_th_offset)
            || inner < transport.at + transport.len
            || (outer.detour && outer.routing.is_none())
        {
            return Err(bad);
        }
        let inner = Network::parse(frame, inner).ok_or(bad)?;
        if inner.is_v4() != (header.gso_type & NetHeader::UDP_TUNNEL_IPV4 != 0) {
            return Err(bad);
        }
        // Where there is one that is meant for the pieces, it is made again.
        let checksum = header.flags & NetHeader::UDP_TUNNEL_CSUM != 0
            || word(frame, transport.at + transport.checksum_offset()) != Some(0);
        Ok((Tunnel { network: outer, transport, checksum }, inner))
    }
}

/// DRV-NET-TX-10: the checksum is that of the header which was found.
pub(super) fn is_at(transport: &Transport, header: &NetHeader, len: usize) -> Result<(), Malformed> {
    let &NetHeader { csum_start: start, csum_offset: offset, .. } = header;
    if usize::from(start) != transport.at || usize::from(offset) != transport.checksum_offset() {
        return Err(Malformed::Checksum { start, offset, len });
    }
    Ok(())
}

/// Whether a packet can say how long it is, where its frame ends at `end`.
pub(super) fn fits(packet: &Network, end: usize) -> Result<(), Malformed> {
    let len = end.saturating_sub(if packet.is_v4() { packet.at } else { packet.at + 40 });
    if len > usize::from(u16::MAX) { Err(Malformed::Length { len }) } else { Ok(()) }
}

/// Puts in the length, and for IPv4 the number and the checksum.
fn finish_ip(out: &mut [u8], packet: &Network, index: u16) {
    match packet.addresses {
        Addresses::V4 { .. } => {
            let number = word(out, packet.at + 4).unwrap_or_default().wrapping_add(index);
            put(out, packet.at + 4, number.to_be_bytes());
            finish_ipv4(out, packet);
        }
        Addresses::V6 { .. } => finish_ipv6(out, packet),
    }
}

/// Puts in the length and the checksum of the header.
pub(super) fn finish_ipv4(out: &mut [u8], packet: &Network) {
    let len = out.len().saturating_sub(packet.at) as u16;
    put(out, packet.at + 2, len.to_be_bytes());
    put(out, packet.at + 10, [0, 0]);
    let sum = Sum::default().add(out.get(packet.at..packet.payload_at).unwrap_or_default());
    put(out, packet.at + 10, sum.complement());
}

/// Puts in the length.
pub(super) fn finish_ipv6(out: &mut [u8], packet: &Network) {
    let len = out.len().saturating_sub(packet.at + 40) as u16;
    put(out, packet.at + 4, len.to_be_bytes());
}

/// Puts in the length, where there is one, and the checksum, or zero for none.
fn finish_transport(out: &mut [u8], packet: &Network, transport: &Transport, checksum: bool) {
    let len = out.len().saturating_sub(transport.at);
    if transport.protocol == Protocol::Udp {
        put(out, transport.at + 4, (len as u16).to_be_bytes());
    }
    let at = transport.at + transport.checksum_offset();
    put(out, at, [0, 0]);
    if checksum {
        let sum = pseudo_header(packet, transport.protocol, len).add(out.get(transport.at..).unwrap_or_default());
        put(out, at, sum.checksum());
    }
}
