//! The checksum of IP, TCP and UDP: the complement of a ones' complement sum of words.

#[cfg(test)]
use super::bytes::array;
use super::bytes::put;
use super::network::protocol;
use super::{Addresses, Malformed, Network, Protocol};

/// A sum of words of two bytes.
///
/// They are taken as this machine has them: in such a sum, the order of bytes matters only where it becomes bytes again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// The sum with `bytes`: words from the first of them on. Behind an odd one at the end there is a zero.
    #[must_use]
    pub(crate) fn add(self, bytes: &[u8]) -> Sum {
        let (blocks, rest) = bytes.as_chunks::<32>();
        // Halves of 32 bits do not run over, and four sums can be made at once.
        let mut sums = [0_u64; 4];
        for block in blocks {
            for (sum, bytes) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
                let word = u64::from_ne_bytes(*bytes);
                *sum += (word & 0xffff_ffff) + (word >> 32);
            }
        }
        let (words, last) = rest.as_chunks::<2>();
        let mut sum: u64 = words.iter().map(|word| u64::from(u16::from_ne_bytes(*word))).sum();
        if let [last] = last {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        sums.into_iter().fold(self.word(sum), Sum::word)
    }

    /// The sum with a number of two bytes.
    #[must_use]
    pub(crate) fn number(self, number: u16) -> Sum {
        self.word(u64::from(u16::from_ne_bytes(number.to_be_bytes())))
    }

    fn word(self, word: u64) -> Sum {
        let (sum, carry) = self.0.overflowing_add(word);
        Sum(sum + u64::from(carry))
    }

    fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// What a field for a part of a sum holds.
    #[cfg(test)]
    pub(crate) fn partial(self) -> [u8; 2] {
        self.fold().to_ne_bytes()
    }

    /// What the field for the checksum of a header of IPv4 holds.
    pub(crate) fn complement(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    /// What a field for the checksum of a segment or a datagram holds: zero says that there is none for UDP, and all ones are
    /// the same number.
    pub(crate) fn checksum(self) -> [u8; 2] {
        match self.complement() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        }
    }
}

/// Completes the checksum at `csum_offset` from `csum_start`, where a part of the sum is.
///
/// # Errors
/// Where that is not in the frame; it is as it was.
pub(crate) fn complete(frame: &mut [u8], csum_start: u16, csum_offset: u16) -> Result<(), Malformed> {
    let (start, at) = place(frame.len(), csum_start, csum_offset)?;
    let sum = Sum::default().add(frame.get(start..).unwrap_or_default());
    put(frame, at, sum.checksum());
    Ok(())
}

/// DRV-NET-TX-08: where what is summed starts, and where the checksum is, in a frame of `len` bytes.
pub(super) fn place(len: usize, csum_start: u16, csum_offset: u16) -> Result<(usize, usize), Malformed> {
    let start = usize::from(csum_start);
    let at = start + usize::from(csum_offset);
    if at + 2 > len {
        return Err(Malformed::Checksum { start: csum_start, offset: csum_offset, len });
    }
    Ok((start, at))
}

/// The sum of what a checksum covers beside a segment or datagram of `len` bytes.
pub(crate) fn pseudo_header(packet: &Network, protocol: Protocol, len: usize) -> Sum {
    let sum = match packet.addresses {
        Addresses::V4 { source, destination } => Sum::default().add(&source).add(&destination),
        Addresses::V6 { source, destination } => {
            // The ends, not who has the packet now.
            let source = packet.home.unwrap_or(source);
            let destination = packet.routing.filter(|_| packet.detour).unwrap_or(destination);
            Sum::default().add(&source).add(&destination)
        }
    };
    let protocol = match protocol {
        Protocol::Tcp { .. } => protocol::TCP,
        Protocol::Udp => protocol::UDP,
    };
    // The length has 32 bits there with IPv6, and needs no more than 16 but before a frame is cut.
    sum.number((len >> 16) as u16).number(len as u16).number(u16::from(protocol))
}

/// NET-RX-19: whether the checksum of what `packet` carries, `len` bytes of it, is the sum of the pseudo header alone.
#[cfg(test)]
pub(crate) fn is_partial(head: &[u8], packet: &Network, len: usize) -> bool {
    let Some(transport) = &packet.transport else { return false };
    let Some(field) = array(head, transport.at + transport.checksum_offset()) else { return false };
    // Zero and all ones are the same number.
    let number = |bytes: [u8; 2]| u16::from_ne_bytes(bytes) % u16::MAX;
    number(field) == number(pseudo_header(packet, transport.protocol, len).partial())
}
