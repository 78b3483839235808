//! QEMU's tools and file backends keep each other from writing one image. Needs `qemu-utils`: without it the tests are
//! left out, and say so; with `VIRTIO_TEST_TOOLS=all` they fail.
#![cfg(all(feature = "file", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use virtio_blk::{FileBackend, FileOptions, OpenError};

struct Image(PathBuf);

impl Image {
    fn new() -> Image {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("virtio-blk-qemu-{}-{}.img", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, vec![0; 1 << 20]).expect("a temporary file");
        Image(path)
    }

    /// Runs a tool on the image, with it as the last argument.
    fn tool(&self, tool: &str, arguments: &[&str]) -> Output {
        Command::new(tool).args(arguments).arg(&self.0).output().expect("a tool of QEMU")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether QEMU's tools are here; if they have to be, they are.
fn tools() -> bool {
    let missing: Vec<_> = ["qemu-io", "qemu-img"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    if missing.is_empty() {
        return true;
    }
    let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!all, "VIRTIO_TEST_TOOLS=all, but {missing:?} cannot be run: install qemu-utils");
    eprintln!("left out: {missing:?} cannot be run: install qemu-utils");
    false
}

#[track_caller]
fn refused(output: Output, lock: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("Failed to get {lock} lock")), "{said}");
}

#[track_caller]
fn done(output: Output) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("Failed to get"), "{said}");
}

/// A `qemu-io` that has the image open until it is dropped.
struct Holder {
    child: Child,
    input: Option<ChildStdin>,
}

impl Holder {
    fn new(image: &Image, arguments: &[&str]) -> Holder {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw"]).args(arguments).arg(&image.0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("qemu-io");
        let (input, mut output) = (child.stdin.take(), child.stdout.take().expect("its output"));
        let mut holder = Holder { child, input };
        writeln!(holder.input.as_mut().expect("its input"), "read 0 512").expect("a command");
        // It has its locks when it has read; its output ends if it goes.
        let mut said = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&said).contains("read 512/512") {
            assert_eq!(output.read(&mut byte).expect("its output"), 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        // Nobody fills the pipe: it says nothing more until it is told to.
        holder.child.stdout = Some(output);
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

#[test]
fn qemu_does_not_touch_what_is_written_here() {
    if !tools() {
        return;
    }
    for direct in [false, true] {
        let image = Image::new();
        let Ok(backend) = FileOptions::new().direct(direct).open(&image.0) else {
            assert!(direct);
            continue;
        };
        refused(image.tool("qemu-io", &["-f", "raw", "-c", "write 0 512"]), "\"write\"");
        let source = Image::new();
        let copy = ["convert", "-n", "-f", "raw", "-O", "raw", &source.0.to_string_lossy()];
        refused(image.tool("qemu-img", &copy), "\"write\"");
        // One that knows that others write.
        done(image.tool("qemu-img", &["info", "-U", "-f", "raw"]));
        drop(backend);
        done(image.tool("qemu-io", &["-f", "raw", "-c", "write 0 512"]));
    }
}

#[test]
fn qemu_reads_what_is_only_read_here() {
    if !tools() {
        return;
    }
    let image = Image::new();
    let backend = FileBackend::open_read_only(&image.0).expect("an image");
    refused(image.tool("qemu-io", &["-f", "raw", "-c", "write 0 512"]), "\"write\"");
    done(image.tool("qemu-io", &["-r", "-f", "raw", "-c", "read 0 512"]));
    done(image.tool("qemu-img", &["info", "-f", "raw"]));
    drop(backend);
    done(image.tool("qemu-io", &["-f", "raw", "-c", "write 0 512"]));
}

#[test]
fn what_qemu_writes_is_not_touched_here() {
    if !tools() {
        return;
    }
    let image = Image::new();
    let holder = Holder::new(&image, &[]);
    for result in [FileBackend::open(&image.0), FileBackend::open_read_only(&image.0)] {
        let error = result.expect_err("an image that QEMU writes");
        assert!(matches!(&error, OpenError::Locked { path, writer: true, .. } if *path == image.0), "{error}");
    }
    FileOptions::new().lock(false).open(&image.0).expect("an image");
    drop(holder);
    FileBackend::open(&image.0).expect("an image");
}

#[test]
fn what_qemu_reads_is_read_here_as_well() {
    if !tools() {
        return;
    }
    let image = Image::new();
    let holder = Holder::new(&image, &["-r"]);
    let readers: Vec<_> = (0..2).map(|_| FileBackend::open_read_only(&image.0).expect("an image")).collect();
    drop((holder, readers));
}
