//! What is read is what was written, here and there.

use std::fs;

use super::tools::{Folder, check, content, create, qemu_img, text, tools_missing};
use super::*;

const MIB: usize = 1 << 20;
const CLUSTER: u64 = 65536;

/// Data of which much can be compressed.
fn compressible(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    let mut data = Vec::new();
    while data.len() < len {
        let byte = random.below(256) as u8;
        let count = random.below(3000) as usize;
        data.extend(std::iter::repeat_n(byte, count));
    }
    data.truncate(len);
    data
}

#[test]
fn what_is_written_is_what_qemu_reads() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    for options in [
        &["-f", "qcow2"][..],
        &["-f", "qcow2", "-o", "compat=0.10"],
        &["-f", "qcow2", "-o", "cluster_size=512"],
        &["-f", "qcow2", "-o", "cluster_size=2M,lazy_refcounts=off,refcount_bits=64"],
        &["-f", "qcow2", "-o", "preallocation=metadata"],
    ] {
        let path = folder.path("a.qcow2");
        create(&path, options, "8M");
        let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
        assert_eq!(rig.backend.size().unwrap(), 8 << 20);
        let mut disk = vec![0; 8 * MIB];
        let mut random = Random(1);
        for _ in 0..40 {
            let sectors = 1 + random.below(400);
            let at = random.below(16384 - sectors) * 512;
            let data = random.bytes(sectors as usize * 512);
            assert_eq!(rig.write(at, &data).unwrap(), data.len() as u64);
            disk[at as usize..at as usize + data.len()].copy_from_slice(&data);
        }
        assert!(rig.read_all(0, 8 << 20) == disk, "{options:?}");
        rig.flush();
        assert!(content(&path, "qcow2") == disk, "{options:?}: a flush writes all out");
        drop(rig);
        check(&path);
        assert!(content(&path, "qcow2") == disk, "{options:?}");
    }
}

// spec: BLK-STABLE-01
#[test]
fn what_is_durable_needs_no_flush() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    let data = Random(2).bytes(70_144);
    rig.write_as(OperationKind::Write { durable: true }, 512, &data).unwrap();
    assert!(content(&path, "qcow2")[512..][..data.len()] == data);
    rig.range(OperationKind::WriteZeroes { unmap: true, durable: true }, 0, MIB as u64).unwrap();
    assert!(content(&path, "qcow2").iter().all(|byte| *byte == 0));
}

#[test]
fn a_disk_that_goes_is_written_out() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let backend = ImageBackend::open(&path, ImageFormat::Qcow2).unwrap();
    let mut rig = Rig::new(backend.clone());
    rig.write(4096, &[7; 512]).unwrap();
    drop(backend);
    drop(rig);
    check(&path);
    assert!(content(&path, "qcow2")[4096..][..512] == [7; 512]);
}

#[test]
fn compressed_images_are_read_and_overwritten() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let mut disk = compressible(4 * MIB);
    let raw = folder.file("raw", &disk);
    let path = folder.path("a.qcow2");
    qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2", text(&raw), text(&path)]);
    let stored = fs::metadata(&path).unwrap().len();
    assert!(stored < 2 * MIB as u64, "{stored} bytes: nothing was compressed");
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    assert!(rig.read_all(0, 4 << 20) == disk);
    let mut random = Random(3);
    for _ in 0..30 {
        let at = random.below(8192 - 20) as usize * 512;
        let data = random.bytes(20 * 512);
        rig.write(at as u64, &data).unwrap();
        disk[at..at + data.len()].copy_from_slice(&data);
    }
    assert!(rig.read_all(0, 4 << 20) == disk);
    drop(rig);
    check(&path);
    assert!(content(&path, "qcow2") == disk);
}

#[test]
fn snapshots_keep_what_they_had() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let before = compressible(2 * MIB);
    let raw = folder.file("raw", &before);
    let path = folder.path("a.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&path)]);
    qemu_img(&["snapshot", "-c", "then", text(&path)]);
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    let mut now = before.clone();
    now[MIB / 2..][..MIB].fill(0x5a);
    rig.write(MIB as u64 / 2, &[0x5a; MIB]).unwrap();
    rig.range(OperationKind::WriteZeroes { unmap: true, durable: false }, 0, CLUSTER).unwrap();
    now[..CLUSTER as usize].fill(0);
    assert!(rig.read_all(0, 2 << 20) == now);
    drop(rig);
    check(&path);
    assert!(content(&path, "qcow2") == now);
    qemu_img(&["snapshot", "-a", "then", text(&path)]);
    assert!(content(&path, "qcow2") == before);
}

