//! What the queues of this crate understand.

use super::Virtqueue;
use crate::features::Features;

impl Virtqueue {
    /// The features of rings and of their notifications that a queue understands: all that a device whose queues are
    /// of this type can be offered with.
    pub const FEATURES: Features = Features::from_bits(
        Features::INDIRECT_DESC.bits()
            | Features::EVENT_IDX.bits()
            | Features::RING_PACKED.bits()
            | Features::IN_ORDER.bits()
            | Features::RING_RESET.bits()
            | Features::NOTIFICATION_DATA.bits()
            | Features::NOTIF_CONFIG_DATA.bits(),
    );

    /// Those of them that suit every device: offered unless the embedder says otherwise.
    pub(crate) const USUAL: Features =
        Features::from_bits(Features::INDIRECT_DESC.bits() | Features::EVENT_IDX.bits() | Features::RING_RESET.bits());
}
