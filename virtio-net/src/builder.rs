//! Making a device.

mod config;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use virtio_core::{ConfigSpace, Features, RateLimit};

use crate::MacAddress;
use crate::backend::NetBackend;
use crate::features::{HASH_REPORT, RSS};
use crate::net::Net;
use crate::settings::Limits;
use crate::shared::{Options, Parts, Shared};
use crate::wire::{hash_type, tunnel_type};

/// A device in the making. See [`Net::builder`](crate::Net::builder).
///
/// Send and Sync. [`build`](Self::build) asks the backend for what it can do.
#[must_use]
pub struct NetBuilder {
    backend: Arc<dyn NetBackend>,
    mac: Option<MacAddress>,
    pairs: u16,
    queue_size: u16,
    mtu: Option<u16>,
    speed: Option<u32>,
    duplex: Duplex,
    without: Features,
    options: Options,
}

/// Whether both sides of a link can send at the same time (virtio 1.4, section 5.1.4: `duplex`). Plain data: Send and Sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplex {
    /// They take turns.
    Half,
    /// They can.
    #[default]
    Full,
}

/// A device cannot be made like this. Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No interface can have the address.
    #[error("{mac} is no address of an interface: it stands for a group, or is zero")]
    Mac {
        /// What was asked for.
        mac: MacAddress,
    },
    /// There must be a pair, and no more than the protocol knows.
    #[error("{pairs} pairs of queues are not from 1 to 32768")]
    Pairs {
        /// What was asked for.
        pairs: u16,
    },
    /// The network cannot serve that many pairs.
    #[error("{pairs} pairs of queues, where the network serves {most}")]
    TooManyPairs {
        /// What was asked for.
        pairs: u16,
        /// The most there can be.
        most: u16,
    },
    /// The queue size is not a power of two from 2 to 32768.
    #[error("{size} is not a queue size: a power of two from 2 to 32768 is")]
    QueueSize {
        /// What was asked for.
        size: u16,
    },
    /// The MTU is less than the least there can be.
    #[error("an MTU of {mtu} is less than 68")]
    Mtu {
        /// What was asked for.
        mtu: u16,
    },
    /// The speed is one that says that nothing is known.
    #[error("a speed of {speed:#x} Mbit/s is more than there can be")]
    Speed {
        /// What was asked for.
        speed: u32,
    },
    /// An event could not be made.
    #[error("the device cannot be made: {0}")]
    Event(#[from] io::Error),
}

/// The most pairs that there can be (NET-CFG-01).
const MOST_PAIRS: u16 = 0x8000;
/// The least MTU that there can be (NET-CFG-02).
const LEAST_MTU: u16 = 68;
/// Bytes of a key for hashes (NET-CFG-07).
const HASH_KEY: u8 = 40;
/// Entries of a table for receive-side scaling (NET-CFG-08).
const RSS_TABLE: u16 = 128;
/// Descriptors of the control queue.
const CONTROL_SIZE: u16 = 64;

impl NetBuilder {
    pub(crate) fn new(backend: Arc<dyn NetBackend>) -> NetBuilder {
        NetBuilder {
            backend,
            mac: None,
            pairs: 1,
            queue_size: 256,
            mtu: None,
            speed: None,
            duplex: Duplex::Full,
            without: RSS | HASH_REPORT,
            options: Options::default(),
        }
    }

    /// The device's address. Unless said otherwise that which the network says, or one that is made up.
    ///
    /// To be set where the device is to be saved and restored: a state is taken over by a device of the same address only, and
    /// what another network says, or another device makes up, is another one.
    pub fn mac(mut self, mac: MacAddress) -> NetBuilder {
        self.mac = Some(mac);
        self
    }

    /// Pairs of a receive and a transmit queue, at most as many as the network serves: 1 unless said otherwise. Each is served
    /// by a task of its own. The driver chooses how many of them it uses (virtio 1.4, section 5.1.6.5.5).
    pub fn pairs(mut self, pairs: u16) -> NetBuilder {
        self.pairs = pairs;
        self
    }

    /// Descriptors in each queue but the control queue, which has 64: a power of two from 2 to 32768, and 256 unless said
    /// otherwise. The driver may use fewer (virtio 1.4, section 2.6).
    pub fn queue_size(mut self, size: u16) -> NetBuilder {
        self.queue_size = size;
        self
    }

    /// Bytes of the longest packet behind the Ethernet header (virtio 1.4, section 5.1.4: `mtu`), from 68 on; it should be 1280
    /// or more (NET-CFG-03). Unless said otherwise that which the network says, or the driver is told nothing.
    ///
    /// To be set where the device is to be saved and restored: a state is taken over by a device of the same MTU only, and the
    /// network that it is restored on may say another one.
    pub fn mtu(mut self, mtu: u16) -> NetBuilder {
        self.mtu = Some(mtu);
        self
    }

