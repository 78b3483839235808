//! Which options of a disk go together.

use super::{Backend, Disk, Format, Zoned};

/// Refuses what would be of no effect, or cannot be had.
pub(super) fn check(disk: &Disk) -> Result<(), String> {
    let in_file = matches!(disk.backend, Backend::File { .. } | Backend::Uring { .. });
    if disk.direct && !in_file {
        return Err("direct is for backend=uring and backend=file".to_owned());
    }
    if disk.cache_survives && !matches!(disk.backend, Backend::Nbd { .. }) {
        return Err("cache-survives is for backend=nbd".to_owned());
    }
    if disk.backing_files && disk.format == Format::Raw {
        return Err("backing-files is for format=qcow2 and format=vmdk: a raw image names no other file".to_owned());
    }
    if disk.zoned == Some(Zoned::Host) && !(in_file && disk.format == Format::Raw) {
        return Err("zoned=host is for path=DEVICE, a block device that has zones, and format=raw".to_owned());
    }
    if disk.read_only && disk.zoned.is_some() {
        return Err("zoned does not go with ro: writing is what zones are about".to_owned());
    }
    Ok(())
}