#[test]
fn what_is_discarded_is_given_back() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "8M");
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    let limits = rig.backend.capabilities().discard.unwrap();
    assert_eq!((limits.alignment, rig.backend.capabilities().write_zeroes), (65536, Some(limits)));
    rig.write(0, &[1; 8 * MIB]).unwrap();
    rig.flush();
    let full = fs::metadata(&path).unwrap().len();
    rig.range(OperationKind::Discard, 0, 6 << 20).unwrap();
    rig.flush();
    assert!(rig.read_all(6 << 20, 2 << 20).iter().all(|byte| *byte == 1));
    // The image has room again: it is not larger when others are written.
    rig.backend.set_len(14 << 20).unwrap();
    rig.write(8 << 20, &[2; 6 * MIB]).unwrap();
    rig.flush();
    assert_eq!(fs::metadata(&path).unwrap().len(), full);
    drop(rig);
    check(&path);
}

// spec: BLK-OP-07 BLK-OP-08
#[test]
fn blk_op_09_zeroed_ranges_read_as_zeros() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    folder.file("under", &[9; 2 * MIB]);
    for (options, under) in
        [("compat=1.1", 0), ("compat=1.1", 9), ("cluster_size=512", 9), ("preallocation=metadata", 0)]
    {
        for unmap in [false, true] {
            let path = folder.path("a.qcow2");
            let backing: &[&str] = if under == 0 { &[] } else { &["-F", "raw", "-b", "under"] };
            create(&path, &[&["-f", "qcow2", "-o", options], backing].concat(), "2M");
            let open = ImageOptions::new(ImageFormat::Qcow2).backing_files(true).open(&path).unwrap();
            let mut rig = Rig::new(open);
            rig.write(0, &[1; MIB]).unwrap();
            // No multiple of a cluster at either end.
            let (at, len) = (512 * 5, MIB as u64 + 512 * 20);
            rig.range(OperationKind::WriteZeroes { unmap, durable: false }, at, len).unwrap();
            let mut disk = vec![under; 2 * MIB];
            disk[..MIB].fill(1);
            disk[at as usize..][..len as usize].fill(0);
            assert!(rig.read_all(0, 2 << 20) == disk, "{options}, unmap {unmap}");
            drop(rig);
            check(&path);
            assert!(content(&path, "qcow2") == disk, "{options}, unmap {unmap}");
        }
    }
    assert!(fs::read(folder.path("under")).unwrap().iter().all(|byte| *byte == 9));
}

#[test]
fn old_images_discard_nothing() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2", "-o", "compat=0.10"], "2M");
    let can = ImageBackend::open(&path, ImageFormat::Qcow2).unwrap().capabilities();
    assert!(!can.read_only && can.discard.is_none() && can.write_zeroes.is_none() && !can.zeroes_may_unmap);
}

#[test]
fn disks_change_their_size() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    rig.write(0, &[3; MIB]).unwrap();
    rig.backend.set_len(3 << 20).unwrap();
    assert_eq!(rig.backend.size().unwrap(), 3 << 20);
    rig.write(2 << 20, &[4; MIB]).unwrap();
    rig.backend.set_len(MIB as u64 / 2).unwrap();
    assert!(rig.backend.set_len(1000).is_err());
    let (result, _) = rig.read(0, 1 << 20);
    assert_eq!(result.unwrap(), MIB as u64 / 2, "a short transfer");
    rig.backend.set_len(1 << 20).unwrap();
    let disk = rig.read_all(0, 1 << 20);
    assert!(disk[..MIB / 2].iter().all(|byte| *byte == 3) && disk[MIB / 2..].iter().all(|byte| *byte == 0));
    drop(rig);
    check(&path);
    assert!(content(&path, "qcow2") == disk);
}

#[test]
fn behind_the_end_there_is_nothing() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("a.qcow2");
    create(&path, &["-f", "qcow2"], "1M");
    let mut rig = Rig::new(ImageBackend::open(&path, ImageFormat::Qcow2).unwrap());
    for offset in [1 << 20, 1 << 40, u64::MAX - 511] {
        assert_eq!(rig.read(offset, 512).0.unwrap(), 0);
        assert_eq!(rig.write(offset, &[1; 512]).unwrap(), 0);
        for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: true, durable: false }] {
            assert_eq!(rig.range(kind, offset, 512).unwrap(), 0);
        }
    }
    assert_eq!(rig.write((1 << 20) - 512, &[1; 1024]).unwrap(), 512);
    assert_eq!(rig.range(OperationKind::Discard, (1 << 20) - 512, u64::MAX).unwrap(), 512);
    assert!(matches!(
        rig.range(OperationKind::SecureErase, 0, 512),
        Err(super::super::super::OperationError::Unsupported)
    ));
}
