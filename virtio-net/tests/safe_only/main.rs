//! What safe code can do wrong with a network device and its transports, through public calls alone: a backend that breaks
//! its contract, registers that are accessed in any way, memory that goes meanwhile. None of it may reach memory that is
//! not there; `scripts/sanitize` runs this under AddressSanitizer.

#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[allow(dead_code)] // not all of it is needed here
#[path = "../device/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "network.rs"]
mod network;
#[path = "../device/on.rs"]
mod on;
#[allow(dead_code)]
#[path = "../device/rig.rs"]
mod rig;

mod registers;
mod wild;
