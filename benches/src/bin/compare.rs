//! Prints how this project's rings compare with their peers: `compare [ring | CASE]...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::table::run("compare", "ring", &benches::ring::cases())
}
