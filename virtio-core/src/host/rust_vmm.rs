//! Queues in the split layout, as the crate virtio-queue has their state.

use serde::{Deserialize, Serialize};

use super::{QueueConfig, QueueState};
use crate::ring::QueuePosition;

/// The state of a queue in the split layout, with what a [`virtio_queue::QueueState`] has beside it. Converts from one, and
/// into one.
///
/// - The position of a queue that is not enabled is not carried over, in neither direction: such a queue begins anew.
/// - Nor is it carried over that the driver has reset a queue of a live device by itself.
/// - virtio-queue does not say whether an interrupt was decided on for all used buffers: a queue that comes from there
///   interrupts the driver with its first batch. Both sides have to decide on what they have published
///   (`needs_notification`, [`Virtqueue::publish`](crate::Virtqueue::publish)) before they are saved.
/// - Chains that were taken and not given back stay with whoever took them. At most as many as the queue's size are
///   possible; nobody else will answer them.
///
/// Alignment and place of the areas are checked when the queue is enabled, as those that a driver writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitQueueState {
    /// The part that a [`HostState`](super::HostState) has for each queue.
    pub queue: QueueState,
    /// The largest size that the queue can have, in descriptors.
    pub max_size: u16,
    /// Whether EVENT_IDX was negotiated; in a `HostState` this is one of the features accepted.
    pub event_idx: bool,
}

/// The state of a queue is none that a queue in the split layout can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitQueueError {
    /// The largest size is not a power of two up to 32768.
    #[error("a queue cannot have the largest size {max_size}")]
    MaxSize {
        /// The largest size.
        max_size: u16,
    },
    /// The size is not a power of two, or larger than the largest.
    #[error("a queue cannot have the size {size} with the largest size {max_size}")]
    Size {
        /// The size.
        size: u16,
        /// The largest size.
        max_size: u16,
    },
    /// More chains were taken and not given back than there can be.
    #[error("a queue of {size} cannot have taken {available} chains and given back {used}")]
    Position {
        /// The next entry of the available ring to take.
        available: u16,
        /// The next entry of the used ring to fill.
        used: u16,
        /// The queue size.
        size: u16,
    },
    /// The position is one in the packed layout.
    #[error("a queue in the packed layout has no place there: {position:?}")]
    Packed {
        /// The position.
        position: QueuePosition,
    },
}

impl TryFrom<virtio_queue::QueueState> for SplitQueueState {
    type Error = SplitQueueError;

    fn try_from(state: virtio_queue::QueueState) -> Result<SplitQueueState, SplitQueueError> {
        let virtio_queue::QueueState {
            max_size,
            next_avail: available,
            next_used: used,
            event_idx_enabled: event_idx,
            size,
            ready: enabled,
            desc_table: descriptor_area,
            avail_ring: driver_area,
            used_ring: device_area,
        } = state;
        check_sizes(size, max_size)?;
        let position = enabled.then_some(QueuePosition::Split { available, used, decided: false });
        if enabled {
            check_position(available, used, size)?;
        }
        let config = QueueConfig { size, descriptor_area, driver_area, device_area };
        let queue = QueueState { config, enabled, awaits_enable: false, position };
        Ok(SplitQueueState { queue, max_size, event_idx })
    }
}

impl TryFrom<SplitQueueState> for virtio_queue::QueueState {
    type Error = SplitQueueError;

    fn try_from(state: SplitQueueState) -> Result<virtio_queue::QueueState, SplitQueueError> {
        let SplitQueueState { queue, max_size, event_idx } = state;
        let QueueState { config, enabled, awaits_enable: _, position } = queue;
        let QueueConfig { size, descriptor_area, driver_area, device_area } = config;
        check_sizes(size, max_size)?;
        let (next_avail, next_used) = match position {
            Some(position @ QueuePosition::Packed { .. }) => return Err(SplitQueueError::Packed { position }),
            Some(QueuePosition::Split { available, used, decided: _ }) if enabled => (available, used),
            _ => (0, 0),
        };
        check_position(next_avail, next_used, size)?;
        Ok(virtio_queue::QueueState {
            max_size,
            next_avail,
            next_used,
            event_idx_enabled: event_idx,
            size,
            ready: enabled,
            desc_table: descriptor_area,
            avail_ring: driver_area,
            used_ring: device_area,
        })
    }
}

/// RING-SPLIT-01
fn check_sizes(size: u16, max_size: u16) -> Result<(), SplitQueueError> {
    // The largest power of two that there is in 16 bits is 32768.
    if !max_size.is_power_of_two() {
        return Err(SplitQueueError::MaxSize { max_size });
    }
    if !size.is_power_of_two() || size > max_size {
        return Err(SplitQueueError::Size { size, max_size });
    }
    Ok(())
}

fn check_position(available: u16, used: u16, size: u16) -> Result<(), SplitQueueError> {
    if available.wrapping_sub(used) > size {
        return Err(SplitQueueError::Position { available, used, size });
    }
    Ok(())
}
