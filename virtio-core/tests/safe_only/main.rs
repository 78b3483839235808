//! What safe code can do wrong, through public calls alone: none of it may reach memory that is not there.
//!
//! Nothing here proves much by its assertions only. An access to memory that was unmapped ends the process, and one to the
//! heap that is freed, or beside what was allocated, is seen by AddressSanitizer: `scripts/sanitize` runs these tests so.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[macro_use]
#[path = "../both_layouts/mod.rs"]
mod both_layouts;

mod barriers;
mod chains;
mod memory;
mod rig;
mod tasks;
mod threads;
