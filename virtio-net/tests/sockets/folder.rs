//! Where sockets of tests are.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::sys;

/// A folder that is removed at the end, and that everybody may use.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("virtio-net-{name}-{}", std::process::id())));
        fs::create_dir(&folder.0).expect("a folder");
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).expect("permissions");
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Says that the test cannot be done here; fails where all have to be.
pub(crate) fn left_out(why: &str) {
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!all || !sys::is_root(), "VIRTIO_TEST_TOOLS=all, but {why}");
    // Past the test's capture, so that it is seen.
    let _ = writeln!(std::io::stderr(), "left out, because {why}: {:?}", std::thread::current().name());
}
