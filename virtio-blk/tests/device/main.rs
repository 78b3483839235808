//! The block device as a driver sees it, behind each transport, and as its embedder does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Runs each named function, which is a test over any [`rig::Port`], over each transport, and over packed rings.
macro_rules! each_transport {
    ($($name:ident),* $(,)?) => {
        mod mmio {$(
            #[test]
            fn $name() {
                super::$name::<crate::ports::Mmio>();
            }
        )*}

        mod mmio_without_event_idx {$(
            #[test]
            fn $name() {
                super::$name::<crate::ports::Mmio<false>>();
            }
        )*}

        mod mmio_packed {$(
            #[test]
            fn $name() {
                super::$name::<crate::ports::Packed>();
            }
        )*}

        mod pci {$(
            #[test]
            fn $name() {
                super::$name::<crate::ports::Pci>();
            }
        )*}
    };
}

mod cache;
mod config;
mod failing;
mod faults;
#[cfg(feature = "file")]
mod file;
mod framing;
mod held;
mod lifecycle;
mod lifetime;
mod merging;
mod ports;
mod queue_reset;
mod ranges;
mod rates;
mod requests;
mod rig;
mod state;
mod zoned;
mod zones;
