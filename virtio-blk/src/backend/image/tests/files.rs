//! Which files are opened, and which are not.

use std::fs;
use std::path::Path;

use super::tools::{Folder, check, content, create, qemu_img, qemu_img_succeeds, text, tools_missing};
use super::*;

fn open(path: &Path) -> Result<ImageBackend, ImageError> {
    ImageBackend::open(path, ImageFormat::Qcow2)
}

/// With all that an image may name.
fn open_all(path: &Path) -> Result<ImageBackend, ImageError> {
    ImageOptions::new(ImageFormat::Qcow2).backing_files(true).open(path)
}

#[test]
fn files_that_are_no_images_are_named() {
    let folder = Folder::new();
    let missing = folder.path("missing");
    assert!(matches!(open(&missing), Err(ImageError::File { write: true, .. })));
    assert!(matches!(open(Path::new("/")), Err(ImageError::NotAFile { .. })));
    assert!(matches!(open(Path::new("/dev/null")), Err(ImageError::NotAFile { .. })));
    let raw = folder.file("raw", &[0; 65536]);
    for path in [&raw, &folder.file("empty", &[]), &folder.file("short", b"QFI\xfb")] {
        let error = open(path).unwrap_err();
        assert!(matches!(error, ImageError::Format { format: ImageFormat::Qcow2, .. }), "{error}");
        assert!(error.to_string().contains(text(path)), "{error}");
        let vmdk = ImageOptions::new(ImageFormat::Vmdk).read_only(true).open(path);
        assert!(matches!(vmdk, Err(ImageError::Format { format: ImageFormat::Vmdk, .. })));
    }
    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(open(&pipe), Err(ImageError::NotAFile { .. })));
}

#[test]
fn other_files_are_refused_unless_they_are_allowed() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    for (backing, format) in [
        ("/etc/passwd", "raw"),
        ("../../../../../../../etc/passwd", "raw"),
        ("nbd://localhost/x", "raw"),
        ("json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}", "raw"),
        ("other.qcow2", "qcow2"),
    ] {
        qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-F", format, "-b", backing, text(&path), "1M"]);
        let error = open(&path).unwrap_err();
        assert!(matches!(&error, ImageError::OtherFile { other, .. } if other == backing), "{error}");
    }
    // A name is a path, whatever it looks like.
    for backing in ["nbd://localhost/x", "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}"] {
        qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing, text(&path), "1M"]);
        assert!(matches!(open_all(&path), Err(ImageError::File { write: false, .. })));
    }
    let data = folder.path("data");
    let option = format!("data_file={},data_file_raw=on", text(&data));
    create(&path, &["-f", "qcow2", "-o", &option], "1M");
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, ImageError::OtherFile { other, .. } if other == text(&data)), "{error}");
    let mut rig = Rig::new(open_all(&path).unwrap());
    rig.write(4096, &[6; 4096]).unwrap();
    drop(rig);
    check(&path);
    assert!(fs::read(&data).unwrap()[4096..8192] == [6; 4096]);
}

#[test]
fn backing_images_are_read_and_never_written() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let low = folder.file("low", &Random(4).bytes(1 << 20));
    let middle = folder.path("middle.qcow2");
    create(&middle, &["-f", "qcow2", "-F", "raw", "-b", "low"], "1M");
    let top = folder.path("top.qcow2");
    create(&top, &["-f", "qcow2", "-F", "qcow2", "-b", "middle.qcow2"], "2M");
    // The disk is larger than what is under it.
    let (low_before, middle_before) = (fs::read(&low).unwrap(), fs::read(&middle).unwrap());
    let mut rig = Rig::new(open_all(&top).unwrap());
    let mut disk = low_before.clone();
    disk.resize(2 << 20, 0);
    assert!(rig.read_all(0, 2 << 20) == disk);
    rig.write(100 * 512, &[8; 512]).unwrap();
    disk[100 * 512..101 * 512].fill(8);
    assert!(rig.read_all(0, 2 << 20) == disk);
    drop(rig);
    check(&top);
    assert!(content(&top, "qcow2") == disk);
    assert!(fs::read(&low).unwrap() == low_before && fs::read(&middle).unwrap() == middle_before);
}

