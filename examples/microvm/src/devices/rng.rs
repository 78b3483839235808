//! From a `--rng` to an entropy device in a place of the machine.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use custom_device::Entropy;
use virtio_core::{DeviceHost, GuestRam, ThreadRuntime};

use super::attach::attach as put;
use super::board::Board;
use crate::cli::rng::Rng;
use crate::error::Error;

/// Puts `entropy`, which is `rng` opened, into the machine.
pub(crate) fn attach(board: &mut Board, rng: &Rng, entropy: Entropy) -> Result<(), Error> {
    let memory = GuestRam::from_vm_memory(&board.memory).map_err(bad(rng))?;
    let runtime = Arc::new(ThreadRuntime::named("virtio-rng"));
    let host = DeviceHost::builder(entropy, memory, runtime).name(rng.source.to_string_lossy());
    put(board, rng.transport, host, bad(rng))
}

/// Opens the source of `rng` as an entropy device. There need not be a machine yet.
pub(crate) fn open(rng: &Rng) -> Result<Entropy, Error> {
    // A source that has nothing says so and is asked again: it does not keep the device's thread.
    let source = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&rng.source).map_err(bad(rng))?;
    if source.metadata().map_err(bad(rng))?.is_dir() {
        return Err(bad(rng)("is a folder"));
    }
    Ok(Entropy::new(source))
}

/// For `map_err`: the source, and why it cannot be had.
fn bad<E: Display>(rng: &Rng) -> impl FnOnce(E) -> Error {
    |reason| Error::Device { option: "--rng", path: rng.source.clone(), reason: reason.to_string() }
}
