//! What an input says of rings.

use virtio_core::Features;

use crate::input::Input;

/// One byte: features, how many queues or pairs of them, and in the two highest bits how long they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rings(pub(crate) u8);

impl Rings {
    pub(crate) const PACKED: u8 = 1;
    pub(crate) const EVENT_IDX: u8 = 2;
    pub(crate) const INDIRECT_DESC: u8 = 4;
    pub(crate) const IN_ORDER: u8 = 8;
    pub(crate) const RING_RESET: u8 = 16;
    pub(crate) const TWO_QUEUES: u8 = 32;

    pub(crate) fn read(input: &mut Input<'_>) -> Rings {
        Rings(input.u8())
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    pub(crate) fn is_packed(self) -> bool {
        self.has(Rings::PACKED)
    }

    /// How many queues, or pairs of them.
    pub(crate) fn queues(self) -> u16 {
        1 + u16::from(self.has(Rings::TWO_QUEUES))
    }

    pub(crate) fn size(self) -> u16 {
        [4, 8, 16, 64][usize::from(self.0 >> 6)]
    }

    /// The features of rings that the driver takes.
    pub(crate) fn features(self) -> Features {
        let pick = |bit, feature| if self.has(bit) { feature } else { Features::NONE };
        Features::VERSION_1
            | pick(Rings::PACKED, Features::RING_PACKED)
            | pick(Rings::EVENT_IDX, Features::EVENT_IDX)
            | pick(Rings::INDIRECT_DESC, Features::INDIRECT_DESC)
            | pick(Rings::IN_ORDER, Features::IN_ORDER)
            | pick(Rings::RING_RESET, Features::RING_RESET)
    }
}
