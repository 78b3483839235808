#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod faults;
mod frames;
mod gso;
#[path = "../../../tests/shared/left_out/mod.rs"]
mod left_out;
mod macvtap;
mod opening;
#[path = "../../../tests/shared/own_network/mod.rs"]
mod own_network;
mod packets;
mod pairs;
mod rig;
#[allow(unsafe_code)]
mod sys;
