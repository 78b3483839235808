#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod held;
mod holes;
mod managing;
mod rig;
mod table;
mod transfers;
