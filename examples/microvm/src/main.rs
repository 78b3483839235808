//! A small KVM virtual machine monitor that embeds the virtio crates.
//!
//! ```text
//! cli  -> machine -> kvm, memory, boot, acpi     what there is before the first instruction
//!                 -> devices, pci, irq, legacy   what the guest finds
//!                 -> vcpu, stop, control         what happens while it runs
//! ```
//!
//! Where a virtio device is put into the machine: `devices/attach.rs`.
#![deny(unsafe_code)]

mod acpi;
mod boot;
mod cli;
mod control;
mod demo;
mod devices;
mod error;
mod irq;
mod kvm;
mod layout;
mod legacy;
mod machine;
mod memory;
mod pci;
mod stop;
mod vcpu;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use cli::usage::{self, Refusal};
use cli::{Cli, Command, CtlRequest, Link};
use error::Error;
use stop::Ending;

/// Exit status for a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    env_logger::init();
    match usage::parse(std::env::args_os()) {
        Ok(cli) => status(run(cli)),
        Err(Refusal::Help(help)) => status(help.print().map_err(Error::Output)),
        Err(Refusal::Wrong(reason)) => {
            complain(&reason);
            ExitCode::from(USAGE)
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Some(Command::Boot(boot)) => machine::run(&boot).and_then(finish),
        Some(Command::Ctl(ctl)) => control::client::run(&ctl.socket, &request(ctl.request)),
        None => demo::run(&mut std::io::stdout().lock()),
    }
}

fn request(request: CtlRequest) -> control::Request {
    match request {
        CtlRequest::Resize { serial, bytes } => control::Request::Resize { serial, bytes },
        CtlRequest::Resume { serial } => control::Request::Resume { serial },
        CtlRequest::Stats { device } => control::Request::Stats { device },
        CtlRequest::Link { device, state } => control::Request::Link { device, up: state == Link::Up },
        CtlRequest::Announce { device } => control::Request::Announce { device },
    }
}

/// Says what went wrong.
fn status(done: Result<(), Error>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_closed_pipe() {
                complain(&error);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// One line on standard error; where that cannot be written, the exit status has to do.
fn complain(reason: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "microvm: {reason}");
}

fn finish(ending: Ending) -> Result<(), Error> {
    match ending {
        Ending::PowerOff => log::info!("the guest powered off"),
        Ending::Reset => log::info!("the guest asked for a reset"),
        Ending::User => log::info!("ended by the user"),
        Ending::Failed(error) => return Err(error),
    }
    Ok(())
}
