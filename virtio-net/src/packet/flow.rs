//! Which flow a packet belongs to, for automatic receive steering.

use super::{Addresses, Layers, Transport};

/// A number that packets of a flow have, in both directions; none where the frame has no packet of IP.
///
/// Ports count where they are known: fragments go by their addresses.
#[inline]
pub(crate) fn flow(layers: &Layers) -> Option<u32> {
    let network = layers.network.as_ref()?;
    let (source, destination) = match network.addresses {
        Addresses::V4 { source, destination } => {
            (u64::from(u32::from_be_bytes(source)), u64::from(u32::from_be_bytes(destination)))
        }
        Addresses::V6 { source, destination } => (fold(source), fold(destination)),
    };
    let [a, b, c, d] = network.transport.as_ref().map_or([0; 4], |transport: &Transport| transport.ports);
    let one = mix(source, u16::from_be_bytes([a, b]));
    let other = mix(destination, u16::from_be_bytes([c, d]));
    // The ends have no order. A sum of what was mixed tells (a, b) from (a + x, b - x).
    let ends = one.wrapping_add(other) ^ u64::from(network.protocol);
    Some((ends.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32)
}

#[inline]
fn fold(address: [u8; 16]) -> u64 {
    let address = u128::from_be_bytes(address);
    (address as u64) ^ ((address >> 64) as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// Spreads an end of a flow over all bits.
#[inline]
fn mix(address: u64, port: u16) -> u64 {
    let mut value = address ^ (u64::from(port) << 40);
    value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}
