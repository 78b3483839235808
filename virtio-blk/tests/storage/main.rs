//! The device on storage that fails: one that fails on demand, and the real thing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod balloon;
mod cut;
mod faulty;
mod full;
mod image;
mod narrow;
mod nth;
#[allow(dead_code)] // shared with other tests
#[path = "../device/ports.rs"]
mod ports;
mod resets;
#[allow(dead_code)] // shared with other tests
#[path = "../device/rig.rs"]
mod rig;
mod storm;
mod sys;
mod talk;
