//! Measurements of the workspace against its peers, both in one process and in turns.
//!
//! - [`contest`]: what is measured, and the arithmetic of `compare`'s table.
//! - [`ring`]: virtqueues against virtio-queue's, and against themselves.
//! - [`threads`]: virtqueues between two threads.
//!
//! An area is a module with a function that lists its contests; [`AREAS`] names them all.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used)] // a measurement fails by panicking

pub mod contest;
pub mod ring;
pub mod threads;

use contest::Case;

/// Something that `compare` can measure.
pub struct Area {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its cases.
    pub cases: fn() -> Vec<Case>,
}

/// All that `compare` can measure.
pub const AREAS: &[Area] =
    &[Area { name: "ring", cases: ring::cases }, Area { name: "threads", cases: threads::cases }];
