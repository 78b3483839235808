//! The packed ring against a reference model, over random histories of good and bad drivers.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

#[allow(dead_code)]
mod model;
mod talk;
