//! Packets that are to be cut, and what their pieces are to be.

use crate::NetHeader;

/// The one's complement sum of 16-bit words.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub(super) fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(7) ^ (i >> 8) as u8).collect()
}

fn ethernet(ethertype: u16) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(ethertype.to_be_bytes());
    frame
}

/// An IPv4 header for `len` bytes behind it, from 10.0.0.1 to 10.0.0.2.
fn ip4(protocol: u8, len: usize) -> Vec<u8> {
    let total = (20 + len) as u16;
    let mut header = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    let check = !sum(&header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    header
}

fn ip6(protocol: u8, len: usize) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((len as u16).to_be_bytes());
    header.extend([protocol, 64]);
    for last in [1, 2] {
        header.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    header
}

fn pseudo(addresses: &[u8], protocol: u8, len: usize) -> u16 {
    let mut bytes = addresses.to_vec();
    bytes.extend([0, protocol]);
    bytes.extend((len as u16).to_be_bytes());
    sum(&bytes)
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(1000_u16.to_be_bytes());
    header.extend(2000_u16.to_be_bytes());
    header.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

fn udp(len: usize, to: u16) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(1000_u16.to_be_bytes());
    header.extend(to.to_be_bytes());
    header.extend(((8 + len) as u16).to_be_bytes());
    header.extend([0, 0]);
    header
}

/// Puts a packet together, whose checksum is that of the pseudo header alone.
fn packet(six: bool, protocol: u8, mut transport: Vec<u8>, check: usize, len: usize) -> (usize, Vec<u8>) {
    let behind = transport.len() + len;
    let (ip, addresses) = if six {
        let ip = ip6(protocol, behind);
        let addresses = ip[8..].to_vec();
        (ip, addresses)
    } else {
        let ip = ip4(protocol, behind);
        let addresses = ip[12..].to_vec();
        (ip, addresses)
    };
    let partial = pseudo(&addresses, protocol, behind);
    transport[check..check + 2].copy_from_slice(&partial.to_be_bytes());
    let mut bytes = ip;
    let start = bytes.len();
    bytes.extend(transport);
    bytes.extend(payload(len));
    (start, bytes)
}

fn to_be_cut(gso_type: u8, start: usize, offset: usize, headers: usize, size: u16) -> NetHeader {
    NetHeader {
        flags: NetHeader::NEEDS_CSUM,
        gso_type,
        hdr_len: headers as u16,
        gso_size: size,
        csum_start: start as u16,
        csum_offset: offset as u16,
        ..NetHeader::default()
    }
}

fn segment(six: bool, gso_type: u8, flags: u8, len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    let (start, bytes) = packet(six, 6, tcp(flags), 16, len);
    let mut frame = ethernet(if six { 0x86dd } else { 0x0800 });
    frame.extend(bytes);
    (to_be_cut(gso_type, 14 + start, 16, 14 + start + 20, size), frame)
}

/// `len` bytes by TCP over IPv4, to be cut into pieces of `size`.
pub(super) fn tcp4(len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    segment(false, 1, 0x10, len, size)
}

/// The same, over IPv6.
pub(super) fn tcp6(len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    segment(true, 4, 0x10, len, size)
}

/// The same over IPv4, with a congestion mark (CWR).
pub(super) fn tcp4_ecn(len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    segment(false, 1 | NetHeader::ECN, 0x90, len, size)
}

/// `len` bytes by UDP, to be cut into datagrams of `size`.
pub(super) fn uso(six: bool, len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    let (start, bytes) = packet(six, 17, udp(len, 2000), 6, len);
    let mut frame = ethernet(if six { 0x86dd } else { 0x0800 });
    frame.extend(bytes);
    (to_be_cut(5, 14 + start, 6, 14 + start + 8, size), frame)
}

/// The same over IPv4, to be cut into fragments.
pub(super) fn ufo(len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    let (_, frame) = uso(false, len, size);
    (to_be_cut(3, 34, 6, 34, size), frame)
}

/// One datagram over IPv4 to this port, whose checksum is not complete.
pub(super) fn unsummed(to: u16) -> (NetHeader, Vec<u8>) {
    let (start, bytes) = packet(false, 17, udp(32, to), 6, 32);
    let mut frame = ethernet(0x0800);
    frame.extend(bytes);
    (NetHeader { gso_size: 0, hdr_len: 0, ..to_be_cut(0, 14 + start, 6, 0, 0) }, frame)
}

/// `len` bytes by TCP over IPv4, in VXLAN over UDP and IPv4.
pub(super) fn tunnel(len: usize, size: u16) -> (NetHeader, Vec<u8>) {
    let (inner, segment) = tcp4(len, size);
    let behind = 8 + segment.len();
    let mut frame = ethernet(0x0800);
    frame.extend(ip4(17, 8 + behind));
    frame.extend(udp(behind, 4789));
    frame.extend([0x08, 0, 0, 0, 0, 0, 42, 0]);
    let outer = frame.len();
    frame.extend(segment);
    let header = NetHeader {
        gso_type: inner.gso_type | NetHeader::UDP_TUNNEL_IPV4,
        hdr_len: inner.hdr_len + outer as u16,
        csum_start: inner.csum_start + outer as u16,
        outer_th_offset: 34,
        inner_nh_offset: outer as u16 + 14,
        ..inner
    };
    (header, frame)
}

/// Whether the checksum of this UDP or TCP packet over IPv4 is complete and right.
pub(super) fn is_summed(frame: &[u8]) -> bool {
    let ip = &frame[14..];
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let transport = &ip[20..total];
    let pseudo = pseudo(&ip[12..20], ip[9], transport.len());
    let all = u32::from(pseudo) + u32::from(sum(transport));
    (all & 0xffff) + (all >> 16) == 0xffff
}
