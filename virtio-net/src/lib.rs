#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod backend;
mod builder;
mod control;
mod counters;
pub mod features;
mod filter;
mod flows;
mod handle;
mod header;
mod lines;
mod mac;
mod net;
mod offloads;
mod packet;
mod plan;
mod settings;
mod shared;
mod state;
mod statistics;
mod stats;
mod task;
mod wire;

pub use backend::{
    Capabilities, Configuration, Generator, Loopback, NetBackend, NetQueue, NetworkCounts, NullBackend, Pcap, Switch,
    SwitchPort,
};
#[cfg(all(feature = "socket", unix))]
pub use backend::{SocketError, UnixDgram, UnixDgramBuilder, UnixStream};
#[cfg(all(feature = "tap", target_os = "linux"))]
pub use backend::{Tap, TapBuilder, TapError};
pub use builder::{BuildError, Duplex, NetBuilder};
pub use counters::NetCounts;
pub use handle::NetHandle;
pub use header::{GsoType, NetHeader};
pub use mac::{BadMacAddress, MacAddress};
pub use net::Net;
pub use offloads::Offloads;
pub use virtio_core::{Rate, RateLimit};
