//! What the program does when standard output takes nothing.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn microvm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microvm"));
    command.args(arguments).env_remove("RUST_LOG").stderr(Stdio::piped());
    command
}

fn message(output: &Output) -> Cow<'_, str> {
    String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_full_device_gives_one_line() {
    for arguments in [&[][..], &["--help"], &["boot", "--help"], &["--version"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = microvm(arguments).stdout(full).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(message(&output).starts_with("microvm: cannot write to standard output: "), "{}", message(&output));
        assert_eq!(message(&output).lines().count(), 1, "{}", message(&output));
    }
}

#[test]
fn a_message_that_nobody_can_read_changes_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(microvm(&["fly"]).stderr(full).status().unwrap().code(), Some(2));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = microvm(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("disk image: "), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(message(&output), "");
}
