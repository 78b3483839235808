//! Prints how this project's rings compare with their peers: `compare [CASE]...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::table::run("compare", &benches::ring::cases())
}
