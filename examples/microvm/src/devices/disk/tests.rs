//! Tests of how disks are opened, and of what the control socket may do to them.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use virtio_blk::Block;
use virtio_blk::features::{DISCARD, FLUSH, MQ, ZONED};
use virtio_core::VirtioDevice;
use vmm_sys_util::tempdir::TempDir;
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

/// Why there is no such disk.
fn refusal(text: &str) -> String {
    opened(text).err().unwrap().to_string()
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
fn images_grow_and_are_what_was_said() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        let wanted = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
        assert!(!wanted, "qemu-img is missing: install qemu-utils");
        eprintln!("left out: qemu-img is missing");
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.as_path().join("image");
    let create = |options: &[&str]| {
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2"]).args(options).arg(&path).arg("1M");
        assert!(command.status().unwrap().success());
    };
    create(&[]);
    let path = path.display();
    let disk = opened(&format!("path={path},format=qcow2")).unwrap();
    assert_eq!(disk.handle.capacity() * SECTOR, 1 << 20);
    for bytes in [2 << 20, 4096] {
        disk.resize(bytes).unwrap();
        assert_eq!(disk.handle.capacity() * SECTOR, bytes);
    }
    drop(disk);
    // The guest would see the image itself, not the disk in it.
    let raw = opened(&format!("path={path}")).unwrap();
    assert!(raw.handle.capacity() * SECTOR > 4096);
    drop(raw);
    let refusal = refusal(&format!("path={path},format=vmdk,ro"));
    assert!(refusal.contains("cannot be used as a vmdk image"), "{refusal}");
    create(&["-u", "-F", "raw", "-b", "/etc/passwd"]);
    let refusal = self::refusal(&format!("path={path},format=qcow2"));
    assert!(refusal.contains("allow backing files"), "{refusal}");
}

#[test]
fn zoned_disks_keep_their_size() {
    let disk = opened("backend=mem,size=8M,zoned=host-managed:zone=1M:conventional=1:max-open=2:max-active=3").unwrap();
    assert!(disk.resize(4 << 20).unwrap_err().contains("keeps its size"));
    let refusal = refusal("backend=mem,size=1M,zoned=host-managed:zone=1M:conventional=9");
    assert!(refusal.starts_with("--disk backend=mem: "), "{refusal}");
}

#[test]
fn what_has_no_zones_is_named() {
    let (file, disk) = image("");
    drop(disk);
    let refusal = refusal(&format!("path={},zoned=host", file.as_path().display()));
    assert!(refusal.contains("is no block device with zones of its own"), "{refusal}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let uri = format!("nbd+unix:///disk?socket={}", folder.as_path().join("socket").display());
    let refusal = refusal(&format!("nbd={uri}"));
    assert!(refusal.starts_with(&format!("--disk {uri}: no connection to the NBD server")), "{refusal}");
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_may_be_at_a_server() {
    let folder = TempDir::new().unwrap();
    let [socket, image] = ["socket", "image"].map(|name| folder.as_path().join(name));
    std::fs::write(&image, vec![0; SIZE as usize]).unwrap();
    let mut server = Command::new("qemu-nbd");
    let server =
        server.args(["--persistent", "--shared=4", "--format=raw", "--socket"]).arg(&socket).arg(&image).spawn();
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    let _server = match server {
        Err(error) if error.kind() == ErrorKind::NotFound && !all => return println!("left out: there is no qemu-nbd"),
        server => Server(server.unwrap()),
    };
    let limit = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < limit, "the server does not come");
        std::thread::yield_now();
    }
    let block = device(&format!("nbd=nbd+unix:///?socket={},queues=2", socket.display()));
    assert_eq!(block.handle().capacity() * SECTOR, SIZE);
    assert_eq!(block.queue_sizes().len(), 2);
}

/// The device that `--disk` describes.
fn device(text: &str) -> Block {
    open(&[text.parse().unwrap()]).unwrap().pop().unwrap().block
}

#[test]
fn all_options_make_a_device() {
    let has = |block: &Block, feature| block.features().contains(feature);
    let plain = device("backend=mem,size=1M");
    assert!(has(&plain, FLUSH | DISCARD) && !has(&plain, MQ) && !has(&plain, ZONED));
    let options = "queues=2,queue-size=64,discard=off,on-error=enospc,timeout=30s,rate=requests=5:bytes=1M+2M";
    let block = device(&format!("backend=mem,size=1M,{options}"));
    assert_eq!((block.handle().capacity() * SECTOR, block.queue_sizes()), (1 << 20, &[64, 64][..]));
    assert!(has(&block, MQ) && !has(&block, DISCARD));
    assert!(has(&device("backend=mem,size=16M,zoned=host-managed:zone=1M"), ZONED));
    let disks =
        ["group=a:bytes=1M", "group=a"].map(|rate| format!("backend=null,size=4K,rate={rate}").parse().unwrap());
    assert_eq!(open(&disks).unwrap().len(), 2);
}

#[test]
fn an_image_is_for_one_disk() {
    let (file, _disk) = image("");
    let refusal = refusal(&format!("path={}", file.as_path().display()));
    assert!(refusal.contains("another"), "{refusal}");
}

#[test]
fn a_disk_that_runs_cannot_be_resumed() {
    assert!(opened("backend=null,size=4K").unwrap().resume().unwrap_err().contains("not stopped"));
}
