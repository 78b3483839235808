//! Frames, as tests make them.

/// The device's own address in tests.
pub(crate) const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
/// Somebody else's.
pub(crate) const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const GROUP: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 5];

/// A frame of `len` bytes of no known protocol, to `destination`, in which no two pieces are the same.
pub(crate) fn plain(destination: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend(OTHER);
    frame.extend([0x88, 0xb5]);
    frame.extend((14..len).map(|at| (at / 251) as u8 ^ (at as u8).wrapping_mul(31)));
    frame
}

/// The same with a VLAN tag.
pub(crate) fn tagged(destination: [u8; 6], vlan: u16, len: usize) -> Vec<u8> {
    let mut frame = plain(destination, len - 4);
    frame.splice(12..12, [0x81, 0x00, (vlan >> 8) as u8, vlan as u8]);
    frame
}

/// A frame with a segment of TCP over IPv4, from port `source` of 10.0.0.2 to port 80 of 10.0.0.1, with `payload`. The checksum
/// of TCP is that of the pseudo header alone, that of IP complete.
pub(crate) fn tcp4(destination: [u8; 6], source: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend(OTHER);
    frame.extend([0x08, 0x00]);
    let total = (40 + payload.len()) as u16;
    let mut ip = vec![0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
    let checksum = !fold(sum(&ip));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(&ip);
    let len = 20 + payload.len() as u32;
    let pseudo = fold(sum(&ip[12..20]) + 6 + len);
    frame.extend(source.to_be_bytes());
    frame.extend(80u16.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 0xff, 0xff]);
    frame.extend(pseudo.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Whether the checksum of TCP in such a frame is complete.
pub(crate) fn tcp4_is_complete(frame: &[u8]) -> bool {
    let segment = &frame[34..];
    fold(sum(&frame[26..34]) + 6 + segment.len() as u32 + sum(segment)) == 0xffff
}

/// The sum of words in network order.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum()
}

pub(crate) fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
