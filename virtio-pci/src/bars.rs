//! Base address registers.

use crate::builder::BarWidth;
use crate::header::{BARS, COMMAND, Image, MEMORY};

/// Where a BAR of the function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarPlacement {
    /// The BAR's number.
    pub bar: u8,
    /// Where the driver or the firmware has put it.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Whether the function answers there: memory decoding is enabled, and the register holds an address. Neither zero,
    /// where it starts, nor what is left in it while it is sized, is one.
    pub enabled: bool,
}

/// A BAR begins or ends to answer somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarChange {
    /// The BAR's number.
    pub bar: u8,
    /// Its length in bytes.
    pub size: u64,
    /// Where it was; none if it did not answer.
    pub from: Option<u64>,
    /// Where it is now; none if it does not answer.
    pub to: Option<u64>,
}

/// A memory BAR of the function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) index: u8,
    /// A power of two, 2 GiB at most.
    pub(crate) size: u64,
    pub(crate) width: BarWidth,
}

impl Bar {
    const TYPE_BITS: u32 = 0xf;
    const TYPE_64: u32 = 0b100;

    fn register(self) -> u16 {
        BARS + 4 * u16::from(self.index)
    }

    /// Puts the BAR's registers into the header. A driver learns the size from the address bits that stay zero.
    pub(crate) fn install(self, image: &mut Image) {
        let writable = !(self.size - 1);
        image.allow(self.register(), &(writable as u32 & !Bar::TYPE_BITS).to_le_bytes());
        if self.width == BarWidth::Bits64 {
            image.set(self.register(), &Bar::TYPE_64.to_le_bytes());
            image.allow(self.register() + 4, &((writable >> 32) as u32).to_le_bytes());
        }
    }

    /// Where the registers say that it is.
    pub(crate) fn placement(self, image: &Image) -> BarPlacement {
        let low = image.u32(self.register()) & !Bar::TYPE_BITS;
        let high = if self.width == BarWidth::Bits64 { image.u32(self.register() + 4) } else { 0 };
        let address = u64::from(high) << 32 | u64::from(low);
        // Ones in all bits that can be written are left by a driver that asks for the size, in one half or in both.
        let sizing = high == u32::MAX || (high == 0 && address + self.size == 1 << 32);
        let enabled = image.u16(COMMAND) & MEMORY != 0 && address != 0 && !sizing;
        BarPlacement { bar: self.index, address, size: self.size, enabled }
    }
}

/// What is different between two sets of placements.
pub(crate) fn changes(before: &[BarPlacement], after: &[BarPlacement]) -> Vec<BarChange> {
    let answers = |place: &BarPlacement| place.enabled.then_some(place.address);
    let pairs = before.iter().zip(after).filter(|(before, after)| answers(before) != answers(after));
    pairs
        .map(|(before, after)| BarChange {
            bar: after.bar,
            size: after.size,
            from: answers(before),
            to: answers(after),
        })
        .collect()
}
