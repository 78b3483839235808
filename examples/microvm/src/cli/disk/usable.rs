//! Which options of a disk go together, and which disks.

use std::collections::HashMap;

use super::{Backend, Disk, Format, Rate, Zoned};

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

/// The limits of each group of disks, by name.
///
/// One disk of a group says what they are, the others may leave it out or say the same.
pub(crate) fn groups(disks: &[Disk]) -> Result<HashMap<&str, Rate>, String> {
    let mut groups: HashMap<&str, Option<Rate>> = HashMap::new();
    for rate in disks.iter().filter_map(|disk| disk.rate.as_ref()) {
        let Some(group) = rate.group.as_deref() else {
            continue;
        };
        let known = groups.entry(group).or_default();
        let says = rate.requests.is_some() || rate.bytes.is_some();
        if says && known.as_ref().is_some_and(|known| known != rate) {
            return Err(format!("--disk: two disks give the group {group} different rates"));
        }
        if says {
            *known = Some(rate.clone());
        }
    }
    let whole = |(group, rate): (_, Option<Rate>)| match rate {
        Some(rate) => Ok((group, rate)),
        None => Err(format!("--disk: no disk of the group {group} says requests=N or bytes=SIZE")),
    };
    groups.into_iter().map(whole).collect()
}
