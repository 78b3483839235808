//! A network device out of arbitrary bytes: one input is a network, a device on it, and a program of what a driver, the
//! network and the embedder do.
//!
//! Beside that nothing panics, it is checked that
//!
//! - memory is what it was, but for buffers that are with the device to be written, and its parts of the rings;
//! - each chain comes back once, with a length that fits it: none for what was sent, whole buffers but for the last one of a
//!   frame, a possible answer of the control queue;
//! - what the network is given are frames that the driver sent, in their order, with headers that make sense and ask for nothing
//!   that was not negotiated;
//! - what the driver is given without work to do came from the network, all of its buffers at once;
//! - each frame of the network that the device has taken was given to the driver or counted as lost;
//! - after a reset the network is as it was at the beginning, and nothing is written;
//! - in the end frames go through in both directions.

mod check;
mod device;
mod frame;
pub(crate) mod input;
mod look;
mod network;
mod run;
pub(crate) mod seeds;
pub(crate) mod step;

use crate::device::Lifecycle;
pub(crate) use run::run;

/// What became of an input: so that a test can see that inputs get somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Frames that the network was given.
    pub sent: u64,
    /// Frames that the driver was given.
    pub received: u64,
    /// Commands that were answered with success.
    pub commands: u64,
    /// Commands that were answered with an error.
    pub refused: u64,
    /// Chains that came back with nothing in them where something could have been.
    pub empty: u64,
    /// What happened to the device.
    pub lifecycle: Lifecycle,
}
