//! The driver's side, for tests: guest memory with a simple allocator, and rings of both layouts that can be driven
//! well, by what is in [`RingDriver`], or badly.
//!
//! ```
//! use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
//! use virtio_core::{Features, Virtqueue};
//!
//! let memory = TestMemory::new(1 << 20);
//! let mut driver = SplitDriver::new(&memory, 16, Features::EVENT_IDX);
//! let mut queue = Virtqueue::new(driver.setup())?;
//!
//! let question = memory.place(b"what?");
//! let answer = memory.alloc(8, 1);
//! driver.add(&[Buffer::readable(question, 5), Buffer::writable(answer, 8)]);
//! driver.show();
//!
//! let chain = queue.pop().unwrap();
//! assert_eq!(&chain.reader().read_array::<5>()?, b"what?");
//! chain.writer().write(b"this")?;
//! chain.complete(4);
//! queue.publish();
//!
//! assert_eq!(driver.used().map(|used| used.len), Some(4));
//! assert_eq!(memory.bytes(answer, 4), b"this");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test helper fails by panicking

mod device;
mod driver;
mod level;
mod memory;
mod packed;
mod split;
pub mod suite;
#[doc(hidden)]
pub mod threads;

pub use crate::memory::Buffer;
pub use device::{TestDevice, TestHandle};
pub use driver::{RingDriver, Used, Wish};
pub use level::Level;
pub use memory::TestMemory;
pub use packed::PackedDriver;
pub use split::SplitDriver;
