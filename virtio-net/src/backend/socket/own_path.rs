//! Where a socket of our own is.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::error::SocketError;

/// Folders that are tried.
const ATTEMPTS: u32 = 100;

/// A path that a socket is made at, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    /// The folder that was made for it, which others cannot enter.
    folder: Option<PathBuf>,
}

impl OwnPath {
    /// Somewhere.
    pub(super) fn anywhere() -> Result<OwnPath, SocketError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut tried = 0;
        loop {
            let name = format!("virtio-net-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
            let folder = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(OwnPath { path: folder.join("socket"), folder: Some(folder) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < ATTEMPTS => tried += 1,
                Err(source) => return Err(SocketError::Bind { path: folder, source }),
            }
        }
    }

    /// Where the embedder says. It is removed only once a socket was [made](Self::made) there.
    pub(super) fn at(path: PathBuf) -> OwnPath {
        OwnPath { path, folder: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A socket is there now.
    pub(super) fn made(self) -> Made {
        Made(self)
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// A path with a socket.
#[derive(Debug)]
pub(super) struct Made(OwnPath);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0.path);
    }
}
