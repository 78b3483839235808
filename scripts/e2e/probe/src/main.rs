//! `probe`: what the network of the end-to-end tests is talked over with, on both sides. One small program without libraries,
//! because starting many takes most of the time where virtualisation is emulated.
//!
//! `probe serve` runs beside the virtual machines until it is ended:
//!
//! | port | |
//! |---|---|
//! | TCP 7000 | does what it is asked for in one line, and answers: see [`serve`] |
//! | TCP 7001 | gives the data, a file |
//! | TCP 7002 | takes as much as the data has, and answers with the digest of it |
//! | TCP 7003 | takes everything |
//! | TCP 7004 | gives without end |
//! | UDP 9000 | takes datagrams: see [`datagrams`] |
//!
//! The other commands run in the guest. They print what there is to say in one line, and fail where the network does.

#![forbid(unsafe_code)]

mod datagrams;
mod frames;
mod serve;
mod streams;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::datagrams::Run;

/// Requests.
const ASK: u16 = 7000;
/// The data is given.
const GIVE: u16 = 7001;
/// The data is taken.
const TAKE: u16 = 7002;
/// Everything is taken.
const SINK: u16 = 7003;
/// No end is given.
const SOURCE: u16 = 7004;
/// Datagrams.
const DATAGRAMS: u16 = 9000;

#[derive(Parser)]
#[command(about = "Talks over the network of the end-to-end tests")]
enum Command {
    /// Serves until it is ended.
    Serve {
        /// The data.
        #[arg(long)]
        data: PathBuf,
        /// What does requests that are not known here: a shell's script.
        #[arg(long)]
        script: PathBuf,
    },
    /// Has that host do something, and prints its answer.
    Ask {
        host: IpAddr,
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Takes what that host gives, and prints the digest.
    Get {
        host: IpAddr,
        #[arg(long, default_value_t = GIVE)]
        port: u16,
        /// A file to keep it in.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Gives that host a file, and prints the digest of what it got.
    Put { host: IpAddr, file: PathBuf },
    /// Gives a file to one who connects and, if so, has sent a line before.
    Give {
        port: u16,
        file: PathBuf,
        #[arg(long)]
        after_line: bool,
    },
    /// Sends to that host and receives from it, without end.
    Load { host: IpAddr },
    /// Sends datagrams to that address of that host, and prints what became of them.
    Up {
        host: IpAddr,
        to: IpAddr,
        #[command(flatten)]
        run: Run,
    },
    /// Has that host send datagrams to this address and port, and prints what became of them.
    Down {
        host: IpAddr,
        to: SocketAddr,
        #[command(flatten)]
        run: Run,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    let answer = match command {
        Command::Serve { data, script } => return serve::serve(&data, &script),
        Command::Load { host } => return streams::load(host),
        Command::Give { port, file, after_line } => return streams::give_one(port, &file, after_line),
        Command::Ask { host, words } => streams::ask(host, &words.join(" "))?,
        Command::Get { host, port, to } => streams::get((host, port).into(), to.as_deref())?,
        Command::Put { host, file } => streams::put(host, &file)?,
        Command::Up { host, to, run } => datagrams::up(host, to, &run)?,
        Command::Down { host, to, run } => datagrams::down(host, to, &run)?,
    };
    println!("{answer}");
    Ok(())
}