#[test]
fn backing_images_have_a_stated_format_and_an_end() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    let backing = |format: &[&str], backing: &str| {
        qemu_img(&[&["create", "-q", "-u", "-f", "qcow2"], format, &["-b", backing, text(&path), "1M"]].concat());
    };
    // Itself.
    backing(&["-F", "qcow2"], "a.qcow2");
    let own = ImageOptions::new(ImageFormat::Qcow2).backing_files(true).read_only(true);
    assert!(matches!(own.open(&path), Err(ImageError::TooDeep { most: 16, .. })));
    assert!(matches!(open_all(&path), Err(ImageError::Locked(_))));
    assert!(matches!(own.read_only(false).lock(false).open(&path), Err(ImageError::TooDeep { .. })));
    backing(&["-F", "vmdk"], "b.vmdk");
    assert!(matches!(open_all(&path), Err(ImageError::UnknownBacking { format, .. }) if format == "vmdk"));
    backing(&["-F", "raw"], "/dev/zero");
    assert!(matches!(open_all(&path), Err(ImageError::NotAFile { .. })));
    // Without its format: the extension in the header is overwritten by one that nobody knows.
    folder.file("raw", &[0; 1 << 20]);
    backing(&["-F", "raw"], "raw");
    let mut image = fs::read(&path).unwrap();
    let extension = [0xe2, 0x79, 0x2a, 0xca];
    let at = image.windows(4).position(|bytes| bytes == extension).unwrap();
    image[at..at + 4].copy_from_slice(&[1, 2, 3, 4]);
    fs::write(&path, image).unwrap();
    assert!(matches!(open_all(&path), Err(ImageError::BackingFormat { other, .. }) if other == "raw"));
}

#[test]
fn an_image_has_one_writer() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let read_only = ImageOptions::new(ImageFormat::Qcow2).read_only(true);
    let first = open(&path).unwrap();
    for second in [open(&path), read_only.open(&path)] {
        let error = second.unwrap_err();
        assert!(matches!(error, ImageError::Locked(_)) && error.to_string().contains("a.qcow2"), "{error}");
    }
    assert!(!qemu_img_succeeds(&["snapshot", "-c", "now", text(&path)]), "QEMU writes it as well");
    let qcow2 = ImageOptions::new(ImageFormat::Qcow2);
    assert!(qcow2.lock(false).open(&path).is_ok());
    drop(first);
    let readers = [read_only.open(&path).unwrap(), read_only.open(&path).unwrap()];
    assert!(open(&path).is_err());
    drop(readers);
    assert!(open(&path).is_ok());
}

#[test]
fn images_that_are_only_read_stay_as_they_are() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let raw = folder.file("raw", &Random(5).bytes(1 << 20));
    let path = folder.path("a.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&path)]);
    let before = fs::read(&path).unwrap();
    let mut rig = Rig::new(ImageOptions::new(ImageFormat::Qcow2).read_only(true).open(&path).unwrap());
    let can = rig.backend.capabilities();
    assert!(can.read_only && can.discard.is_none() && can.write_zeroes.is_none() && !can.zeroes_may_unmap);
    assert!(rig.read_all(0, 1 << 20) == fs::read(&raw).unwrap());
    assert!(rig.write(0, &[1; 512]).is_err());
    for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: false, durable: true }] {
        assert!(rig.range(kind, 0, 65536).is_err());
    }
    rig.flush();
    assert!(rig.backend.set_len(2 << 20).is_err());
    drop(rig);
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn disks_consist_of_sectors() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let mut image = fs::read(&path).unwrap();
    // The disk's size in the header.
    image[24..32].copy_from_slice(&1000u64.to_be_bytes());
    fs::write(&path, image).unwrap();
    assert!(matches!(open(&path), Err(ImageError::Size { size: 1000, .. })));
}

#[test]
fn vmdk_descriptors_are_read() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let data = Random(6).bytes(1 << 20);
    let raw = folder.file("raw", &data);
    let path = folder.path("a.vmdk");
    let convert = |subformat: &str| {
        let option = format!("subformat={subformat}");
        qemu_img(&["convert", "-f", "raw", "-O", "vmdk", "-o", &option, text(&raw), text(&path)]);
    };
    convert("monolithicFlat");
    let vmdk = || ImageOptions::new(ImageFormat::Vmdk);
    assert!(matches!(vmdk().open(&path), Err(ImageError::ReadOnlyFormat { .. })));
    let vmdk = || vmdk().read_only(true);
    assert!(matches!(vmdk().open(&path), Err(ImageError::OtherFile { other, .. }) if other.ends_with("a-flat.vmdk")));
    let mut rig = Rig::new(vmdk().backing_files(true).open(&path).unwrap());
    assert!(rig.backend.capabilities().read_only);
    assert!(rig.read_all(0, 1 << 20) == data);
    assert!(rig.write(0, &[1; 512]).is_err());
    drop(rig);
    for (line, file) in
        [("RW 2048 FLAT \"/etc/passwd\" 0", "/etc/passwd"), ("RW 2048 FLAT \"/dev/zero\" 0", "/dev/zero")]
    {
        let descriptor = format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n{line}\n");
        fs::write(&path, descriptor).unwrap();
        assert!(matches!(vmdk().open(&path), Err(ImageError::OtherFile { other, .. }) if other == file));
    }
    assert!(matches!(vmdk().backing_files(true).open(&path), Err(ImageError::NotAFile { .. })));
    convert("monolithicSparse");
    let error = vmdk().open(&path).unwrap_err();
    assert!(error.to_string().contains("sparse"), "{error}");
}
