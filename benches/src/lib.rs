//! Measurements of the workspace against its peers, both in one process and in turns.
//!
//! The program `compare-threads` has its measurements to itself.
//!
//! - [`contest`]: what is measured, and the arithmetic of the table.
//! - [`table`]: the table, and the command line of the programs that print it.
//! - [`blk`]: the block device against loops without one.
//! - [`net`]: the network device against loops without one.
//! - [`ring`]: virtqueues against virtio-queue's, and against themselves.
//! - [`queues`]: the rings that are measured.

#![deny(unsafe_code)]
#![allow(clippy::expect_used)] // a measurement fails by panicking

pub mod blk;
pub mod contest;
mod live;
pub mod net;
pub mod queues;
pub mod ring;
pub mod table;
