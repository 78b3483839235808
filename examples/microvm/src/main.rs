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

use std::process::ExitCode;

use cli::usage::{self, Refusal};
use cli::{Cli, Command, CtlRequest};
use error::Error;
use stop::Ending;

/// Exit status for a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    env_logger::init();
    match usage::parse(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(Refusal::Help(help)) => {
            // To a closed pipe there is nobody to tell.
            let _ = help.print();
            ExitCode::SUCCESS
        }
        Err(Refusal::Wrong(reason)) => {
            eprintln!("microvm: {reason}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Some(Command::Boot(boot)) => machine::run(&boot).and_then(finish),
        Some(Command::Ctl(ctl)) => {
            let CtlRequest::Resize { serial, bytes } = ctl.request;
            control::client::send(&ctl.socket, &control::Request::Resize { serial, bytes })
        }
        None => demo::run().map_err(Error::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("microvm: {error}");
            ExitCode::from(error.exit_code())
        }
    }
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
