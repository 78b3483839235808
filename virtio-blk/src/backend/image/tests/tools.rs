//! Image files, and what `qemu-img` says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder for the files of a test, which goes with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("virtio-blk-image-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file with this content.
    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether `qemu-img` is there. Where it has to be and is not, the test fails; else it says that it was left out.
pub(super) fn tools_missing() -> bool {
    if Command::new("qemu-img").arg("--version").output().is_ok() {
        return false;
    }
    let wanted = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!wanted, "qemu-img is missing: install qemu-utils");
    eprintln!("left out: qemu-img is missing");
    true
}

fn run(arguments: &[&str]) -> Output {
    Command::new("qemu-img").args(arguments).output().unwrap()
}

/// Runs `qemu-img`, which has to succeed.
pub(super) fn qemu_img(arguments: &[&str]) {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `qemu-img`; says whether it succeeded.
pub(super) fn qemu_img_succeeds(arguments: &[&str]) -> bool {
    run(arguments).status.success()
}

/// An image by `qemu-img create`, with these options.
pub(super) fn create(path: &Path, options: &[&str], size: &str) {
    qemu_img(&[&["create", "-q"], options, &[text(path), size]].concat());
}

/// The disk in an image.
pub(super) fn content(path: &Path, format: &str) -> Vec<u8> {
    let raw = path.with_extension("content");
    qemu_img(&["convert", "-U", "-f", format, "-O", "raw", text(path), text(&raw)]);
    fs::read(raw).unwrap()
}

/// `qemu-img check` finds no errors, and no clusters that nobody uses.
pub(super) fn check(path: &Path) {
    let output = run(&["check", "-f", "qcow2", text(path)]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
