//! Real files: what is done with them, how they are opened, and what happens when they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[cfg(target_os = "linux")]
mod block_device;
mod direct;
mod faults;
mod limits;
mod locks;
mod ranges;
mod sysfs;

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::bench::{Bench, perform};
use super::super::{BlockBackend, BlockQueue, OperationKind, OperationResult};

/// A file that goes with the test.
struct Image(PathBuf);

impl Image {
    fn new(content: &[u8]) -> Image {
        Image::under(&std::env::temp_dir(), content)
    }

    fn under(folder: &Path, content: &[u8]) -> Image {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("virtio-blk-file-{}-{}.img", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = folder.join(name);
        fs::write(&path, content).expect("a temporary file");
        Image(path)
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.0).expect("the image")
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).expect("the image")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Folders on whatever kinds of file systems there are.
fn folders() -> Vec<PathBuf> {
    let shm = PathBuf::from("/dev/shm");
    let mut folders = vec![std::env::temp_dir()];
    folders.extend(Some(shm).filter(|folder| folder.is_dir()));
    folders
}

/// Bytes that differ from place to place.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed | 1).collect()
}

/// A queue, and what operations are made of.
struct Rig {
    bench: Bench,
    queue: Box<dyn BlockQueue>,
}

impl Rig {
    fn new(backend: &dyn BlockBackend) -> Rig {
        Rig { bench: Bench::new(), queue: backend.open_queue(16).expect("a queue") }
    }

    fn range(&mut self, kind: OperationKind, offset: u64, len: u64) -> OperationResult {
        let operation = self.bench.range(0, kind, offset, len);
        perform(&mut *self.queue, operation)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> OperationResult {
        let operation = self.bench.write(0, offset, data);
        perform(&mut *self.queue, operation)
    }

    fn read(&mut self, offset: u64, len: u32) -> (OperationResult, Vec<u8>) {
        let (operation, at) = self.bench.read(0, offset, len);
        let result = perform(&mut *self.queue, operation);
        (result, self.bench.memory.bytes(at, len as usize))
    }
}

/// Says that a test cannot be done here; fails where all have to be.
fn left_out(why: &str) {
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!all, "VIRTIO_TEST_TOOLS=all, but {why}");
    eprintln!("left out: {why}");
}

/// Runs one test of this program again by way of a shell, with `VIRTIO_BLK_CHILD` set to `folder`.
fn in_child(shell: &str, test: &str, folder: &Path) {
    let this = std::env::current_exe().expect("this program");
    let mut child = Command::new("sh");
    child.arg("-c").arg(shell).arg(this).arg(format!("backend::file::tests::{test}"));
    child.env("VIRTIO_BLK_CHILD", folder);
    let output = child.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
}

fn child_folder() -> Option<PathBuf> {
    std::env::var_os("VIRTIO_BLK_CHILD").map(PathBuf::from)
}
