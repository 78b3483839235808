//! Tests of how disks are opened, and of what the control socket may do to them.

use vmm_sys_util::tempfile::TempFile;

use super::super::control::DiskControl;
use super::running::SECTOR;
use super::*;

const SIZE: u64 = 8 * SECTOR;

/// The disk that `--disk` describes, as it would be put into a machine.
fn opened(text: &str) -> Result<Running, Error> {
    let disk: Disk = text.parse().unwrap();
    let Opened { block, growth } = open(std::slice::from_ref(&disk))?.pop().unwrap();
    Ok(Running { growth, handle: block.handle() })
}

/// An image of `SIZE` bytes, and a disk on it with these options.
fn image(options: &str) -> (TempFile, Running) {
    let file = TempFile::new().unwrap();
    file.as_file().set_len(SIZE).unwrap();
    let disk = opened(&format!("path={}{options}", file.as_path().display())).unwrap();
    (file, disk)
}

fn len(file: &TempFile) -> u64 {
    file.as_file().metadata().unwrap().len()
}

#[test]
fn image_and_device_get_the_new_size() {
    for options in ["", ",backend=file", ",backend=uring"] {
        let (file, disk) = image(options);
        for bytes in [SIZE * 2, SIZE / 2, 0] {
            disk.resize(bytes).unwrap();
            assert_eq!(len(&file), bytes);
            assert_eq!(disk.handle.capacity() * SECTOR, bytes);
        }
    }
}

#[test]
fn what_the_device_cannot_show_leaves_the_image_as_it_is() {
    let refused = |options, bytes, reason| {
        let (file, disk) = image(options);
        let refusal = disk.resize(bytes).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
        assert_eq!(len(&file), SIZE);
        assert_eq!(disk.handle.capacity() * SECTOR, SIZE);
    };
    for bytes in [1, SIZE - 1, SIZE + 1] {
        refused("", bytes, "multiple of 512");
    }
    refused(",ro", SIZE * 2, "read-only");
    refused(",ro", SIZE / 2, "read-only");
}

#[test]
fn memory_grows_and_what_is_nowhere_shrinks() {
    let disk = opened("backend=mem,size=4K").unwrap();
    for bytes in [8192, 512] {
        disk.resize(bytes).unwrap();
        assert_eq!(disk.handle.capacity() * SECTOR, bytes);
    }
    let disk = opened("backend=null,size=4K").unwrap();
    disk.resize(512).unwrap();
    disk.resize(4096).unwrap();
    assert!(disk.resize(8192).unwrap_err().contains("4096 bytes only"));
    assert_eq!(disk.handle.capacity() * SECTOR, 4096);
}

#[test]
fn counts_are_one_line_of_json() {
    let disk = opened("backend=mem,size=4K").unwrap();
    let stats = disk.stats();
    assert!(!stats.contains('\n'), "{stats}");
    let counts: serde_json::Value = serde_json::from_str(&stats).unwrap();
    for count in ["reads", "read_bytes", "writes", "written_bytes", "flushes", "refused", "unsupported", "failed"] {
        assert_eq!(counts.get(count).and_then(serde_json::Value::as_u64), Some(0), "{count} in {stats}");
    }
}

#[test]
fn a_disk_that_runs_cannot_be_resumed() {
    assert!(opened("backend=null,size=4K").unwrap().resume().unwrap_err().contains("not stopped"));
}
