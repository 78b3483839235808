use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::super::zone::ZonedModel;
use super::super::super::{BlockBackend, Lifetime};
use super::super::FileBackend;
use super::super::sysfs::Sysfs;
use super::{Image, pattern};

/// A tree that looks like the system's.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = std::env::temp_dir().join(format!("virtio-blk-sysfs-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        Tree(root)
    }

    fn link(self, from: &str, to: &str) -> Tree {
        symlink(to, self.0.join(from)).expect("a link");
        self
    }

    fn lifetime(&self, folder: &str) -> Option<Lifetime> {
        Sysfs::at(&self.0.join(folder)).expect("a folder").lifetime()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn emmc(name: &str, life_time: &str, pre_eol_info: &str) -> Tree {
    let device = "mmc0/mmc0:0001";
    Tree::new(
        name,
        &[
            (&format!("{device}/life_time"), life_time),
            (&format!("{device}/pre_eol_info"), pre_eol_info),
            (&format!("{device}/block/mmcblk0/size"), "61071360\n"),
            (&format!("{device}/block/mmcblk0/mmcblk0p1/partition"), "1\n"),
        ],
    )
    .link(&format!("{device}/block/mmcblk0/device"), "../../../mmc0:0001")
    .link("179:0", &format!("{device}/block/mmcblk0"))
    .link("179:1", &format!("{device}/block/mmcblk0/mmcblk0p1"))
}

#[test]
fn blk_life_01_emmc_tells_and_so_do_its_partitions() {
    let tree = emmc("emmc", "0x02 0x0b\n", "0x01\n");
    let expected = Some(Lifetime { pre_eol_info: 1, type_a: 2, type_b: 11 });
    assert_eq!(tree.lifetime("179:0"), expected);
    assert_eq!(tree.lifetime("179:1"), expected);
}

#[test]
fn blk_life_01_ufs_tells_at_its_controller() {
    let (host, disk) = ("1d84000.ufshc", "1d84000.ufshc/host0/target0:0:0/0:0:0:0/block/sda");
    let tree = Tree::new(
        "ufs",
        &[
            (&format!("{host}/health_descriptor/eol_info"), "0x02\n"),
            (&format!("{host}/health_descriptor/life_time_estimation_a"), "0x03\n"),
            (&format!("{host}/health_descriptor/life_time_estimation_b"), "0x0A\n"),
            (&format!("{disk}/sda1/partition"), "1\n"),
        ],
    )
    .link(&format!("{disk}/device"), "../../../0:0:0:0");
    let expected = Some(Lifetime { pre_eol_info: 2, type_a: 3, type_b: 10 });
    assert_eq!(tree.lifetime(disk), expected);
    assert_eq!(tree.lifetime(&format!("{disk}/sda1")), expected);
}

// spec: BLK-LIFE-03
#[test]
fn blk_life_02_what_has_no_meaning_is_not_told() {
    let told = |life_time: &str, pre_eol_info: &str| emmc("odd", life_time, pre_eol_info).lifetime("179:0");
    for life_time in ["", "0x01", "0x01 0x02 0x03", "1 2", "0xg 0x01", "0x10000 0x01", "0x00 0x00\n", "0x0c 0xff"] {
        assert_eq!(told(life_time, "0x00\n"), None, "{life_time:?}");
    }
    assert_eq!(told(&"0x01 ".repeat(1000), "0x01"), None);
    // Some of it has.
    assert_eq!(told("0x0c 0x01\n", "0x04\n"), Some(Lifetime { pre_eol_info: 0, type_a: 0, type_b: 1 }));
    assert_eq!(told("0x01 0x00\n", "?"), Some(Lifetime { pre_eol_info: 0, type_a: 1, type_b: 0 }));
    assert_eq!(told("0x00 0x00\n", "0x03\n"), Some(Lifetime { pre_eol_info: 3, type_a: 0, type_b: 0 }));

    let plain = Tree::new("plain", &[("sda/size", "100\n"), ("sda/device/model", "disk\n")]);
    assert_eq!(plain.lifetime("sda"), None);
    assert!(Sysfs::at(Path::new("/no/such/folder")).is_none());
    let image = Image::new(&pattern(4096, 1));
    assert_eq!(FileBackend::open(&image.0).expect("an image").lifetime().expect("an answer"), None);
}

#[test]
fn numbers_of_the_queue_are_those_of_the_disk() {
    let tree = Tree::new(
        "queue",
        &[
            ("sda/queue/discard_max_bytes", "2147450880\n"),
            ("sda/queue/discard_granularity", "much\n"),
            ("sda/sda1/partition", "1\n"),
        ],
    );
    for folder in ["sda", "sda/sda1"] {
        let sysfs = Sysfs::at(&tree.0.join(folder)).expect("a folder");
        assert_eq!(sysfs.queue("discard_max_bytes"), Some(2_147_450_880));
        assert_eq!(sysfs.queue("discard_granularity"), None);
        assert_eq!(sysfs.queue("write_zeroes_max_bytes"), None);
    }
}

#[test]
fn zoned_devices_say_how_they_have_to_be_treated() {
    for (told, model) in [
        ("host-managed\n", Some(ZonedModel::HostManaged)),
        ("host-aware\n", Some(ZonedModel::HostAware)),
        ("none\n", None),
        ("drive-managed\n", None),
        ("", None),
    ] {
        let tree = Tree::new("zoned", &[("sda/queue/zoned", told), ("sda/sda1/partition", "1\n")]);
        for folder in ["sda", "sda/sda1"] {
            assert_eq!(Sysfs::at(&tree.0.join(folder)).expect("a folder").zoned(), model, "{told:?}");
        }
    }
    let plain = Tree::new("unzoned", &[("sda/size", "100\n")]);
    assert_eq!(Sysfs::at(&plain.0.join("sda")).expect("a folder").zoned(), None);
}
