//! Operations on rings, without a device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod calls;
mod cancels;
mod direct;
mod forbidden;
mod memory;
mod pieces;
mod threads;
mod transfers;

use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use virtio_core::GuestRam;

use super::queue::UringQueue;
use super::shared::Shared;
use super::sys::Way;
use crate::backend::file::Disk;
use crate::backend::{BlockQueue, Completion};

/// A file that goes with the test.
struct Image(PathBuf);

impl Image {
    fn new(content: &[u8]) -> Image {
        Image::under(&std::env::temp_dir(), content)
    }

    fn under(folder: &std::path::Path, content: &[u8]) -> Image {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("virtio-blk-uring-{}-{}.img", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let image = Image(folder.join(name));
        std::fs::write(&image.0, content).expect("a temporary file");
        image
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).expect("the image")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(&self.0).expect("the image")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Folders on whatever kinds of file systems there are.
fn folders() -> Vec<PathBuf> {
    let memory = PathBuf::from("/dev/shm");
    [Some(std::env::temp_dir()), Some(memory).filter(|folder| folder.is_dir())].into_iter().flatten().collect()
}

/// Bytes that are nowhere the same for long.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31).wrapping_add(at >> 9).wrapping_add(seed)) as u8).collect()
}

fn shared(file: File, entries: Option<u32>, ram: Option<GuestRam>) -> Arc<Shared> {
    let regular = file.metadata().expect("an open file").is_file();
    Arc::new(Shared::new(Arc::new(Disk::new(file, false, regular)), entries, ram))
}

fn open(shared: &Arc<Shared>, depth: u16) -> UringQueue {
    let ring = crate::backend::uring::ring(shared, depth, &Way::ALL).expect("io_uring");
    UringQueue::new(Arc::clone(shared), ring, depth)
}

/// A queue on a file.
fn queue(file: File) -> UringQueue {
    open(&shared(file, None, None), 64)
}

/// A disk whose reads wait until somebody writes to a pipe.
fn waiting() -> (File, PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe");
    (File::from(OwnedFd::from(reader)), writer)
}

/// Looks for completions until a condition is met.
fn until(queue: &mut UringQueue, mut met: impl FnMut(&mut UringQueue) -> bool) -> Vec<Completion> {
    let mut done = Vec::new();
    let limit = Instant::now() + Duration::from_secs(60);
    while !met(queue) {
        assert!(Instant::now() < limit, "waiting in vain");
        queue.completions(1000, &mut |completion| done.push(completion));
        std::thread::yield_now();
    }
    done
}

/// What is given back now, without waiting.
fn now(queue: &mut UringQueue) -> Vec<u16> {
    let mut done = Vec::new();
    queue.completions(1000, &mut |completion| done.push(completion.operation.tag()));
    done
}
