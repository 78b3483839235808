//! How far a queue has got.

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
