//! What can go wrong between a host and its embedder.

use std::io;

use crate::features::Features;

/// A host could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A queue's largest size is not a power of two up to 32768.
    #[error("queue {queue} cannot have the largest size {size}")]
    QueueSize {
        /// The queue's number.
        queue: usize,
        /// The size that the device wants.
        size: u16,
    },
    /// More queues than have a number.
    #[error("{0} queues are too many")]
    TooManyQueues(usize),
    /// The embedder wants features to be offered that the device's queues, or the transport, do not understand.
    #[error("{0:?} cannot be offered")]
    Features(Features),
    /// No event could be made.
    #[error("cannot make an event")]
    Event(#[from] io::Error),
}

/// A device could not be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// Requests are still in flight after the time allowed; the device goes on.
    #[error("requests are still in flight")]
    InFlight,
    /// A task has ended by itself, so where its queues stand is not known; the device needs a reset.
    #[error("the position of a queue is not known")]
    PositionUnknown,
    /// A reset has begun and not ended.
    #[error("the device is being reset")]
    Resetting,
}
