//! Measurements of the workspace against its peers, both in one process and in turns.
//!
//! - [`contest`]: what is measured, and the arithmetic of the table.
//! - [`table`]: the table, and the command line of the programs that print it.
//! - [`ring`]: virtqueues against virtio-queue's, and against themselves.
//! - [`threads`]: virtqueues between two threads.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used)] // a measurement fails by panicking

pub mod contest;
pub mod ring;
pub mod table;
pub mod threads;
