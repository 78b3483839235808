#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod cutting;
mod datagram;
mod listening;
mod opening;
mod rig;
mod stream;
mod stream_faults;
