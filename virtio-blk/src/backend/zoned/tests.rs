#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod building;
mod fake;
mod held;
mod holes;
mod host;
mod host_faults;
mod managing;
mod model;
mod queues;
mod rig;
#[cfg(unix)]
mod state_file;
mod storm;
mod table;
mod transfers;
