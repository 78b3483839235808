//! A disk in a running machine.

use virtio_blk::BlockHandle;

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
        let counts = self.handle.counts();
        let counts = counts.iter().map(|(name, count)| (name.to_owned(), serde_json::Value::from(count)));
        let stopped = self.handle.stopped().map(|stopped| ("stopped".to_owned(), stopped.to_string().into()));
        serde_json::Value::from_iter(counts.chain(stopped)).to_string()
    }
}
