//! Disks in files, by each way to them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use virtio_blk::{Block, BlockBackend, BlockBuilder, FileBackend, FileOptions, UringBackend};
use virtio_core::testing::TestMemory;

use crate::rig::{Rig, Split};

/// A file that goes with the test.
pub(crate) struct Image(pub(crate) PathBuf);

impl Image {
    pub(crate) fn new(content: &[u8]) -> Image {
        Image::under(&std::env::temp_dir(), content)
    }

    /// Where a real file system is most likely, which can do direct I/O.
    pub(crate) fn on_disk(content: &[u8]) -> Image {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        if folder.is_dir() { Image::under(folder, content) } else { Image::new(content) }
    }

    pub(crate) fn under(folder: &Path, content: &[u8]) -> Image {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("virtio-blk-storage-{}-{}.img", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = folder.join(name);
        fs::write(&path, content).expect("a file");
        Image(path)
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(&self.0).expect("the image")
    }

    pub(crate) fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).expect("the image")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Ways to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    File,
    Uring,
    /// On rings with room for two requests.
    Narrow,
}

impl Way {
    /// The disk; None where the file system cannot do direct I/O.
    pub(crate) fn open(self, image: &Image, direct: bool) -> Option<Arc<dyn BlockBackend>> {
        let file: FileBackend = match FileOptions::new().direct(direct).open(&image.0) {
            Ok(file) => file,
            Err(_) if direct => return None,
            Err(error) => panic!("{error}"),
        };
        Some(match self {
            Way::File => Arc::new(file),
            Way::Uring => Arc::new(UringBackend::new(file)),
            Way::Narrow => Arc::new(UringBackend::builder(file).entries(2).build()),
        })
    }
}

/// A device that has time for real storage.
pub(crate) fn rig<P: Split>(
    backend: impl BlockBackend + 'static,
    change: impl FnOnce(BlockBuilder) -> BlockBuilder,
) -> Rig<P> {
    let block = change(Block::builder(backend)).build().expect("a device");
    Rig::with(block, TestMemory::new(64 << 20), |host| host.reset_limit(Duration::from_secs(20)))
}

/// How often something is to be done: as often as the environment says, or so often.
pub(crate) fn times(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |times| times.parse().expect("a number"))
}

/// Says that a test cannot be done here; fails where all have to be.
pub(crate) fn left_out(why: &str) {
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!all, "VIRTIO_TEST_TOOLS=all, but {why}");
    eprintln!("left out: {why}");
}
