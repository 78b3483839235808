//! What a recorder hears of chains, and that a log of what is in flight can be kept by it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

#[macro_use]
#[path = "../both_layouts/mod.rs"]
mod both_layouts;

mod calls;
mod in_flight;
mod packed_log;
mod split_log;
