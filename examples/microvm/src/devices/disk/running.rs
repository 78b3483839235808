//! A disk in a running machine.

use virtio_blk::{BlockCounts, BlockHandle};

use super::super::control::DiskControl;
use super::storage::Growth;

/// Unit of a disk's size in bytes.
pub(super) const SECTOR: u64 = 512;

/// A disk, and how the size of its storage is changed.
pub(super) struct Running {
    pub(super) growth: Growth,
    pub(super) handle: BlockHandle,
}

impl DiskControl for Running {
    fn resize(&self, bytes: u64) -> Result<(), String> {
        if let Growth::Never(reason) = self.growth {
            return Err(reason.to_owned());
        }
        if !bytes.is_multiple_of(SECTOR) {
            return Err(format!("{bytes} bytes are not a multiple of {SECTOR}"));
        }
        // What becomes smaller does so for the guest first.
        if bytes < self.handle.capacity() * SECTOR {
            self.handle.resize(bytes).map_err(|error| error.to_string())?;
        }
        self.growth.set_len(bytes)?;
        self.handle.resize(bytes).map_err(|error| error.to_string())
    }

    fn resume(&self) -> Result<(), String> {
        Err("the disk has not stopped".to_owned())
    }

    fn stats(&self) -> String {
        json(&self.handle.counts())
    }
}

fn json(counts: &BlockCounts) -> String {
    serde_json::json!({
        "reads": counts.reads,
        "read_bytes": counts.read_bytes,
        "writes": counts.writes,
        "written_bytes": counts.written_bytes,
        "flushes": counts.flushes,
        "ids": counts.ids,
        "refused": counts.refused,
        "unsupported": counts.unsupported,
        "failed": counts.failed,
    })
    .to_string()
}
