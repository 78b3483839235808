#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod checksum;
mod flow;
mod frames;
mod hash;
mod layers;
mod segment;
mod tunnel;
