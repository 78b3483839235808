//! Frames with packets of IP, put together of headers.

use virtio_net::{GsoType, NetHeader};

use crate::frames::{OTHER, OWN, fold, sum};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const A4: [u8; 4] = [10, 0, 0, 1];
pub(crate) const B4: [u8; 4] = [10, 0, 0, 2];

/// A frame to the device around a packet of whichever version.
pub(crate) fn frame(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&OWN[..], &OTHER, &kind, packet].concat()
}

pub(crate) fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// A packet with a complete header checksum. `payload` is TCP or UDP, whose checksum becomes that of the pseudo header.
pub(crate) fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend([source, destination].concat());
    let checksum = !fold(sum(&packet));
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(with_pseudo(&[source, destination].concat(), protocol, payload));
    packet
}

pub(crate) fn ipv6(source: [u8; 16], destination: [u8; 16], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend([source, destination].concat());
    packet.extend(with_pseudo(&[source, destination].concat(), protocol, payload));
    packet
}

/// Where the checksum is in a header.
fn checksum_at(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

fn with_pseudo(addresses: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    if matches!(protocol, TCP | UDP) {
        let pseudo = fold(sum(addresses) + u32::from(protocol) + payload.len() as u32);
        let at = checksum_at(protocol);
        payload[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
    }
    payload
}

pub(crate) fn tcp(ports: (u16, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// A frame in a tunnel over UDP and IPv4, by VXLAN: the tunnel's header of UDP is at [`OUTER`], the packet in it at [`INNER`].
/// The tunnel's own checksum is that of the pseudo header.
pub(crate) fn vxlan(inner: &[u8]) -> Vec<u8> {
    let content = [&[8, 0, 0, 0, 0, 0, 1, 0][..], inner].concat();
    frame(&ipv4(B4, A4, UDP, &udp((5000, 4789), &content)))
}

/// The same with a checksum of zero, which is none.
pub(crate) fn vxlan_without_checksum(inner: &[u8]) -> Vec<u8> {
    let mut frame = vxlan(inner);
    frame[40..42].fill(0);
    frame
}

pub(crate) const OUTER: u16 = 34;
pub(crate) const INNER: u16 = 64;

/// The header that leaves the checksum of what is at `start` to the driver, and the cutting into pieces of `size`.
pub(crate) fn to_cut(gso: GsoType, start: u16, size: u16) -> NetHeader {
    let csum_offset = if matches!(gso, GsoType::Tcp4 | GsoType::Tcp6) { 16 } else { 6 };
    NetHeader {
        flags: NetHeader::NEEDS_CSUM,
        gso_type: gso as u8,
        gso_size: size,
        csum_start: start,
        csum_offset,
        ..NetHeader::default()
    }
}

/// Whether the checksum of TCP or UDP in a frame without tags, options and extension headers is complete.
pub(crate) fn is_complete(frame: &[u8]) -> bool {
    let (addresses, protocol, transport) = match frame[12] {
        0x08 => (&frame[26..34], frame[23], &frame[34..]),
        _ => (&frame[22..54], frame[20], &frame[54..]),
    };
    fold(sum(addresses) + u32::from(protocol) + transport.len() as u32 + sum(transport)) == 0xffff
}
