#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod bars;
mod builder;
mod capabilities;
mod common;
mod doorbells;
mod function;
mod header;
mod ids;
mod interrupts;
mod intx;
mod layout;
mod msix;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod vector;

pub use bars::{BarChange, BarPlacement};
pub use builder::{BarWidth, BuildError, Builder};
pub use function::{PciCounts, VirtioPci};
pub use state::{MsixState, PciState, VectorState};
pub use vector::{MessageVector, MessageVectors, SentVector};
