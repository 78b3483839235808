//! Prints how this project compares with its peers: `compare [AREA | CASE]...`.

use std::process::ExitCode;

use benches::AREAS;
use benches::contest::{Case, ROUNDS};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.iter().any(|name| name == "--help" || name == "-h") {
        println!("Usage: compare [AREA | CASE]...\n\nCompares with the peers in the named areas and cases, or in all.");
        println!("Areas: {}. The start of a case's name, up to a slash, names all such cases.", areas());
        return ExitCode::SUCCESS;
    }
    let cases: Vec<(&str, Case)> =
        AREAS.iter().flat_map(|area| (area.cases)().into_iter().map(|case| (area.name, case))).collect();
    if let Some(unknown) = names.iter().find(|name| !cases.iter().any(|(area, case)| is_named(name, area, case))) {
        eprintln!("compare: no area and no case is named {unknown:?}; the areas are: {}", areas());
        return ExitCode::from(2);
    }
    println!(
        "# ours and baseline: ns per chain, medians of {ROUNDS} rounds in turns; ratio: baseline / ours in the same round"
    );
    println!("# {:<26} {:>9} {:>9} {:>7} {:>6} {:>6} met", "case", "ours", "baseline", "ratio", "a/a", "want");
    for (area, case) in &cases {
        if names.is_empty() || names.iter().any(|name| is_named(name, area, case)) {
            print(case);
        }
    }
    ExitCode::SUCCESS
}

/// Whether this is the name of the area, of the case, or of a group of cases that it is in.
fn is_named(name: &str, area: &str, case: &Case) -> bool {
    let rest = case.name.strip_prefix(name);
    name == area || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn print(case: &Case) {
    let outcome = case.measure();
    let met = if outcome.meets(case.want) { "yes" } else { "NO" };
    println!("{:<28} {outcome} {:>6.1} {met}", case.name, case.want);
}

fn areas() -> String {
    AREAS.iter().map(|area| area.name).collect::<Vec<_>>().join(", ")
}
