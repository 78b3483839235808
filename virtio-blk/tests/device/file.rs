//! Disks in files.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use virtio_blk::{Block, BlockBackend, FileBackend, OpenError};
use virtio_core::testing::{Buffer, TestMemory};

use crate::ports::Mmio;
use crate::rig::*;

/// A file that goes with the test.
struct Image(PathBuf);

impl Image {
    fn new(content: &[u8]) -> Image {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("virtio-blk-{}-{}.img", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).expect("a temporary file");
        Image(path)
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.0).expect("the image")
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).expect("the image")
    }

    fn rig(&self) -> Rig<Mmio> {
        Rig::<Mmio>::new(Block::builder(FileBackend::open(&self.0).expect("an image")).build().expect("a device"))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn data_moves_between_file_and_guest() {
    let image = Image::new(&pattern(65536, 1));
    let rig = image.rig();
    for features in [USUAL, USUAL - FLUSH_FEATURE] {
        let driver = &mut rig.live(features);
        assert_eq!(rig.config_capacity(), 128);
        let data = pattern(8192, 77);
        assert_eq!(rig.write(driver, 64, &data).status, OK);
        assert_eq!(image.content()[32768..40960], data);
        assert_eq!(rig.request(driver, FLUSH, 0, &[], 0).status, OK);
        let answer = rig.read(driver, 1, 65536 - 512);
        assert_eq!((answer.status, answer.len), (OK, 65025));
        assert_eq!(answer.data, image.content()[512..]);
        rig.port.set_status(0);
    }
    assert_eq!(image.content()[..32768], pattern(65536, 1)[..32768]);
}

#[test]
fn more_pieces_than_one_system_call_takes() {
    let image = Image::new(&pattern(1 << 20, 4));
    let backend = FileBackend::open(&image.0).expect("an image");
    let rig = Rig::<Mmio>::new(Block::builder(backend).queue_size(4096).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    // 2560 pieces of 200 bytes.
    let (header, data) = (rig.memory.place(&header(IN, 2)), rig.memory.alloc(512_001, 1));
    let mut chain = vec![Buffer::readable(header, 16)];
    chain.extend((0..2560).map(|i| Buffer::writable(data + 200 * i, 200)));
    chain.push(Buffer::writable(data + 512_000, 1));
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(512_001));
    assert_eq!(rig.memory.bytes(data, 512_000), image.content()[1024..1024 + 512_000]);
    assert_eq!(rig.memory.bytes(data + 512_000, 1), [OK]);
}

#[test]
fn data_may_lie_in_several_regions() {
    let image = Image::new(&pattern(8192, 4));
    let memory = TestMemory::with_regions(&[(0, 1 << 20), (1 << 20, 4096)]);
    let backend = FileBackend::open(&image.0).expect("an image");
    let rig = Rig::<Mmio>::with(Block::builder(backend).build().expect("a device"), memory, |host| host);
    let driver = &mut rig.live(USUAL);
    let (header, status) = (rig.memory.place(&header(IN, 0)), rig.memory.place(&[UNTOUCHED]));
    let data = (1 << 20) - 2048;
    let chain = [Buffer::readable(header, 16), Buffer::writable(data, 4096), Buffer::writable(status, 1)];
    assert_eq!(rig.chain(driver, &chain).map(|used| used.len), Some(4097));
    assert_eq!(rig.memory.bytes(data, 4096), image.content()[..4096]);
}

#[test]
fn a_file_that_is_cut_short_gives_ioerr_and_does_not_grow() {
    let image = Image::new(&pattern(65536, 1));
    let rig = image.rig();
    let driver = &mut rig.live(USUAL - FLUSH_FEATURE);
    image.file().set_len(5120).expect("a shorter file");
    assert_eq!(rig.read(driver, 9, 512).status, OK);
    assert_eq!(rig.write(driver, 9, &[1; 512]).status, OK);
    for sector in [9, 10, 100] {
        assert_eq!(rig.read(driver, sector, 1024).status, IOERR, "read from {sector}");
        assert_eq!(rig.write(driver, sector, &[1; 1024]).status, IOERR, "write to {sector}");
    }
    assert_eq!(image.content().len(), 5120);
    rig.handle.refresh().expect("a size");
    assert_eq!((rig.config_capacity(), rig.config_interrupted()), (10, true));
    image.file().set_len(10240).expect("a longer file");
    rig.handle.refresh().expect("a size");
    assert_eq!(rig.write(driver, 19, &[1; 512]).status, OK);
}

#[test]
fn a_read_only_file_makes_a_read_only_device() {
    let image = Image::new(&pattern(4096, 1));
    let opened = FileBackend::open_read_only(&image.0).expect("an image");
    let handed = FileBackend::from_file(File::open(&image.0).expect("the image")).expect("an image");
    for backend in [opened, handed] {
        assert!(backend.capabilities().read_only);
        let rig = Rig::<Mmio>::new(Block::builder(backend).build().expect("a device"));
        assert!(rig.offered().contains(RO));
        let driver = &mut rig.live(USUAL);
        assert_eq!(rig.write(driver, 0, &[1; 512]).status, IOERR);
        assert_eq!(rig.read(driver, 0, 512).status, OK);
        assert_eq!(rig.request(driver, FLUSH, 0, &[], 0).status, OK);
    }
    assert_eq!(image.content(), pattern(4096, 1));
}

#[test]
fn files_that_cannot_be_disks_are_refused() {
    let missing = std::env::temp_dir().join("no-such-virtio-blk.img");
    let error = FileBackend::open(&missing).expect_err("no file");
    assert!(matches!(&error, OpenError::Missing { path } if *path == missing));
    assert!(error.to_string().contains("no-such-virtio-blk.img"));

    let odd = Image::new(&[0; 1000]);
    let error = FileBackend::open(&odd.0).expect_err("no whole sectors");
    assert!(matches!(&error, OpenError::Size { size: 1000, path } if *path == odd.0));
    assert!(error.to_string().contains("truncate"));

    assert!(matches!(FileBackend::open(std::env::temp_dir()), Err(OpenError::NotADisk { .. })));
    assert!(matches!(FileBackend::open("/dev/zero"), Err(OpenError::NotADisk { .. })));

    let image = Image::new(&[0; 4096]);
    let append = OpenOptions::new().read(true).append(true).open(&image.0).expect("the image");
    assert!(matches!(FileBackend::from_file(append), Err(OpenError::Flag { flag: "O_APPEND" })));
    let write = OpenOptions::new().write(true).open(&image.0).expect("the image");
    assert!(matches!(FileBackend::from_file(write), Err(OpenError::Flag { flag: "O_WRONLY" })));

    fs::set_permissions(&image.0, fs::Permissions::from_mode(0o444)).expect("permissions");
    // Whoever may write everything is not kept from it.
    if let Err(error) = FileBackend::open(&image.0) {
        assert!(matches!(&error, OpenError::Permission { write: true, .. }));
        assert!(error.to_string().contains("read-only"));
    }
}

#[test]
fn an_empty_image_is_a_disk_without_sectors() {
    let image = Image::new(&[]);
    let rig = image.rig();
    let driver = &mut rig.live(USUAL);
    assert_eq!(rig.config_capacity(), 0);
    assert_eq!(rig.read(driver, 0, 512).status, IOERR);
    assert_eq!(rig.write(driver, 0, &[0; 512]).status, IOERR);
}
