//! The file that is read and written.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use virtio_blk::{FileBackend, FileOptions};

/// A file that goes when the last side has gone.
pub(super) struct Image {
    path: PathBuf,
}

/// A file in which each 4 KiB start with their place in it. It is beside the program, on a disk.
pub(super) fn make(len: u64) -> Image {
    let program = std::env::current_exe().expect("a program");
    let folder = program.parent().expect("a folder");
    let path = folder.join(format!("compare-{}-{}.img", std::process::id(), std::ptr::from_ref(&program).addr()));
    let mut file = File::create(&path).expect("a file beside the program");
    let mut block = [0; 4096];
    for place in (0..len).step_by(block.len()) {
        block[..8].copy_from_slice(&place.to_le_bytes());
        file.write_all(&block).expect("room on the disk");
    }
    file.sync_all().expect("a disk");
    Image { path }
}

impl Image {
    /// As the device has it.
    pub(super) fn backend(&self, direct: bool) -> FileBackend {
        FileOptions::new().direct(direct).lock(false).open(&self.path).expect("the file")
    }

    /// As a loop without a device has it.
    pub(super) fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.path).expect("the file")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
