//! Making a device.

use std::fmt;
use std::io;
use std::sync::Arc;

use virtio_core::{ConfigSpace, Features};

use crate::backend::{BlockBackend, Capabilities, Topology};
use crate::block::Block;
use crate::shared::Shared;
use crate::wire::{self, CONFIG_LEN, ID_LEN, SECTOR, field, put};

/// Descriptors of a request that are not data: its header and its status.
const FRAME: u16 = 2;

/// A device in the making. See [`Block::builder`](crate::Block::builder).
///
/// Send and Sync. [`build`](Self::build) asks the backend for its size.
#[must_use]
pub struct BlockBuilder {
    backend: Arc<dyn BlockBackend>,
    read_only: bool,
    serial: String,
    block_size: Option<u32>,
    topology: Option<Topology>,
    queues: u16,
    queue_size: u16,
    seg_max: Option<u16>,
    size_max: Option<u32>,
}

/// A device cannot be made like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The serial number is too long, or has a NUL byte.
    #[error("the serial number {serial:?} is not one of up to 20 bytes without NUL")]
    Serial {
        /// What was asked for.
        serial: String,
    },
    /// The block size is not a power of two from 512 to 65536.
    #[error("{size} is not a block size: a power of two from 512 to 65536 is")]
    BlockSize {
        /// What was asked for.
        size: u32,
    },
    /// There must be a queue.
    #[error("a block device has one queue at least")]
    NoQueues,
    /// The queue size is not a power of two from 4 to 32768.
    #[error("{size} is not a queue size here: a power of two from 4 to 32768 is")]
    QueueSize {
        /// What was asked for.
        size: u16,
    },
    /// Requests of that many segments do not fit a queue, or none does.
    #[error("{seg_max} segments are not from 1 to {most}, the most that fit the queue with header and status")]
    SegMax {
        /// What was asked for.
        seg_max: u16,
        /// The most there can be.
        most: u16,
    },
    /// Segments are whole pages.
    #[error("segments of {size_max} bytes are less than the 4096 of a page")]
    SizeMax {
        /// What was asked for.
        size_max: u32,
    },
    /// The storage could not be asked for its size.
    #[error("the size of the storage is not known: {0}")]
    Backend(#[from] io::Error),
}

impl BlockBuilder {
    pub(crate) fn new(backend: Arc<dyn BlockBackend>) -> BlockBuilder {
        BlockBuilder {
            backend,
            read_only: false,
            serial: String::new(),
            block_size: None,
            topology: None,
            queues: 1,
            queue_size: 256,
            seg_max: None,
            size_max: None,
        }
    }

    /// Whether the driver may only read. Always so where the backend can only be read.
    pub fn read_only(mut self, read_only: bool) -> BlockBuilder {
        self.read_only = read_only;
        self
    }

    /// The disk's name, as the driver asks for it: up to 20 bytes. Empty unless said otherwise.
    pub fn serial(mut self, serial: impl Into<String>) -> BlockBuilder {
        self.serial = serial.into();
        self
    }

    /// Bytes of the blocks in which the driver should work: that of the backend unless said otherwise. Requests of
    /// single sectors of 512 bytes work all the same.
    pub fn block_size(mut self, size: u32) -> BlockBuilder {
        self.block_size = Some(size);
        self
    }

    /// Hints on how to lay out requests. None are given unless said otherwise.
    pub fn topology(mut self, topology: Topology) -> BlockBuilder {
        self.topology = Some(topology);
        self
    }

    /// Queues: 1 unless said otherwise. Each is served by a task of its own.
    pub fn queues(mut self, queues: u16) -> BlockBuilder {
        self.queues = queues;
        self
    }

    /// Descriptors in each queue: 256 unless said otherwise, a power of two from 4 on.
    pub fn queue_size(mut self, size: u16) -> BlockBuilder {
        self.queue_size = size;
        self
    }

    /// The most pieces that the driver should cut a request's data into: as many as fit the queue unless said
    /// otherwise. Requests with more work all the same.
    pub fn seg_max(mut self, segments: u16) -> BlockBuilder {
        self.seg_max = Some(segments);
        self
    }

