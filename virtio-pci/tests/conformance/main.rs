//! The function as a driver sees it: through configuration space and BARs only.
//!
//! Names begin with the id of the rule that they prove.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod bars;
mod common;
mod config_space;
mod harness;
mod interrupts;
mod lifecycle;
mod msix;
mod notify;
mod queue_reset;
mod random;
mod state;
mod suite;
mod window;
