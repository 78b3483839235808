//! A file system that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use virtio_blk::OnError;
use virtio_core::Features;

use crate::image::{Image, Way, left_out, rig};
use crate::ports::Mmio;
use crate::rig::*;
use crate::talk::{live, segment, until};

/// Where the small file system is, in a process of its own that has it.
const VARIABLE: &str = "VIRTIO_BLK_FULL";
const THIS: &str = "full::a_full_file_system_is_an_error_and_no_end";

/// An empty folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_end() {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return on_a_small_file_system(Path::new(&folder));
    }
    let folder = Folder(std::env::temp_dir().join(format!("virtio-blk-storage-full-{}", std::process::id())));
    fs::create_dir_all(&folder.0).expect("a folder");
    let mut probe = Command::new("unshare");
    probe.args(["-rm", "mount", "-t", "tmpfs", "none"]).arg(&folder.0);
    if !probe.output().is_ok_and(|done| done.status.success()) {
        return left_out("a small file system cannot be mounted by `unshare -rm mount`");
    }
    // Mounted where only the child sees it.
    let mount = r#"mount -t tmpfs -o size=512k none "$VIRTIO_BLK_FULL" && exec "$0" --exact "$1""#;
    let mut child = Command::new("unshare");
    child.args(["-rm", "sh", "-c", mount]).arg(std::env::current_exe().expect("this program")).arg(THIS);
    let output = child.env(VARIABLE, &folder.0).output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
}

fn on_a_small_file_system(folder: &Path) {
    for way in [Way::File, Way::Uring, Way::Narrow] {
        for merge in [false, true] {
            reported(folder, way, merge);
            stopped(folder, way, merge);
        }
    }
}

/// A sparse image, and what takes nearly all room there is.
fn images(folder: &Path) -> (Image, Image) {
    let image = Image::under(folder, &[]);
    image.file().set_len(1 << 20).expect("a sparse file");
    (image, Image::under(folder, &pattern(384 << 10, 1)))
}

fn reported(folder: &Path, way: Way, merge: bool) {
    let (image, ballast) = images(folder);
    let rig = rig::<Mmio>(way.open(&image, false).expect("the image"), |block| block.merge(merge));
    let mut talk = live(&rig, USUAL | Features::from_bits(1 << 13 | 1 << 14));
    // 32 times 16 KiB are 512 KiB, four times what there is.
    for n in 0..32 {
        talk.ask(&rig, OUT, n * 32, &pattern(16384, n as u8), 0);
    }
    let answers = talk.answers(&rig);
    let well = answers.iter().filter(|answer| answer.status == OK).count();
    assert!((1..=8).contains(&well), "{way:?}: {well} of 32 found room");
    assert!(answers.iter().all(|answer| [OK, IOERR].contains(&answer.status)));
    assert_eq!(rig.handle.counts().failed, 32 - well as u64);
    let content = image.content();
    for (n, answer) in answers.iter().enumerate() {
        assert!(answer.status == IOERR || content[n * 16384..][..16384] == pattern(16384, n as u8), "{way:?}: {n}");
    }
    // What needs no room goes on, and what finds some again.
    assert_eq!(talk.one(&rig, IN, 0, &[], 4096).status, OK);
    assert_eq!(talk.one(&rig, WRITE_ZEROES, 0, &segment(1024, 1024, 0), 0).status, IOERR);
    assert_eq!(talk.one(&rig, DISCARD, 0, &segment(0, 2048, 0), 0).status, OK);
    talk.works(&rig, 0);
    drop(ballast);
    assert_eq!(talk.one(&rig, OUT, 512, &pattern(128 << 10, 8), 0).status, OK);
    assert!(image.content()[256 << 10..384 << 10] == pattern(128 << 10, 8));
}

fn stopped(folder: &Path, way: Way, merge: bool) {
    let (image, ballast) = images(folder);
    let rig = rig::<Mmio>(way.open(&image, false).expect("the image"), |block| {
        block.merge(merge).on_write_error(OnError::StopWhenFull)
    });
    let mut talk = live(&rig, USUAL);
    // Over two batches, of which the second is not taken once the device has stopped.
    for n in 0..24 {
        talk.ask(&rig, OUT, n * 32, &pattern(16384, n as u8), 0);
    }
    talk.show(&rig);
    let mut answers = Vec::new();
    until(&rig, || {
        answers.extend(std::iter::from_fn(|| talk.answer(&rig)));
        rig.handle.stopped().is_some()
    });
    let why = rig.handle.stopped().expect("it has stopped");
    assert!(why.full && why.queue == 0, "{way:?}: {why}");
    // Still full: it stops again, and nothing is lost or answered for that.
    assert!(rig.handle.resume());
    until(&rig, || {
        answers.extend(std::iter::from_fn(|| talk.answer(&rig)));
        rig.handle.stopped().is_some()
    });
    assert!(talk.flying() > 0);
    drop(ballast);
    // Those that failed before may still be on their way here, and stop it once more each.
    for _ in 0..24 {
        rig.handle.resume();
        until(&rig, || {
            answers.extend(std::iter::from_fn(|| talk.answer(&rig)));
            talk.flying() == 0 || rig.handle.stopped().is_some()
        });
    }
    assert_eq!(rig.handle.stopped(), None, "{way:?}");
    assert_eq!(answers.len(), 24);
    assert!(answers.iter().all(|(_, answer)| answer.status == OK), "{way:?}");
    let content = image.content();
    for n in 0..24 {
        assert!(content[n * 16384..][..16384] == pattern(16384, n as u8), "{way:?}: {n}");
    }
    assert!(rig.handle.counts().held > 0);
    talk.works(&rig, 0);
}
