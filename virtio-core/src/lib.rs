#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod config;
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
pub mod ring;
pub mod runtime;
pub mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::ConfigSpace;
pub use device::{Activation, VirtioDevice};
pub use device_type::DeviceType;
pub use doorbell::DoorbellSite;
pub use event::Event;
pub use features::Features;
pub use host::{DeviceHost, HostBuilder, TransportHooks};
pub use interrupt::{Interrupt, InterruptLine};
pub use log_limit::LogLimit;
pub use memory::{Buffer, GuestBuffers, GuestRam, MemoryError, MemoryView, Reader, Writer};
pub use ring::{Chain, ChainFault, QueuePosition, QueueSetup, RingFault, Ticket, Virtqueue};
pub use runtime::{InlineRuntime, Runtime};
#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use runtime::{SharedRuntime, ThreadRuntime};
pub use task::{Events, Next, QueueTask, Quiesce, Source, Sources, TaskContext, TaskRunner};
