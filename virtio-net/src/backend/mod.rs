//! Networks behind the device.
//!
//! A [`NetBackend`] is a network as a whole; each pair of queues has a [`NetQueue`] of it, which the task that serves the pair
//! opens on its thread and uses alone. Neither knows of rings, negotiation or filters: the device gives them frames that make
//! sense, and fits what they deliver to what the driver takes.
//!
//! | backend | network |
//! |---|---|
//! | `Tap` | an interface of the host: a tap, or a macvtap (feature `tap`, Linux) |
//! | `UnixStream`, `UnixDgram` | what another process has, as passt and gvproxy (feature `socket`) |
//! | [`Loopback`] | what is sent comes back |
//! | [`Switch`] | other devices in this process |
//! | [`NullBackend`] | nobody, for measurements |
//! | [`Generator`] | the same frame again and again, for measurements |
//! | [`Pcap`] | that of another backend, with a record of what goes through |

#[cfg(test)]
mod bench;
mod counts;
mod frames;
mod generator;
mod loopback;
mod null;
mod packet;
mod pcap;
mod room;
#[cfg(all(feature = "socket", unix))]
mod socket;
mod switch;
#[cfg(any(all(feature = "tap", target_os = "linux"), all(feature = "socket", unix)))]
#[allow(unsafe_code)]
mod sys;
#[cfg(all(feature = "tap", target_os = "linux"))]
mod tap;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use virtio_core::Sources;

pub use counts::NetworkCounts;
pub use generator::Generator;
pub use loopback::Loopback;
pub use null::NullBackend;
pub use packet::Packet;
pub use pcap::Pcap;
pub use room::Room;
#[cfg(all(feature = "socket", unix))]
pub use socket::{SocketError, UnixDgram, UnixDgramBuilder, UnixStream};
pub use switch::{Switch, SwitchPort};
#[cfg(all(feature = "tap", target_os = "linux"))]
pub use tap::{Tap, TapBuilder, TapError};

use crate::{MacAddress, NetHeader, Offloads};

/// What a network can do. Plain data: Send and Sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Pairs of queues that can be open at the same time; at least 1.
    pub pairs: u16,
    /// Work that it takes over: frames that are sent with these.
    pub transmit: Offloads,
    /// Work that it leaves, where it is [configured](NetBackend::configure) to: frames that it delivers with these.
    pub receive: Offloads,
    /// What belongs to a flow that was sent by a pair is delivered to that pair. Otherwise the device steers.
    pub steers: bool,
    /// Bytes of the longest packet behind the Ethernet header, where the network says that.
    pub mtu: Option<u16>,
    /// The address that a device on it should have, where the network says that.
    pub mac: Option<MacAddress>,
    /// In Mbit/s, where the network says that.
    pub speed: Option<u32>,
}

impl Default for Capabilities {
    /// One pair, and no offloads.
    fn default() -> Capabilities {
        Capabilities {
            pairs: 1,
            transmit: Offloads::NONE,
            receive: Offloads::NONE,
            steers: false,
            mtu: None,
            mac: None,
            speed: None,
        }
    }
}

/// What the device wants of a network. Plain data: Send and Sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// What may be left to do with frames that are delivered: among what the network says that it can do.
    pub receive: Offloads,
    /// What will be left to do with frames that are sent, at most.
    pub transmit: Offloads,
    /// Pairs that are in use: the first so many. At least 1, unless nothing is.
    pub pairs: u16,
}

/// A network.
///
/// Send and Sync. All calls may come from any thread, and block for no longer than a system call takes that waits for nobody.
pub trait NetBackend: Send + Sync {
    /// What it can do: always the same.
    fn capabilities(&self) -> Capabilities;

    /// Sets what the device wants from now on; before the first queue is opened, whenever the driver changes its mind, and
    /// with the default when the device is reset and all queues are closed.
    ///
    /// # Errors
    /// Those of the network. What was set before stays.
    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        let _ = configuration;
        Ok(())
    }

    /// Opens the network's end of pair `pair`, on the thread that is to use it. It is closed when it is dropped, and may be
    /// opened again then.
    ///
    /// # Errors
    /// Those of the network.
    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>>;

    /// What it has counted.
    fn counts(&self) -> NetworkCounts {
        NetworkCounts::default()
    }
}

impl<B: NetBackend + ?Sized> NetBackend for Arc<B> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        (**self).configure(configuration)
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        (**self).open_queue(pair)
    }

    fn counts(&self) -> NetworkCounts {
        (**self).counts()
    }
}

/// One pair's end of a network.
///
/// Send, not Sync: it belongs to one task. No call waits.
pub trait NetQueue: Send {
    /// Sends a frame. What of it the network has to keep it copies.
    ///
    /// # Errors
    /// [`SendError::Full`]: not now, and the task comes again when the [source](Self::sources) for sending says so.
    /// [`SendError::Failed`]: never; the frame is counted and dropped.
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError>;

    /// The last frame of a batch has been sent, or the [source](Self::sources) for sending says that there is room.
    fn flush(&mut self) {}

    /// Receives a frame, if one is there. A task asks until there is nothing more, or it has no buffers; in the latter case
    /// it asks again when it has, without having been woken by a source.
    ///
    /// # Errors
    /// The network's. The task comes again after a while.
    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>>;

    /// Names what the task waits for: with the token [`RECEIVE`] what says that there are frames, if `interest.receive`, with
    /// [`SEND`] what says that frames can be sent again, if `interest.send`; and whatever else the network needs to be looked
    /// after for, with either.
    fn sources(&self, interest: Interest, sources: &mut Sources);

    /// Moves when [`sources`](Self::sources) would name something else with the same interest.
    fn sources_version(&self) -> u64 {
        0
    }

    /// When the queue wants to be asked to [receive](Self::receive) although no source says so; later where a frame that was
    /// received waits for buffers.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether there is somebody at the other end: what the driver sees as the state of its link.
    fn is_connected(&self) -> bool {
        true
    }
}

/// The token of sources that say that there is something to receive.
pub const RECEIVE: u8 = 0;
/// The token of sources that say that something can be sent.
pub const SEND: u8 = 1;

/// What a task waits for. Plain data: Send and Sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Frames to receive; there is room for them.
    pub receive: bool,
    /// Sending what could not be sent.
    pub send: bool,
}

/// What was received. Send and Sync.
#[derive(Debug)]
pub enum Received<'a> {
    /// Nothing, for now.
    Nothing,
    /// A frame in memory of the network's own, which is looked at before the next call.
    Lent {
        /// What is left to do with it.
        header: NetHeader,
        /// The frame, from its Ethernet header on.
        frame: &'a [u8],
    },
    /// A frame in the [`Room`].
    Filled {
        /// What is left to do with it.
        header: NetHeader,
        /// Bytes of it.
        len: usize,
    },
}

/// A frame was not sent. Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It does not fit in now.
    #[error("there is no room for the frame now")]
    Full,
    /// It cannot be sent.
    #[error("the frame cannot be sent: {0}")]
    Failed(#[from] io::Error),
}
