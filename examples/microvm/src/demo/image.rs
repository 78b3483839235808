//! A disk image with a real file system on it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek};
use sha2::{Digest, Sha256};

use super::DemoError;

/// Bytes of the image.
const SIZE: u64 = 24 << 20;

/// Name and length of the files on it.
const FILES: [(&str, usize); 3] = [("HELLO.TXT", 27), ("SMALL.BIN", 70_001), ("LARGE.BIN", 9 << 20)];

/// An image in the folder for temporary files, removed at the end.
pub(crate) struct Image {
    path: PathBuf,
    /// Name and checksum of what is on it.
    files: Vec<(&'static str, Sum)>,
}

/// A SHA-256 checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum([u8; 32]);

impl Sum {
    pub(crate) fn of(bytes: &[u8]) -> Sum {
        Sum(Sha256::digest(bytes).into())
    }

    /// The first digits, for people.
    pub(crate) fn short(&self) -> String {
        self.0[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Image {
    pub(crate) fn create() -> Result<Image, DemoError> {
        let path = std::env::temp_dir().join(format!("virtio-demo-{}.img", std::process::id()));
        let image = Image { files: FILES.map(|(name, len)| (name, Sum::of(&content(name, len)))).into(), path };
        image.fill().map_err(|source| DemoError::Image { path: image.path.clone(), source })?;
        Ok(image)
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.path)?;
        file.set_len(SIZE)?;
        fatfs::format_volume(&mut file, FormatVolumeOptions::new().volume_label(*b"VIRTIO DEMO"))?;
        file.seek(SeekFrom::Start(0))?;
        let disk = FileSystem::new(file, FsOptions::new())?;
        for (name, len) in FILES {
            disk.root_dir().create_file(name)?.write_all(&content(name, len))?;
        }
        disk.unmount()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        SIZE
    }

    pub(crate) fn files(&self) -> &[(&'static str, Sum)] {
        &self.files
    }

    /// The checksum of the whole image, as the host sees it.
    pub(crate) fn sum(&self) -> Result<Sum, DemoError> {
        fs::read(&self.path).map(|bytes| Sum::of(&bytes)).map_err(|source| self.error(source))
    }

    /// The checksum of one file on it, as the host sees it.
    pub(crate) fn sum_of(&self, name: &str) -> Result<Sum, DemoError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(|source| self.error(source))?;
        let disk = FileSystem::new(file, FsOptions::new()).map_err(|source| self.error(source))?;
        read_file(&disk, name).map(|bytes| Sum::of(&bytes)).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> DemoError {
        DemoError::Image { path: self.path.clone(), source }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // It is in the folder for temporary files: whoever empties that removes it too.
        let _ = fs::remove_file(&self.path);
    }
}

/// The content of a file of a file system, wherever that is.
pub(crate) fn read_file<D: ReadWriteSeek>(disk: &FileSystem<D>, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.root_dir().open_file(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that follow from a name.
pub(crate) fn content(name: &str, len: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x1000_0000_01b3));
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
