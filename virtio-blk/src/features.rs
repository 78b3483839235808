//! Feature bits of block devices (virtio 1.4, section 5.2.3), by the names that the specification gives them without
//! `VIRTIO_BLK_F_`.
//!
//! ```
//! use virtio_blk::{Block, MemoryBackend, features};
//! use virtio_core::VirtioDevice;
//! let block = Block::builder(MemoryBackend::zeroed(1 << 20)).build()?;
//! assert!(block.features().contains(features::FLUSH | features::CONFIG_WCE));
//! # Ok::<(), virtio_blk::BuildError>(())
//! ```
//!
//! [`HostBuilder::without`](virtio_core::HostBuilder::without) leaves out any of them.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_GEOMETRY,
    VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SECURE_ERASE, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX,
    VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_F_ZONED,
};
use virtio_core::Features;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        $($(#[$doc])* pub const $name: Features = Features::bit($bit);)*

        /// The names of feature bits.
        pub(crate) fn feature_name(bit: u32) -> Option<&'static str> {
            let names = [$(($bit, stringify!($name))),*];
            names.into_iter().find_map(|(known, name)| (known == bit).then_some(name))
        }
    };
}

features! {
    /// Bit 1: the device says how long a segment of a request can be (section 5.2.4).
    SIZE_MAX = VIRTIO_BLK_F_SIZE_MAX;
    /// Bit 2: the device says how many segments a request can have (section 5.2.4).
    SEG_MAX = VIRTIO_BLK_F_SEG_MAX;
    /// Bit 4: the device says how many cylinders, heads and sectors it has (section 5.2.4).
    GEOMETRY = VIRTIO_BLK_F_GEOMETRY;
    /// Bit 5: the device can only be read (section 5.2.5).
    RO = VIRTIO_BLK_F_RO;
    /// Bit 6: the device says how large its blocks are (section 5.2.4).
    BLK_SIZE = VIRTIO_BLK_F_BLK_SIZE;
    /// Bit 9: the driver has the cache written back (section 5.2.6).
    FLUSH = VIRTIO_BLK_F_FLUSH;
    /// Bit 10: the device says which requests suit it (section 5.2.4).
    TOPOLOGY = VIRTIO_BLK_F_TOPOLOGY;
    /// Bit 11: the driver turns the cache on and off (section 5.2.4).
    CONFIG_WCE = VIRTIO_BLK_F_CONFIG_WCE;
    /// Bit 12: there are several queues (section 5.2.4).
    MQ = VIRTIO_BLK_F_MQ;
    /// Bit 13: the driver gives back storage (section 5.2.6).
    DISCARD = VIRTIO_BLK_F_DISCARD;
    /// Bit 14: the driver has zeros written without sending them (section 5.2.6).
    WRITE_ZEROES = VIRTIO_BLK_F_WRITE_ZEROES;
    /// Bit 15: the device says how worn it is (section 5.2.6).
    LIFETIME = 15;
    /// Bit 16: the driver has data destroyed (section 5.2.6).
    SECURE_ERASE = VIRTIO_BLK_F_SECURE_ERASE;
    /// Bit 17: the device has zones (section 5.2.6).
    ZONED = VIRTIO_BLK_F_ZONED;
}
