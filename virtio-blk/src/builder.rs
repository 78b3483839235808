//! Making a device.

mod config;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtio_core::{ConfigSpace, RateLimit};

pub(crate) use self::config::Zoned;
use crate::backend::{BlockBackend, Topology};
use crate::block::Block;
use crate::policy::{OnError, Stopped};
use crate::shared::{Options, Shared};
use crate::wire::{ID_LEN, SECTOR};

/// A device in the making. See [`Block::builder`](crate::Block::builder).
///
/// Send and Sync. [`build`](Self::build) asks the backend for its size and for what it can do.
#[must_use]
pub struct BlockBuilder {
    backend: Arc<dyn BlockBackend>,
    read_only: bool,
    serial: String,
    block_size: Option<u32>,
    topology: Option<Topology>,
    geometry: Option<Geometry>,
    queues: u16,
    queue_size: u16,
    seg_max: Option<u16>,
    size_max: Option<u32>,
    segments: u16,
    merge: Option<bool>,
    options: Options,
}

/// The shape of a disk with heads, for drivers that ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads.
    pub heads: u8,
    /// Sectors in a track.
    pub sectors: u8,
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
    /// A request for ranges has to have room for one.
    #[error("requests of no segments")]
    NoSegments,
    /// The storage cannot serve that many queues.
    #[error("{queues} queues, where the storage serves {most}")]
    TooManyQueues {
        /// What was asked for.
        queues: u16,
        /// The most there can be.
        most: u16,
    },
    /// What the storage says of its zones makes no sense.
    #[error("zones cannot be like that: {what}")]
    Zones {
        /// What is wrong.
        what: &'static str,
    },
    /// The storage could not be asked for its size, or for how much of its life is left.
    #[error("the storage does not answer: {0}")]
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
            geometry: None,
            queues: 1,
            queue_size: 256,
            seg_max: None,
            size_max: None,
            segments: 256,
            merge: None,
            options: Options { discard: true, ..Options::default() },
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

    /// The disk's shape. None is told unless said otherwise.
    pub fn geometry(mut self, geometry: Geometry) -> BlockBuilder {
        self.geometry = Some(geometry);
        self
    }

    /// Whether the driver may give storage back: by discarding, and by zeroing with unmap. It may unless said otherwise,
    /// where the storage can take it back.
    pub fn discard(mut self, discard: bool) -> BlockBuilder {
        self.options.discard = discard;
        self
    }

    /// The most ranges that a request to discard, to zero or to erase may have: 256 unless said otherwise. Requests with more
    /// are refused.
    pub fn max_segments(mut self, segments: u16) -> BlockBuilder {
        self.segments = segments;
        self
    }

    /// Whether reads, and writes, of a batch that follow one another on the disk go to the storage as one. They do unless said
    /// otherwise where the backend says that it pays.
    pub fn merge(mut self, merge: bool) -> BlockBuilder {
        self.merge = Some(merge);
        self
    }

    /// What to do when the storage cannot read. The driver gets an error unless said otherwise.
    pub fn on_read_error(mut self, what: OnError) -> BlockBuilder {
        self.options.on_read_error = what;
        self
    }

    /// What to do when the storage cannot do anything else. The driver gets an error unless said otherwise.
    pub fn on_write_error(mut self, what: OnError) -> BlockBuilder {
        self.options.on_write_error = what;
        self
    }

    /// Who is told that the device has stopped ([`OnError::Stop`]): called once for each stop, on a thread that serves a
    /// queue, which it should not hold up.
    pub fn on_stop(mut self, tell: impl Fn(&Stopped) + Send + Sync + 'static) -> BlockBuilder {
        self.options.on_stop = Some(Arc::new(tell));
        self
    }

    /// How long the storage may take for an operation: as long as it wants unless said otherwise. What takes longer is
    /// cancelled, and has failed when the storage lets go of it, not before: the driver must not have memory back that may
    /// still be written. A synchronous backend, whose calls nobody can cancel, is not affected.
    pub fn timeout(mut self, timeout: Duration) -> BlockBuilder {
        self.options.timeout = Some(timeout);
        self
    }

    /// How much the driver may ask for in a second, together with all other devices that have the same limit.
    pub fn rate_limit(mut self, limit: RateLimit) -> BlockBuilder {
        self.options.rate = Some(limit);
        self
    }

    /// The device.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(mut self) -> Result<Block, BuildError> {
        let id = id(&self.serial)?;
        let can = self.backend.capabilities();
        let read_only = self.read_only || can.read_only;
        // Never over the border of a zone, or behind a write pointer that moves: zones are written as they are asked to be.
        self.options.merge = self.merge.unwrap_or(can.merge) && can.zoned.is_none();
        let sectors = self.backend.size()? / SECTOR;
        let config::Shown { bytes, offered, limits, zoned } = self.shown(&can, read_only)?;
        let config = ConfigSpace::new(bytes);
        let shared = Shared::new(self.backend, config, read_only, id, limits, self.options, self.queues);
        shared.set_capacity(sectors);
        shared.set_writeback(true);
        shared.look_whether_zeroes_unmap();
        Ok(Block::new(Arc::new(shared), offered, vec![self.queue_size; usize::from(self.queues)], zoned))
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
