//! The packed ring against a reference model, over random histories of good and bad drivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[path = "../history/mod.rs"]
mod common;
mod history;
mod model;
mod talk;