    /// In Mbit/s, less than 2^31 (virtio 1.4, section 5.1.4: `speed`). Unless said otherwise that which the network says, or the
    /// driver is told nothing.
    pub fn speed(mut self, mbits: u32, duplex: Duplex) -> NetBuilder {
        (self.speed, self.duplex) = (Some(mbits), duplex);
        self
    }

    /// Whether the driver may have frames for several pairs steered by a hash of its choice (receive-side scaling: virtio 1.4,
    /// section 5.1.6.5.7). It may not unless said otherwise: drivers that may, do, and the device then hands most frames from one
    /// task to another, while a network that steers gives each to the pair that sends in the same flow.
    pub fn rss(mut self, rss: bool) -> NetBuilder {
        self.without = if rss { self.without - RSS } else { self.without | RSS };
        self
    }

    /// Whether the driver may be told a hash of each frame (virtio 1.4, sections 5.1.6.4.3 to 5.1.6.4.5). It may not unless said
    /// otherwise: drivers that may, are, and few make use of it.
    pub fn hash_report(mut self, report: bool) -> NetBuilder {
        self.without = if report { self.without - HASH_REPORT } else { self.without | HASH_REPORT };
        self
    }

    /// [Features] that are not offered; nor are those that need them (virtio 1.4, section 5.1.3.1).
    ///
    /// [Features]: crate::features
    pub fn without(mut self, features: Features) -> NetBuilder {
        self.without |= features;
        self
    }

    /// How many frames, and bytes of frames, the driver may be given in a second, together with all other devices that have the
    /// same limit. What comes faster waits in the network. A handle can [change](crate::NetHandle::set_receive_limit) it later.
    pub fn receive_limit(mut self, limit: RateLimit) -> NetBuilder {
        self.options.rx_rate = Some(limit);
        self
    }

    /// How many frames, and bytes of frames, the driver may send in a second, together with all other devices that have the same
    /// limit. What it sends faster waits in the ring. A handle can [change](crate::NetHandle::set_transmit_limit) it later.
    pub fn transmit_limit(mut self, limit: RateLimit) -> NetBuilder {
        self.options.tx_rate = Some(limit);
        self
    }

    /// The device. Its configuration space is that of virtio 1.4, section 5.1.4.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Net, BuildError> {
        let can = self.backend.capabilities();
        let mac = self.mac.or(can.mac).unwrap_or_else(made_up);
        if !mac.is_usable() {
            return Err(BuildError::Mac { mac });
        }
        if self.pairs == 0 || self.pairs > MOST_PAIRS {
            return Err(BuildError::Pairs { pairs: self.pairs });
        }
        if self.pairs > can.pairs {
            return Err(BuildError::TooManyPairs { pairs: self.pairs, most: can.pairs });
        }
        if !self.queue_size.is_power_of_two() || !(2..=32768).contains(&self.queue_size) {
            return Err(BuildError::QueueSize { size: self.queue_size });
        }
        // A network's own is what it is.
        let mtu = self.mtu.or(can.mtu.filter(|mtu| *mtu >= LEAST_MTU));
        if let Some(mtu) = mtu.filter(|mtu| *mtu < LEAST_MTU) {
            return Err(BuildError::Mtu { mtu });
        }
        let speed = self.speed.or(can.speed);
        if let Some(speed) = speed.filter(|speed| *speed > i32::MAX as u32) {
            // NET-CFG-10
            return Err(BuildError::Speed { speed });
        }
        let limits = Limits {
            max_pairs: self.pairs,
            hash_key: HASH_KEY,
            rss_table: RSS_TABLE,
            hash_types: hash_type::ALL,
            tunnel_types: tunnel_type::ALL,
        };
        let bytes = config::bytes(mac, mtu, speed.map(|speed| (speed, self.duplex)), &limits);
        let offered = config::offered(&can, self.pairs, mtu, speed) - self.without;
        let queues = 2 * usize::from(self.pairs);
        let mut queue_sizes = vec![self.queue_size; queues];
        queue_sizes.push(CONTROL_SIZE);
        let config = ConfigSpace::new(bytes);
        let parts = Parts { backend: self.backend, config, mac, mtu, limits, options: self.options };
        Ok(Net::new(Arc::new(Shared::new(parts)?), crate::features::consistent(offered), queue_sizes))
    }
}

/// An address that nobody else is likely to have made up.
fn made_up() -> MacAddress {
    let [a, b, c, ..] = RandomState::new().hash_one(0).to_le_bytes();
    // Administered locally.
    MacAddress([0x52, 0x54, 0x00, a, b, c])
}

impl fmt::Debug for NetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetBuilder")
            .field("mac", &self.mac)
            .field("pairs", &self.pairs)
            .field("queue_size", &self.queue_size)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}
