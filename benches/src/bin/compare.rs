//! Prints how this project's parts compare with their peers: `compare [ring | blk | net | CASE]...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::table::run(
        "compare",
        &[("ring", benches::ring::cases()), ("blk", benches::blk::cases()), ("net", benches::net::cases())],
    )
}
