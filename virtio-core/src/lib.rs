#![doc = include_str!("../README.md")]
//!
//! ## Threads
//!
//! Each type says whether it is Send and Sync and which of its calls may block. One that does not say it is plain data, a
//! number or an error: Send and Sync, and nothing of it blocks. Traits require what they need of their implementations. The
//! same holds for the crates of the transports and devices.
#![deny(unsafe_code)]

mod config;
mod counters;
mod deadline;
pub mod device;
mod device_type;
mod doorbell;
mod event;
mod features;
pub mod host;
mod interrupt;
mod log_limit;
#[allow(unsafe_code)]
pub mod memory;
mod rate;
pub mod ring;
pub mod runtime;
pub mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::{ConfigSpace, put_field};
pub use counters::Counter;
pub use device::{ActivateError, Activation, VirtioDevice};
pub use device_type::DeviceType;
pub use doorbell::DoorbellSite;
pub use event::Event;
pub use features::Features;
pub use host::{DeviceHost, HostBuilder, TransportHooks};
pub use interrupt::{Interrupt, InterruptLine};
pub use log_limit::LogLimit;
pub use memory::{Buffer, GuestBuffers, GuestRam, MemoryError, MemoryView, Reader, Writer};
pub use rate::{Rate, RateLimit};
pub use ring::{Chain, ChainFault, Moderation, QueuePosition, QueueSetup, RingFault, Ticket, Virtqueue};
pub use runtime::{InlineRuntime, Runtime};
#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use runtime::{LoopRuntime, SharedRuntime, ThreadRuntime};
pub use task::{Next, QueueTask, Quiesce, Source, Sources, TaskContext, TaskRunner};
