//! Images that are damaged: each is refused or used, and nothing stays away.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::tools::{Folder, create, qemu_img, text, tools_missing};
use super::*;

/// Opens it if that is possible, and does a bit of everything. Says whether it was opened, and how much failed.
fn try_out(path: &Path) -> Option<u32> {
    let backend = ImageBackend::open(path, ImageFormat::Qcow2).ok()?;
    let mut rig = Rig::new(backend);
    let mut failed = 0;
    let size = rig.backend.size().unwrap();
    for at in [0, 65536, 1 << 20, (size / 2) & !511, size.saturating_sub(4096) & !511] {
        failed += u32::from(rig.read(at, 65536).0.is_err());
        failed += u32::from(rig.write(at, &[1; 5120]).is_err());
        failed += u32::from(rig.range(OperationKind::Discard, at, 1 << 17).is_err());
        failed +=
            u32::from(rig.range(OperationKind::WriteZeroes { unmap: true, durable: false }, at, 1 << 17).is_err());
    }
    failed += u32::from(rig.range(OperationKind::Flush, 0, 0).is_err());
    failed += u32::from(rig.backend.set_len(size.saturating_add(1 << 20) & !511).is_err());
    Some(failed)
}

/// All of them come back in time.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(300)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a damaged image keeps its user"),
        _ => thread.join().unwrap(),
    }
}

#[test]
fn damaged_images_are_refused_or_used() {
    if tools_missing() {
        return;
    }
    in_time(|| {
        let folder = Folder::new();
        let raw = folder.file("raw", &Random(8).bytes(1 << 20));
        let path = folder.path("a.qcow2");
        qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4096", text(&raw), text(&path)]);
        qemu_img(&["resize", "-q", text(&path), "4M"]);
        let good = fs::read(&path).unwrap();
        let mut random = Random(9);
        let (mut refused, mut opened) = (0, 0);
        for round in 0..200 {
            let mut bad = good.clone();
            // The header, the tables, and both.
            let area = match round % 4 {
                0 => 0..104,
                1 => 0..4096,
                2 => 4096..8 * 4096,
                _ => 0..8 * 4096,
            };
            for _ in 0..=random.below(12) {
                let at = area.start + random.below((area.end - area.start) as u64) as usize;
                bad[at] = random.below(256) as u8;
            }
            fs::write(&path, bad).unwrap();
            match try_out(&path) {
                Some(_) => opened += 1,
                None => refused += 1,
            }
            let _ = fs::remove_file(&path);
        }
        assert!(refused >= 20 && opened >= 20, "{refused} refused, {opened} opened: one side is not tested");
    });
}

#[test]
fn numbers_without_measure_are_refused() {
    if tools_missing() {
        return;
    }
    in_time(|| {
        let folder = Folder::new();
        let path = folder.path("a.qcow2");
        create(&path, &["-f", "qcow2"], "1M");
        let good = fs::read(&path).unwrap();
        for (what, at, value) in [
            ("version", 4, &[0, 0, 0, 9][..]),
            ("backing name's place", 8, &[0xff; 8]),
            ("cluster bits", 20, &[0, 0, 0, 63]),
            ("cluster bits", 20, &[0, 0, 0, 1]),
            ("cluster bits", 20, &[0xff; 4]),
            ("encryption", 32, &[0, 0, 0, 1]),
            ("entries of the first table", 36, &[0xff; 4]),
            ("place of the first table", 40, &[0xff; 8]),
            ("place of the first table", 40, &[0, 0, 0, 0, 0, 0, 0, 1]),
            ("place of the reference counts", 48, &[0xff; 8]),
            ("clusters of the reference counts", 56, &[0xff; 4]),
            ("features", 72, &[0xff; 8]),
            ("reference count bits", 96, &[0, 0, 0, 40]),
            ("header length", 100, &[0xff; 4]),
            ("header length", 100, &[0, 0, 0, 1]),
        ] {
            let mut bad = good.clone();
            bad[at..at + value.len()].copy_from_slice(value);
            fs::write(&path, bad).unwrap();
            let opened = ImageBackend::open(&path, ImageFormat::Qcow2);
            assert!(opened.is_err(), "{what}: {value:?}");
        }
        // The header's cluster is not counted.
        let mut bad = good.clone();
        let counts = u64::from_be_bytes(good[48..56].try_into().unwrap()) as usize;
        bad[counts..counts + 8].fill(0);
        fs::write(&path, bad).unwrap();
        let error = ImageBackend::open(&path, ImageFormat::Qcow2).unwrap_err();
        assert!(error.to_string().contains("repair it"), "{error}");
        assert!(ImageOptions::new(ImageFormat::Qcow2).read_only(true).open(&path).is_ok());
        // A disk of almost 2^64 bytes may be refused or used, but not kept.
        let mut bad = good;
        bad[24..32].copy_from_slice(&(u64::MAX - 511).to_be_bytes());
        fs::write(&path, bad).unwrap();
        try_out(&path);
    });
}
