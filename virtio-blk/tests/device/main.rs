//! The block device as a driver sees it, and as its embedder does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache;
mod config;
mod faults;
mod file;
mod framing;
mod held;
mod lifecycle;
mod requests;
mod rig;
mod state;
