//! From a `--disk` to a device in a place of the machine.

use super::board::Board;
use super::control::Controls;
use crate::cli::disk::Disk;
use crate::error::Error;

/// Puts a block device for `disk` into the machine and makes it known to the control socket.
pub(crate) fn disk(_board: &mut Board, _controls: &mut Controls, disk: &Disk) -> Result<(), Error> {
    Err(Error::Disk { path: disk.path.clone(), reason: "this build has no block device".to_owned() })
}
