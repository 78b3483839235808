//! A block device out of arbitrary bytes: one input is a disk, a device on it, and a program of what a driver and the
//! embedder do.
//!
//! Beside that nothing panics, it is checked that
//!
//! - memory is what it was, but for buffers that are with the device to be written, and its parts of the rings;
//! - each chain comes back once, with a length that fits it and a status that its type can have;
//! - a disk in memory contains what was written successfully, and reads get what it contained;
//! - zones keep their rules and limits;
//! - after a reset nothing is in flight;
//! - in the end everything is answered, and a plain read is served.

mod device;
pub(crate) mod disk;
pub(crate) mod input;
mod model;
mod request;
mod run;
pub(crate) mod seeds;
mod slow;

use crate::device::Lifecycle;
pub(crate) use run::{run, run_on};

/// What became of an input: so that a test can see that inputs get somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Chains that the device was given.
    pub sent: u64,
    /// Those that came back.
    pub answered: u64,
    /// Those that it answered with success.
    pub succeeded: u64,
    /// What happened to the device.
    pub lifecycle: Lifecycle,
    /// Whether it stopped for an error of the storage.
    pub stopped: bool,
}
