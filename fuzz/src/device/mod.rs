//! A device behind a driver, whatever its kind: what is the same for all that are made out of arbitrary bytes.
//!
//! | | |
//! |---|---|
//! | `rings` | what an input says of rings |
//! | `raw` | chains of buffers that may be anywhere |
//! | `stage` | the host, its memory, the driver's side of its queues |
//! | `subject` | what can be done with a device, and the checks whenever it has worked |

mod raw;
mod rings;
mod stage;
mod subject;

pub(crate) use raw::Raw;
pub(crate) use rings::Rings;
pub(crate) use stage::{Lane, Sent, Stage, host};
pub(crate) use subject::Subject;

/// What happened to a device of whatever kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lifecycle {
    /// Resets of the device.
    pub resets: u64,
    /// Resets of a queue.
    pub queue_resets: u64,
    /// Times that it was paused.
    pub paused: u64,
    /// Times that another device took over.
    pub moved: u64,
    /// Whether a ring broke.
    pub broken: bool,
}
