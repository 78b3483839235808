#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "vm-device")]
mod bus;
mod line;
pub mod registers;
mod selectors;
mod slot;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod transport;

pub use slot::EmptySlot;
pub use state::MmioState;
pub use transport::{MmioTransport, SharedMemory, WINDOW};
