//! What the bytes of an input mean. Numbers are little-endian; what is missing at the end is zero.

use virtio_core::Features;

use crate::device::Rings;
use crate::input::Input;

/// At most so many steps are run.
pub(crate) const MOST_STEPS: usize = 64;

/// What an input begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    /// See the constants.
    pub(crate) network: u8,
    pub(crate) rings: Rings,
    /// The features of a network device that the driver takes, of those offered: 0 to 23, and 50 to 81.
    pub(crate) features: [u8; 7],
}

impl Header {
    /// Frames are put into the driver's buffers.
    pub(crate) const FILLS: u8 = 1;
    /// The network steers.
    pub(crate) const STEERS: u8 = 2;
    /// There are limits on the rate.
    pub(crate) const LIMITED: u8 = 4;
    /// There is an MTU of 1500.
    pub(crate) const MTU: u8 = 8;
    /// The network has no offloads.
    pub(crate) const PLAIN: u8 = 16;

    pub(crate) fn read(input: &mut Input<'_>) -> Header {
        Header { network: input.u8(), rings: Rings::read(input), features: input.array() }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.network, self.rings.0]);
        bytes.extend(self.features);
    }

    pub(crate) fn has(&self, bit: u8) -> bool {
        self.network & bit != 0
    }
}

/// The features of a network device that these bytes name.
pub(crate) fn own(features: [u8; 7]) -> Features {
    let [a, b, c, d, e, f, g] = features;
    let low = u128::from(u32::from_le_bytes([a, b, c, 0]));
    let high = u128::from(u32::from_le_bytes([d, e, f, g]));
    Features::from_bits(low | high << 50)
}
