#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod flows;
mod forwarding;
mod model;
mod table;
mod threads;
