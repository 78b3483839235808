//! Networks of tests, each in a network namespace of its own; shared by those of units and of the whole.

mod sys;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

pub(crate) use sys::leave_the_host;

use super::left_out::{is_root, left_out};

/// Runs a test in a network of its own, if this user can.
pub(crate) fn in_a_network(test: impl FnOnce() + Send) {
    if !is_root() {
        return left_out("only root can make network namespaces");
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return left_out("there is no /dev/net/tun");
    }
    // One at a time: a child of another test has the open files of this one until its program starts.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = thread::scope(|scope| {
        let run = || {
            leave_the_host().expect("a network namespace");
            for which in ["default", "all"] {
                // Or the host says something by itself at times.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
            }
            test();
        };
        scope.spawn(run).join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a program with these arguments, which has to succeed; what it says.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().expect("a program");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}
