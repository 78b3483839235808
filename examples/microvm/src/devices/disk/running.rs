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
        if self.handle.resume() { Ok(()) } else { Err("the disk has not stopped".to_owned()) }
    }

    fn stats(&self) -> String {
        let mut stats = json(&self.handle.counts());
        if let (Some(stopped), Some(stats)) = (self.handle.stopped(), stats.as_object_mut()) {
            stats.insert("stopped".to_owned(), stopped.to_string().into());
        }
        stats.to_string()
    }
}

fn json(counts: &BlockCounts) -> serde_json::Value {
    serde_json::json!({
        "reads": counts.reads,
        "read_bytes": counts.read_bytes,
        "writes": counts.writes,
        "written_bytes": counts.written_bytes,
        "flushes": counts.flushes,
        "ids": counts.ids,
        "lifetimes": counts.lifetimes,
        "discards": counts.discards,
        "discarded_bytes": counts.discarded_bytes,
        "write_zeroes": counts.write_zeroes,
        "zeroed_bytes": counts.zeroed_bytes,
        "secure_erases": counts.secure_erases,
        "erased_bytes": counts.erased_bytes,
        "zone_reports": counts.zone_reports,
        "zone_commands": counts.zone_commands,
        "zone_appends": counts.zone_appends,
        "zone_errors": counts.zone_errors,
        "refused": counts.refused,
        "unsupported": counts.unsupported,
        "failed": counts.failed,
        "ignored": counts.ignored,
        "held": counts.held,
        "merged": counts.merged,
        "overdue": counts.overdue,
        "throttled": counts.throttled,
    })
}
