//! Prints how this project compares with its peers: `compare [AREA]...`.

use std::process::ExitCode;

use benches::AREAS;
use benches::contest::{Case, ROUNDS};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("Usage: compare [AREA]...\n\nCompares with the peers in the named areas, or in all: {}.", names());
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|argument| !AREAS.iter().any(|area| area.name == *argument)) {
        eprintln!("compare: no area is named {unknown:?}; there are: {}", names());
        return ExitCode::from(2);
    }
    println!(
        "# ours and baseline: ns per chain, medians of {ROUNDS} rounds in turns; ratio: baseline / ours in the same round"
    );
    println!("# {:<26} {:>9} {:>9} {:>7} {:>6}", "case", "ours", "baseline", "ratio", "a/a");
    for area in AREAS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == area.name) {
            (area.cases)().iter().for_each(print);
        }
    }
    ExitCode::SUCCESS
}

fn print(case: &Case) {
    println!("{:<28} {}", case.name, case.measure());
}

fn names() -> String {
    AREAS.iter().map(|area| area.name).collect::<Vec<_>>().join(", ")
}
