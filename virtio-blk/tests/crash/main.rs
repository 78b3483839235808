//! What is on the disk after the process was killed, and after the power went.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[allow(dead_code)] // shared with other tests
#[path = "../storage/image.rs"]
mod image;
mod kill;
#[allow(dead_code)] // shared with other tests
#[path = "../device/ports.rs"]
mod ports;
mod power;
mod promises;
mod recorder;
mod replay;
#[allow(dead_code)] // shared with other tests
#[path = "../device/rig.rs"]
mod rig;
#[allow(dead_code)] // shared with other tests
#[path = "../storage/talk.rs"]
mod talk;
mod zones;
