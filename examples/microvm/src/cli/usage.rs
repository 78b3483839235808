//! A wrong command line in one line, which says which value is wrong and why.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

use super::{Cli, Command, disk, net};

/// Why there is nothing to do.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help or version was asked for: this is it.
    Help(clap::Error),
    /// The command line is wrong: this line says why.
    Wrong(String),
}

/// Parses a command line, the program's name first.
pub(crate) fn parse<I>(arguments: I) -> Result<Cli, Refusal>
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let cli = Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error),
        _ => Refusal::Wrong(one_line(&error)),
    })?;
    if let Some(Command::Boot(boot)) = &cli.command {
        let mut seen = HashSet::new();
        for serial in boot.disks.iter().filter_map(|disk| disk.serial.as_ref()) {
            if !seen.insert(serial) {
                return Err(Refusal::Wrong(format!("--disk: two disks have the serial number {serial}")));
            }
        }
        disk::groups(&boot.disks).map_err(Refusal::Wrong)?;
        net::groups(&boot.nets).map_err(Refusal::Wrong)?;
        net::distinct(&boot.nets).map_err(Refusal::Wrong)?;
    }
    Ok(cli)
}

/// The first paragraph of clap's explanation, which names the value, as one line; and the usage where a subcommand is
/// missing, since what comes before it may be missing too.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let words: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    match usage.filter(|_| error.kind() == ErrorKind::MissingSubcommand) {
        Some(usage) => format!("{line} (usage: {usage})"),
        None => line.to_owned(),
    }
}
