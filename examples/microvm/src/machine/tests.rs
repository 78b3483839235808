//! Tests of a machine whose command line names what cannot be used. None gets as far as KVM.

use std::ffi::OsString;
use std::path::Path;
use std::process;

use vmm_sys_util::tempdir::TempDir;

use super::run;
use crate::boot::tests::tiny_kernel;
use crate::cli::{Command, usage};

/// Exit status and message of a machine with these options beside those for a kernel that can be loaded.
fn refusal<const N: usize>(options: [(&str, &Path); N]) -> (u8, String) {
    let kernel = tiny_kernel();
    let mut arguments: Vec<OsString> = vec!["microvm".into(), "boot".into()];
    if options.iter().all(|(option, _)| *option != "--kernel") {
        arguments.extend(["--kernel".into(), kernel.as_path().into()]);
    }
    for (option, value) in options {
        let value: OsString = match option {
            "--disk" => format!("path={}", value.display()).into(),
            "--rng" => format!("source={}", value.display()).into(),
            _ => value.into(),
        };
        arguments.extend([option.into(), value]);
    }
    let Ok(Some(Command::Boot(boot))) = usage::parse(arguments).map(|cli| cli.command) else {
        panic!("not a command line");
    };
    let error = run(&boot).expect_err("the machine ran");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message:?} has several lines");
    (error.exit_code(), message)
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let folder = folder.as_path();
    let odd = folder.join("odd");
    std::fs::write(&odd, [0; 1000]).unwrap();
    let pipe = folder.join("pipe");
    assert!(process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let missing = folder.join("missing");
    for (option, path, reason) in [
        ("--kernel", missing.as_path(), "No such file"),
        ("--kernel", folder, "not a regular file"),
        ("--kernel", &pipe, "not a regular file"),
        ("--kernel", Path::new("/dev/null"), "not a regular file"),
        ("--kernel", &odd, "give a 64-bit x86 bzImage"),
        ("--initrd", &missing, "No such file"),
        ("--initrd", folder, "not a regular file"),
        ("--initrd", &pipe, "not a regular file"),
        ("--disk", &missing, "no disk image"),
        ("--disk", folder, "neither a regular file nor a block device"),
        ("--disk", &pipe, "neither a regular file nor a block device"),
        ("--disk", &odd, "multiple of 512"),
        ("--rng", &missing, "No such file"),
        ("--rng", folder, "is a folder"),
    ] {
        let (status, message) = refusal([(option, path)]);
        assert_eq!(status, 2, "{message}");
        assert!(message.starts_with(option) && message.contains(reason), "{message}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn what_is_too_large_is_named() {
    let (status, message) = refusal([("--cmdline", Path::new(&"x".repeat(300)))]);
    assert_eq!((status, message.as_str()), (2, "--cmdline: 300 bytes, this kernel takes at most 255"));
    let folder = TempDir::new().unwrap();
    let large = folder.as_path().join("large");
    std::fs::File::create(&large).unwrap().set_len(64 << 20).unwrap();
    let (status, message) = refusal([("--initrd", &large), ("--mem", Path::new("32M"))]);
    assert_eq!(status, 2);
    assert!(message.contains("the initrd does not fit"), "{message}");
}
