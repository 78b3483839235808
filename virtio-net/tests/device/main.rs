//! The network device as a driver sees it, behind each transport, and as its embedder does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Runs each named function, which is a test over any [`rig::Port`], over each transport, and over packed rings.
macro_rules! each_transport {
    ($($name:ident),* $(,)?) => {
        mod mmio {$(
            #[test]
            fn $name() {
                super::$name::<virtio_mmio::testing::Mmio>();
            }
        )*}

        mod mmio_without_event_idx {$(
            #[test]
            fn $name() {
                super::$name::<virtio_mmio::testing::Mmio<false>>();
            }
        )*}

        mod mmio_packed {$(
            #[test]
            fn $name() {
                super::$name::<virtio_mmio::testing::Packed>();
            }
        )*}

        mod pci {$(
            #[test]
            fn $name() {
                super::$name::<virtio_pci::testing::Pci>();
            }
        )*}
    };
}

mod coalescing;
mod commands;
mod config;
mod control;
mod crowds;
mod errors;
mod faults;
mod filters;
mod frames;
mod gather;
mod guest_offloads;
mod headers;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
mod host;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
#[path = "../shared/left_out/mod.rs"]
mod left_out;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
mod level;
mod lifecycle;
mod limits;
mod link;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
mod looped;
mod network;
mod offloads;
mod on;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
#[path = "../shared/own_network/mod.rs"]
mod own_network;
mod packets;
mod pairs;
mod queue_reset;
mod rates;
mod receive;
mod restored;
mod rig;
mod rss;
mod state;
mod statistics;
mod sys;
#[cfg(all(feature = "tap", feature = "socket", target_os = "linux"))]
mod tap;
mod threads;
mod tiny;
mod traffic;
mod transmit;
mod tunnels;
mod visible;
