//! What the programs `compare` and `compare-threads` have in common: the command line, and the table.

use std::process::ExitCode;

use crate::contest::{Case, Contest, Missing, Outcome, ROUNDS, Round, near_round_trip};

/// Compares those of the cases of these areas that the command line names, or prints what is wrong with it. The name of an
/// area stands for all of its cases. A case that cannot be measured here fails, and the others are measured.
///
/// `--only (ours | baseline) CASE BATCHES` has one side of one case do so many batches, for a profiler.
pub fn run(program: &str, areas: &[(&str, Vec<Case>)]) -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.iter().any(|name| name == "--help" || name == "-h") {
        let names: String = areas.iter().map(|(area, _)| format!("{area} | ")).collect();
        println!("Usage: {program} [{names}CASE]...\n       {program} --only (ours | baseline) CASE BATCHES\n");
        println!(
            "Compares with the peers in the named cases, or in all. The start of a case's name, up to a slash, names"
        );
        println!("all such cases. --only: has one side do so many batches, and prints nothing. For a profiler.");
        return ExitCode::SUCCESS;
    }
    if let Some("--only") = names.first().map(String::as_str) {
        return only(areas, &names);
    }
    let is_known =
        |name: &str| areas.iter().any(|(area, cases)| *area == name || cases.iter().any(|case| is_named(name, case)));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return refuse(&format!("no case is named {unknown:?}"));
    }
    println!(
        "# ours and baseline: ns per chain, medians of {ROUNDS} rounds in turns; ratio: baseline / ours in the same round"
    );
    println!("# {:<26} {:>9} {:>9} {:>7} {:>6} {:>6} met", "case", "ours", "baseline", "ratio", "a/a", "want");
    let mut all = true;
    for (area, cases) in areas {
        for case in cases {
            if names.is_empty() || names.iter().any(|name| name == area || is_named(name, case)) {
                all &= print(case);
            }
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `--only SIDE CASE BATCHES`.
fn only(areas: &[(&str, Vec<Case>)], arguments: &[String]) -> ExitCode {
    let [_, side, name, batches] = arguments else { return refuse("--only needs a side, a case and batches") };
    let Some(case) = areas.iter().flat_map(|(_, cases)| cases).find(|case| case.name == *name) else {
        return refuse("there is no such case");
    };
    let Ok(batches) = batches.parse() else { return refuse("that is no number of batches") };
    let Contest { mut ours, mut baseline, .. } = match (case.contest)() {
        Ok(contest) => contest,
        Err(Missing(why)) => return refuse(&format!("{name} cannot be measured: {why}")),
    };
    match side.as_str() {
        "ours" => ours(batches),
        "baseline" => baseline(batches),
        _ => return refuse("the sides are ours and baseline"),
    };
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why} (see --help)");
    ExitCode::from(2)
}

/// Whether this is the name of the case, or of a group of cases that it is in.
fn is_named(name: &str, case: &Case) -> bool {
    case.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Measures a case, and prints its line; whether it could be measured.
fn print(case: &Case) -> bool {
    let (rounds, note) = match case.measure() {
        Ok(measured) => measured,
        Err(Missing(why)) => {
            println!("{:<28} CANNOT BE MEASURED: {why}", case.name);
            return false;
        }
    };
    let near = near_round_trip(&rounds);
    for round in &rounds {
        print_round_trips(round, near);
    }
    let outcome = Outcome::of(&rounds);
    let met = if outcome.meets(case.want) { "yes" } else { "NO" };
    println!("{:<28} {outcome} {:>6.2} {met}", case.name, case.want);
    if let Some(note) = note {
        println!("#   {}", note(&outcome));
    }
    true
}

/// The line of a round, where what it measured depends on how near two threads were.
fn print_round_trips(round: &Round, near: f64) {
    if let [Some(first), Some(baseline), Some(second)] = round.round_trips {
        let counts = if round.is_alike(near) { "" } else { ": does not count" };
        println!(
            "#   ratio {:>6.2}, cache line to and fro {first:.0}, {baseline:.0}, {second:.0} ns{counts}",
            round.ratio()
        );
    }
}
