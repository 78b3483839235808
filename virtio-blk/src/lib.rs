#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod backend;
mod block;
mod builder;
mod counters;
pub mod features;
mod handle;
mod policy;
mod request;
mod shared;
mod slots;
mod state;
mod task;
mod wire;

#[cfg(all(feature = "nbd", unix))]
pub use backend::NbdBackend;
pub use backend::{
    BlockBackend, BlockQueue, Capabilities, Completion, MemoryBackend, NullBackend, Operation, OperationError,
    OperationKind, OperationResult, Topology, ZonedBackend,
};
#[cfg(all(feature = "file", unix))]
pub use backend::{FileBackend, FileOptions, OpenError};
#[cfg(all(feature = "imago", unix))]
pub use backend::{ImageBackend, ImageError, ImageFormat, ImageOptions};
#[cfg(all(feature = "uring", target_os = "linux"))]
pub use backend::{UringBackend, UringBuilder};
pub use block::Block;
pub use builder::{BlockBuilder, BuildError, Geometry};
pub use counters::BlockCounts;
pub use handle::{BlockHandle, ResizeError};
pub use policy::{OnError, Stopped};
pub use virtio_core::{Rate, RateLimit};

/// The workspace's front page: its embedding example is compiled and run with this crate's documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
