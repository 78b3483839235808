//! How far a queue has got.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// How far a queue has got: what it is built with to go on, here or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueuePosition {
    /// A queue in the split layout. Both count on beyond the queue size, and wrap at 65536.
    Split {
        /// The next entry of the available ring to take.
        available: u16,
        /// The next entry of the used ring to fill.
        used: u16,
        /// Whether it was decided for all used buffers if the driver is to be interrupted; if not, the next batch
        /// interrupts it.
        decided: bool,
    },
    /// A queue in the packed layout.
    Packed {
        /// The slot of the next descriptor to take.
        available: u16,
        /// The driver's ring wrap counter there.
        available_wrap: bool,
        /// The slot of the next used descriptor to write.
        used: u16,
        /// The device's ring wrap counter there.
        used_wrap: bool,
        /// As in the split layout.
        decided: bool,
    },
}

/// The number of a queue in the split layout has more than 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{base:#x} is no index of an available ring")]
pub struct BadVringBase {
    /// The number.
    pub base: u32,
}

/// As one number, which vhost-user (`VHOST_USER_SET_VRING_BASE`, `VHOST_USER_GET_VRING_BASE`) and the kernel's vhost
/// (`VHOST_SET_VRING_BASE`, `VHOST_GET_VRING_BASE`) call the base of a vring.
///
/// | | split | packed |
/// |---|---|---|
/// | bits 0 to 14 | the available index | the available slot |
/// | bit 15 | its highest bit | the driver's ring wrap counter there |
/// | bits 16 to 30 | 0 | the used slot |
/// | bit 31 | 0 | the device's ring wrap counter there |
///
/// It does not say whether an interrupt was decided on for what is used: a queue that goes on from one interrupts the
/// driver with its first batch.
impl QueuePosition {
    /// Where a queue in the split layout starts.
    pub(super) const SPLIT_START: QueuePosition = QueuePosition::Split { available: 0, used: 0, decided: false };

    /// Where a queue in the packed layout starts: with wrap counters of 1 (RING-PACKED-11).
    pub(super) const PACKED_START: QueuePosition =
        QueuePosition::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true, decided: false };

    /// The base of a queue that has got here.
    pub fn vring_base(self) -> u32 {
        match self {
            // The used index is in the used ring.
            QueuePosition::Split { available, used: _, decided: _ } => available.into(),
            QueuePosition::Packed { available, available_wrap, used, used_wrap, decided: _ } => {
                half(available, available_wrap) | half(used, used_wrap) << 16
            }
        }
    }

    /// The position of a queue in the split layout, by its base and the used index in its used ring.
    ///
    /// Whether both fit together, and into the queue, is seen by [`Virtqueue::new`](super::Virtqueue::new).
    ///
    /// # Errors
    /// [`BadVringBase`] where the base has more than 16 bits.
    pub fn split_from_base(base: u32, used: u16) -> Result<QueuePosition, BadVringBase> {
        let available = u16::try_from(base).map_err(|_| BadVringBase { base })?;
        Ok(QueuePosition::Split { available, used, decided: false })
    }

    /// The position of a queue in the packed layout, by its base. Every number is one.
    ///
    /// Whether it fits into the queue is seen by [`Virtqueue::new`](super::Virtqueue::new).
    pub fn packed_from_base(base: u32) -> QueuePosition {
        let (available, available_wrap) = slot_and_wrap(base);
        let (used, used_wrap) = slot_and_wrap(base >> 16);
        QueuePosition::Packed { available, available_wrap, used, used_wrap, decided: false }
    }
}

/// A slot has 15 bits.
const SLOT: u16 = 0x7fff;

fn half(slot: u16, wrap: bool) -> u32 {
    u32::from(slot & SLOT) | u32::from(wrap) << 15
}

fn slot_and_wrap(half: u32) -> (u16, bool) {
    (half as u16 & SLOT, half & 1 << 15 != 0)
}
