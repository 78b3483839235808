//! What the system tells of a block device in files.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::Lifetime;
use super::super::zone::ZonedModel;

/// The most bytes of such a file that matter.
const LONGEST: u64 = 64;
/// How far above the disk its controller may be.
const HIGHEST: usize = 8;

/// The folder of a disk.
#[derive(Debug)]
pub(in crate::backend) struct Sysfs {
    disk: PathBuf,
}

impl Sysfs {
    /// That of a block device, if the system shows it.
    #[cfg(target_os = "linux")]
    pub(in crate::backend) fn of(metadata: &Metadata) -> Option<Sysfs> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};

        let number = metadata.rdev();
        let folder = format!("/sys/dev/block/{}:{}", libc::major(number), libc::minor(number));
        metadata.file_type().is_block_device().then(|| Sysfs::at(Path::new(&folder)))?
    }

    #[cfg(not(target_os = "linux"))]
    pub(in crate::backend) fn of(_metadata: &Metadata) -> Option<Sysfs> {
        None
    }

    /// The folder of a disk, or of a partition of it.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn at(folder: &Path) -> Option<Sysfs> {
        // What it is called elsewhere is a link into the tree of devices, where a partition is below its disk.
        let folder = fs::canonicalize(folder).ok()?;
        let disk = if folder.join("partition").exists() { folder.parent()?.to_owned() } else { folder };
        Some(Sysfs { disk })
    }

    /// A number that tells how requests should be.
    pub(in crate::backend) fn queue(&self, name: &str) -> Option<u64> {
        text(&self.disk.join("queue").join(name)).ok()?.trim().parse().ok()
    }

    /// How its zones have to be treated, if it has some.
    pub(in crate::backend) fn zoned(&self) -> Option<ZonedModel> {
        match text(&self.disk.join("queue/zoned")).ok()?.trim() {
            "host-managed" => Some(ZonedModel::HostManaged),
            "host-aware" => Some(ZonedModel::HostAware),
            _ => None,
        }
    }

    /// What flash storage tells of its wear; `None` for all else, and where it tells nothing that has a meaning
    /// (BLK-LIFE-01, BLK-LIFE-02).
    pub(super) fn lifetime(&self) -> Option<Lifetime> {
        let lifetime = self.emmc().or_else(|| self.ufs())?.meaningful();
        (lifetime != Lifetime::default()).then_some(lifetime)
    }

    fn emmc(&self) -> Option<Lifetime> {
        let device = self.disk.join("device");
        let wear = numbers(&device.join("life_time"))?;
        let &[type_a, type_b] = wear.as_slice() else {
            return None;
        };
        let pre_eol_info = number(&device.join("pre_eol_info")).unwrap_or(0);
        Some(Lifetime { pre_eol_info, type_a, type_b })
    }

    /// The controller tells, which is above the disk.
    fn ufs(&self) -> Option<Lifetime> {
        let device = fs::canonicalize(self.disk.join("device")).ok()?;
        let health = device.ancestors().take(HIGHEST).map(|folder| folder.join("health_descriptor"));
        let health = health.into_iter().find(|folder| folder.is_dir())?;
        Some(Lifetime {
            pre_eol_info: number(&health.join("eol_info"))?,
            type_a: number(&health.join("life_time_estimation_a"))?,
            type_b: number(&health.join("life_time_estimation_b"))?,
        })
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The hexadecimal numbers in a file, if it has nothing else.
fn numbers(path: &Path) -> Option<Vec<u16>> {
    let parse = |word: &str| u16::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    text(path).ok()?.split_whitespace().map(parse).collect()
}

fn number(path: &Path) -> Option<u16> {
    match numbers(path)?.as_slice() {
        [number] => Some(*number),
        _ => None,
    }
}
