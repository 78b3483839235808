//! Where there is no io_uring: in a process of its own, which forbids it to itself.

use std::process::{Command, Stdio};
use std::sync::Mutex;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::*;
use crate::backend::bench::{Bench, perform};
use crate::{BlockBackend, FileBackend, UringBackend};

const VARIABLE: &str = "VIRTIO_BLK_TEST_FORBID_URING";

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{}: {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// Has the calling thread, and those that it starts, get `errno` from `io_uring_setup`.
fn forbid(errno: u32) {
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().expect("a machine that seccomp knows");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// In the process of its own.
fn without(errno: u32) {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let image = Image::new(&pattern(8192, 1));
    let backend = UringBackend::new(FileBackend::open(&image.0).unwrap());
    let mut before = backend.open_queue(64).unwrap();
    assert!(backend.is_uring());
    forbid(errno);
    let mut bench = Bench::new();
    // The second one says nothing.
    for (count, offset) in [(1, 512), (2, 1024)] {
        let mut queue = backend.open_queue(64).unwrap();
        assert!(!backend.is_uring());
        assert_eq!(backend.fallbacks(), count);
        let (read, at) = bench.read(0, offset, 512);
        assert_eq!(perform(&mut *queue, read).unwrap(), 512);
        assert_eq!(bench.memory.bytes(at, 512), pattern(8192, 1)[offset as usize..][..512]);
        let write = bench.write(0, 4096, &[9; 512]);
        assert_eq!(perform(&mut *queue, write).unwrap(), 512);
        assert_eq!(image.content()[4096..][..512], [9; 512]);
    }
    // What was opened before goes on.
    assert_eq!(perform(&mut *before, bench.read(0, 0, 512).0).unwrap(), 512);
    let lines = LINES.lock().unwrap().clone();
    let word = if errno == libc::ENOSYS as u32 { "does not have it" } else { "forbidden" };
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN: ") && lines[0].contains(word), "{lines:?}");
}

#[test]
fn the_disk_is_served_without_io_uring_where_that_is_forbidden() {
    if let Ok(errno) = std::env::var(VARIABLE) {
        return without(errno.parse().unwrap());
    }
    for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("backend::uring::tests::forbidden::the_disk_is_served_without_io_uring_where_that_is_forbidden")
            .env(VARIABLE, errno.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&child.stderr)
        );
    }
}
