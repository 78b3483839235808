#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod faults;
mod frames;
mod gso;
mod macvtap;
mod opening;
mod packets;
mod pairs;
mod rig;
#[allow(unsafe_code)]
mod sys;
