//! What a disk in a file is like and can do.

use std::fs::Metadata;
use std::sync::atomic::Ordering::Relaxed;

use super::super::sys::{self, BlockNumber};
use super::super::{Capabilities, RangeLimits, Topology};
use super::disk::Disk;
use super::ranges::{DISCARD_MOST, ZERO_MOST};

/// Looks at the disk, which has `size` bytes.
pub(super) fn capabilities(disk: &Disk, size: u64, metadata: &Metadata, secure_erase: bool) -> Capabilities {
    let _ = (size, metadata, secure_erase, DISCARD_MOST, ZERO_MOST);
    Capabilities { read_only: disk.is_read_only(), merge: true, ..Capabilities::default() }
}
