//! Frames, put together of headers.

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ETHER_IPV4: u16 = 0x0800;
pub(super) const ETHER_IPV6: u16 = 0x86dd;

/// A frame with `tags`: of each the type and what it says.
pub(super) fn ethernet(tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x52, 0x54, 0, 1, 2, 3, 0x52, 0x54, 0, 9, 8, 7];
    for (kind, control) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A frame without tags around a packet of whichever version.
pub(super) fn frame(packet: &[u8]) -> Vec<u8> {
    ethernet(&[], if packet[0] >> 4 == 4 { ETHER_IPV4 } else { ETHER_IPV6 }, packet)
}

pub(super) const A4: [u8; 4] = [10, 0, 0, 1];
pub(super) const B4: [u8; 4] = [10, 0, 0, 2];

pub(super) fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// From [`A4`] to [`B4`], with a wrong checksum.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_between(A4, B4, &[], protocol, payload)
}

pub(super) fn ipv4_between(
    source: [u8; 4],
    destination: [u8; 4],
    options: &[u8],
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let len = 20 + options.len();
    let mut packet = vec![0x40 | (len / 4) as u8, 0];
    packet.extend(((len + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0xab, 0xcd]);
    packet.extend([source, destination].concat());
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// From fd00::1 to fd00::2.
pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_between(v6("fd00::1"), v6("fd00::2"), next, payload)
}

pub(super) fn ipv6_between(source: [u8; 16], destination: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([source, destination].concat());
    packet.extend(payload);
    packet
}

/// An extension header of IPv6 before `payload`: `content` is what follows its length, 6 bytes and eights of them.
pub(super) fn extension(next: u8, content: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(content.len() % 8, 6);
    [&[next, (content.len() / 8) as u8], content, payload].concat()
}

/// A segment with a checksum to be completed, but without its pseudo header.
pub(super) fn tcp(ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend([0xff, 0xff, 0xff, 0, 5, 6, 7, 8]);
    segment.extend([((5 + options.len() / 4) << 4) as u8, flags, 1, 1, 0, 0, 0, 0]);
    segment.extend(options);
    segment.extend(payload);
    segment
}

pub(super) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}