    /// The most bytes that one piece should have, from 4096 on. No limit unless said otherwise. Requests with larger
    /// ones work all the same.
    pub fn size_max(mut self, bytes: u32) -> BlockBuilder {
        self.size_max = Some(bytes);
        self
    }

    /// The device.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Block, BuildError> {
        let id = id(&self.serial)?;
        let can = self.backend.capabilities();
        let read_only = self.read_only || can.read_only;
        let sectors = self.backend.size()? / SECTOR;
        let (config, offered) = self.config(&can, read_only)?;
        let shared = Shared::new(self.backend, ConfigSpace::new(config), read_only, id, self.queues, sectors);
        Ok(Block::new(Arc::new(shared), offered, vec![self.queue_size; usize::from(self.queues)]))
    }

    /// The configuration space, and the features to be offered. Only what works is offered.
    fn config(&self, can: &Capabilities, read_only: bool) -> Result<(Vec<u8>, Features), BuildError> {
        let mut bytes = vec![0; CONFIG_LEN];
        // BLK-INIT-01, BLK-INIT-02; BLK-INIT-05, BLK-INIT-06: never ZONED.
        let mut offered = wire::FLUSH_FEATURE | wire::CONFIG_WCE | wire::SEG_MAX | wire::BLK_SIZE;
        if read_only {
            offered |= wire::RO;
        }

        let block_size = self.block_size.unwrap_or(can.block_size);
        if !block_size.is_power_of_two() || !(512..=65536).contains(&block_size) {
            return Err(BuildError::BlockSize { size: block_size });
        }
        put(&mut bytes, field::BLK_SIZE, &block_size.to_le_bytes());

        let queue_size = self.queue_size;
        if !queue_size.is_power_of_two() || !(4..=32768).contains(&queue_size) {
            return Err(BuildError::QueueSize { size: queue_size });
        }
        // A chain may not be longer than its queue, be it in an indirect table or not.
        let most = queue_size - FRAME;
        let seg_max = self.seg_max.unwrap_or(most);
        if !(1..=most).contains(&seg_max) {
            return Err(BuildError::SegMax { seg_max, most });
        }
        put(&mut bytes, field::SEG_MAX, &u32::from(seg_max).to_le_bytes());

        if let Some(size_max) = self.size_max {
            if size_max < 4096 {
                return Err(BuildError::SizeMax { size_max });
            }
            offered |= wire::SIZE_MAX;
            put(&mut bytes, field::SIZE_MAX, &size_max.to_le_bytes());
        }
        if let Some(topology) = self.topology.or(can.topology) {
            let Topology { physical_block_exp, alignment_offset, min_io_size, opt_io_size } = topology;
            offered |= wire::TOPOLOGY;
            put(&mut bytes, field::PHYSICAL_BLOCK_EXP, &[physical_block_exp]);
            put(&mut bytes, field::ALIGNMENT_OFFSET, &[alignment_offset]);
            put(&mut bytes, field::MIN_IO_SIZE, &min_io_size.to_le_bytes());
            put(&mut bytes, field::OPT_IO_SIZE, &opt_io_size.to_le_bytes());
        }
        match self.queues {
            0 => return Err(BuildError::NoQueues),
            1 => {}
            queues => {
                // BLK-CFG-02
                offered |= wire::MQ;
                put(&mut bytes, field::NUM_QUEUES, &queues.to_le_bytes());
            }
        }
        Ok((bytes, offered))
    }
}

/// BLK-OP-14: padded with NUL, which may be missing where all 20 bytes are used.
fn id(serial: &str) -> Result<[u8; ID_LEN], BuildError> {
    let mut id = [0; ID_LEN];
    let place = id.get_mut(..serial.len()).filter(|_| !serial.contains('\0'));
    match place {
        Some(place) => place.copy_from_slice(serial.as_bytes()),
        None => return Err(BuildError::Serial { serial: serial.to_owned() }),
    }
    Ok(id)
}

impl fmt::Debug for BlockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBuilder")
            .field("read_only", &self.read_only)
            .field("serial", &self.serial)
            .field("block_size", &self.block_size)
            .field("queues", &self.queues)
            .field("queue_size", &self.queue_size)
            .finish_non_exhaustive()
    }
}
