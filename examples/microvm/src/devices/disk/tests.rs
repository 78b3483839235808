//! Tests of what the control socket may do to an image.

use virtio_core::Features;
use vmm_sys_util::tempfile::TempFile;

use super::*;
use crate::cli::transport::Transport;

const SIZE: u64 = 8 * SECTOR;

/// An image of `SIZE` bytes and what changes its size.
fn image(read_only: bool) -> Result<(TempFile, ImageFile), Error> {
    let setup = |source| Error::Setup { what: "an image", source };
    let file = TempFile::new().map_err(|errno| setup(errno.into()))?;
    file.as_file().set_len(SIZE).map_err(setup)?;
    let path = file.as_path().to_owned();
    let features = Features::NONE;
    let disk = Disk { path: path.clone(), read_only, serial: None, transport: Transport::Pci, features };
    let handle = open(&disk)?.handle();
    Ok((file, ImageFile { path, read_only, handle }))
}

#[test]
fn image_and_device_get_the_new_size() {
    let (file, disk) = image(false).unwrap();
    for bytes in [SIZE * 2, SIZE / 2, 0] {
        disk.resize(bytes).unwrap();
        assert_eq!(file.as_file().metadata().unwrap().len(), bytes);
        assert_eq!(disk.handle.capacity() * SECTOR, bytes);
    }
}

#[test]
fn what_the_device_cannot_show_leaves_the_image_as_it_is() {
    let refused = |read_only, bytes, reason| {
        let (file, disk) = image(read_only).unwrap();
        let refusal = disk.resize(bytes).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
        assert_eq!(file.as_file().metadata().unwrap().len(), SIZE);
        assert_eq!(disk.handle.capacity() * SECTOR, SIZE);
    };
    for bytes in [1, SIZE - 1, SIZE + 1] {
        refused(false, bytes, "multiple of 512");
    }
    refused(true, SIZE * 2, "read-only");
    refused(true, SIZE / 2, "read-only");
}
