//! Frames, as inputs make them.

use virtio_net::NetHeader;

use crate::input::Input;

/// The device's address.
pub(crate) const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];

/// A frame in the making, with what goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What is in it: see [`Frame::bytes`].
    pub(crate) kind: u8,
    /// Bytes behind the headers.
    pub(crate) len: u16,
    /// Flags and GSO type.
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    /// Where headers end, pieces, checksum, tunnels: as they are, or in steps of 256 with the highest bit.
    pub(crate) numbers: [u8; 6],
}

impl Frame {
    pub(crate) fn read(input: &mut Input<'_>) -> Frame {
        Frame {
            kind: input.u8(),
            len: input.u16(),
            flags: input.u8(),
            gso_type: input.u8(),
            numbers: if input.u8() & 1 == 0 { [54, 100, 34, 16, 0, 0] } else { input.array() },
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend(self.len.to_le_bytes());
        out.extend([self.flags, self.gso_type]);
        if self.numbers == [54, 100, 34, 16, 0, 0] {
            out.push(0);
        } else {
            out.push(1);
            out.extend(self.numbers);
        }
    }

    pub(crate) fn header(&self) -> NetHeader {
        let number = |at: usize| {
            let byte = u16::from(self.numbers[at]);
            if byte & 0x80 == 0 { byte } else { (byte & 0x7f) << 9 | byte }
        };
        NetHeader {
            flags: self.flags,
            gso_type: self.gso_type,
            hdr_len: number(0),
            gso_size: number(1),
            csum_start: number(2),
            csum_offset: number(3),
            outer_th_offset: number(4),
            inner_nh_offset: number(5),
        }
    }

    /// The frame: to the device, somebody else, a group or everybody (two bits), with a tag (one), and then nothing known, IPv4
    /// with TCP or UDP, or IPv6 with TCP (two), whose last port the rest of the bits say.
    pub(crate) fn bytes(&self, most: usize) -> Vec<u8> {
        let mut frame = [OWN, OTHER, [1, 0, 0x5e, 0, 0, 7], [0xff; 6]][usize::from(self.kind & 3)].to_vec();
        frame.extend(OTHER);
        if self.kind & 4 != 0 {
            frame.extend([0x81, 0, 0, self.kind >> 5]);
        }
        let len = usize::from(self.len).min(most);
        match self.kind >> 3 & 3 {
            0 => frame.extend([0x88, 0xb5]),
            3 => frame.extend(ipv6(len, self.port())),
            which => frame.extend(ipv4(which == 1, len, self.port())),
        }
        frame.extend((0..len).map(|at| (at / 251) as u8 ^ (at as u8).wrapping_mul(31) ^ self.kind));
        frame
    }

    /// The lower byte of the port.
    fn port(&self) -> u8 {
        80 + (self.kind >> 5)
    }
}

/// Type and headers of a packet of IPv4 with a segment of TCP, or a datagram of UDP.
fn ipv4(tcp: bool, len: usize, port: u8) -> Vec<u8> {
    let (protocol, headers) = if tcp { (6, 40) } else { (17, 28) };
    let mut bytes = vec![8, 0, 0x45, 0];
    bytes.extend((len as u16).wrapping_add(headers).to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend([10, 0, 0, 2, 10, 0, 0, 1]);
    bytes.extend([0, 80, 0, port]);
    match tcp {
        true => bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]),
        false => bytes.extend([0, (len + 8) as u8, 0, 0]),
    }
    bytes
}

/// The same for TCP over IPv6.
fn ipv6(len: usize, port: u8) -> Vec<u8> {
    let mut bytes = vec![0x86, 0xdd, 0x60, 0, 0, 0];
    bytes.extend((len as u16).wrapping_add(20).to_be_bytes());
    bytes.extend([6, 64]);
    bytes.extend([0xfd; 31]);
    bytes.push(1);
    bytes.extend([0, 80, 0, port]);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    bytes
}
