//! Prints how this project's rings compare with their peers between two threads: `compare-threads [CASE]...`.
//!
//! A program of its own: where virtio-queue's functions are called from more places, the compiler inlines less of them,
//! and they get slower.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::table::run("compare-threads", &benches::threads::cases())
}
