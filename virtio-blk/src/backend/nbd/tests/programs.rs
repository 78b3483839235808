//! Real servers: qemu-nbd and nbdkit.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{LONG, pattern};
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::nbd::{NbdBackend, NbdBuilder};
use crate::backend::{BlockBackend, BlockQueue, OperationError, OperationKind};

const SIZE: usize = 8 << 20;

/// Whether a program is there. Where all of them have to be, it is a failure if it is not.
fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        let all = std::env::var("VIRTIO_TEST_TOOLS").is_ok_and(|tools| tools == "all");
        assert!(!all, "{program} is not installed, and VIRTIO_TEST_TOOLS=all");
        // Past the test's capture, so that it is seen.
        let _ =
            writeln!(std::io::stderr(), "left out, because there is no {program}: {:?}", std::thread::current().name());
    }
    found
}

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("virtio-blk-nbd-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// A disk image, and what is in it.
    fn image(&self) -> (String, Vec<u8>) {
        let content = pattern(SIZE, 11);
        let path = self.0.join("disk.img");
        fs::write(&path, &content).unwrap();
        (path.to_str().unwrap().to_owned(), content)
    }

    fn disk(&self) -> Vec<u8> {
        fs::read(self.0.join("disk.img")).unwrap()
    }

    fn socket(&self) -> String {
        self.0.join("socket").to_str().unwrap().to_owned()
    }

    fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that runs. Killed when it is dropped.
struct Running(Child);

impl Running {
    /// Starts a program that then listens at a Unix socket.
    fn unix(folder: &Folder, program: &str, arguments: &[&str]) -> Running {
        let _ = fs::remove_file(folder.socket());
        let running = Running::start(program, arguments);
        running.listening(|| UnixStream::connect(folder.socket()).is_ok())
    }

    fn start(program: &str, arguments: &[&str]) -> Running {
        Running(Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn listening(mut self, connects: impl Fn() -> bool) -> Running {
        let limit = Instant::now() + LONG;
        while !connects() {
            assert!(Instant::now() < limit && self.0.try_wait().unwrap().is_none(), "the server does not listen");
            std::thread::yield_now();
        }
        self
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn patient(uri: &str) -> NbdBuilder {
    NbdBackend::builder(uri).timeout(LONG * 2).connect_timeout(LONG).reconnect(LONG * 2)
}

fn qemu_nbd(folder: &Folder, image: &str) -> Running {
    let socket = folder.socket();
    let arguments = ["--persistent", "--shared=8", "--format=raw", "--discard=unmap", "--socket", &socket, image];
    Running::unix(folder, "qemu-nbd", &arguments)
}

fn nbdkit(folder: &Folder, arguments: &[&str]) -> Running {
    let socket = folder.socket();
    Running::unix(folder, "nbdkit", &[&["--foreground", "--unix", &socket], arguments].concat())
}

/// Every kind of request; `content` is what the disk has, and then has.
fn all_kinds(backend: &NbdBackend, content: &mut [u8]) {
    assert_eq!(backend.size().unwrap(), SIZE as u64);
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(32).unwrap();
    let data = pattern(1 << 20, 5);
    for (durable, offset) in [(false, 512), (true, 2 << 20)] {
        let mut write = bench.write(0, offset, &data);
        write.kind = OperationKind::Write { durable };
        assert_eq!(perform(&mut *queue, write).unwrap(), 1 << 20);
        content[offset as usize..offset as usize + (1 << 20)].copy_from_slice(&data);
    }
    if backend.capabilities().write_zeroes.is_some() {
        for (unmap, offset) in [(false, 4096), (true, 65536)] {
            let kind = OperationKind::WriteZeroes { unmap, durable: true };
            assert_eq!(perform(&mut *queue, bench.range(0, kind, offset, 8192)).unwrap(), 8192);
            content[offset as usize..offset as usize + 8192].fill(0);
        }
    }
    if backend.capabilities().discard.is_some() {
        let discard = bench.range(0, OperationKind::Discard, 7 << 20, 1 << 20);
        assert_eq!(perform(&mut *queue, discard).unwrap(), 1 << 20);
        let (read, at) = bench.read(0, 7 << 20, 1 << 20);
        assert!(perform(&mut *queue, read).is_ok());
        content[7 << 20..].copy_from_slice(&bench.memory.bytes(at, 1 << 20));
    }
    assert!(perform(&mut *queue, bench.operation(0, OperationKind::Flush, 0, &[])).is_ok());
    let mut places = Vec::new();
    for tag in 0..32 {
        let (read, at) = bench.read(tag, u64::from(tag) << 18, 1 << 18);
        places.push(at);
        queue.submit(read);
    }
    queue.kick();
    assert!(finish(&mut *queue, 32).iter().all(|completion| matches!(completion.result, Ok(262_144))));
    for (at, expected) in places.into_iter().zip(content.chunks(1 << 18)) {
        assert!(bench.memory.bytes(at, 1 << 18) == expected);
    }
    assert_eq!(backend.reconnects(), 0);
}

#[test]
fn qemu_nbd_over_a_unix_socket() {
    if have("qemu-nbd") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        let _server = qemu_nbd(&folder, &image);
        let backend = patient(&folder.uri()).connect().unwrap();
        let capabilities = backend.capabilities();
        assert!(capabilities.discard.is_some() && capabilities.write_zeroes.is_some());
        all_kinds(&backend, &mut content);
        assert!(folder.disk() == content);
    }
}

/// A server on a port that was free a moment ago. Somebody else may have taken it, so this may take several attempts.
fn on_a_port(start: impl Fn(&str) -> Running) -> (Running, String) {
    let limit = Instant::now() + LONG;
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut running = start(&port.to_string());
        while running.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "the server does not listen");
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (running, format!("nbd://127.0.0.1:{port}"));
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < limit, "the server does not run");
    }
}

#[test]
fn qemu_nbd_over_tcp() {
    if have("qemu-nbd") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        let start = |port: &str| {
            let arguments =
                ["--persistent", "--format=raw", "--bind=127.0.0.1", "--export-name=a b", "--port", port, &image];
            Running::start("qemu-nbd", &arguments)
        };
        let (_server, uri) = on_a_port(start);
        assert!(patient(&format!("{uri}/other")).connect().is_err());
        all_kinds(&patient(&format!("{uri}/a%20b")).connect().unwrap(), &mut content);
        assert!(folder.disk() == content);
    }
}

#[test]
fn qemu_nbd_that_ends_with_its_last_client() {
    if have("qemu-nbd") {
        let folder = Folder::new();
        let (image, content) = folder.image();
        let socket = folder.socket();
        // Not connected to by way of a test, because it would end.
        let running = Running::start("qemu-nbd", &["--format=raw", "--socket", &socket, &image]);
        let running = running.listening(|| std::path::Path::new(&socket).exists());
        let limit = Instant::now() + LONG;
        let backend = loop {
            match patient(&folder.uri()).connect() {
                Ok(backend) => break backend,
                Err(error) => assert!(Instant::now() < limit, "{error}"),
            }
        };
        let mut bench = Bench::new();
        for _ in 0..3 {
            let mut queue = backend.open_queue(8).unwrap();
            let (read, at) = bench.read(0, 0, 4096);
            assert!(perform(&mut *queue, read).is_ok());
            assert!(bench.memory.bytes(at, 4096) == content[..4096]);
        }
        assert_eq!(backend.reconnects(), 0);
        drop(backend);
        // It is told that this was all.
        let mut running = running;
        while running.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "the server did not learn of the end");
        }
    }
}

#[test]
fn nbdkit_with_several_connections() {
    if have("nbdkit") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        let _server = nbdkit(&folder, &["--filter=multi-conn", "file", &image, "multi-conn-mode=emulate"]);
        let backend = patient(&folder.uri()).connections(4).connect().unwrap();
        assert_eq!(backend.capabilities().max_queues, u16::MAX);
        all_kinds(&backend, &mut content);
        assert!(folder.disk() == content);
    }
}

#[test]
fn nbdkit_without_extras() {
    if have("nbdkit") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        // The oldest it can be: no structured replies, no several connections, no trims.
        let arguments = ["--no-sr", "--filter=multi-conn", "--filter=nozero", "--filter=fua", "file"];
        let settings = [&image, "multi-conn-mode=disable", "zeromode=none", "fuamode=none"];
        let _server = nbdkit(&folder, &[&arguments[..], &settings].concat());
        let backend = patient(&folder.uri()).connections(4).connect().unwrap();
        assert_eq!(backend.capabilities().max_queues, 1);
        all_kinds(&backend, &mut content);
        assert!(folder.disk() == content);
    }
}

#[test]
fn nbdkit_with_large_blocks() {
    if have("nbdkit") {
        let folder = Folder::new();
        let (image, content) = folder.image();
        let policy = ["blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=64k"];
        let arguments = ["--filter=blocksize-policy", "file", &image, "blocksize-error-policy=error"];
        let _server = nbdkit(&folder, &[&arguments[..], &policy].concat());
        let backend = patient(&folder.uri()).connect().unwrap();
        assert_eq!(backend.capabilities().block_size, 4096);
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        for (offset, len) in [(512, 1024), (0, 1 << 20), (3584, 100 << 10)] {
            let (read, at) = bench.read(0, offset, len);
            assert_eq!(perform(&mut *queue, read).unwrap(), u64::from(len));
            assert!(bench.memory.bytes(at, len as usize) == content[offset as usize..][..len as usize]);
        }
        assert_eq!(perform(&mut *queue, bench.write(0, 4096, &vec![1; 1 << 20])).unwrap(), 1 << 20);
        assert!(perform(&mut *queue, bench.write(0, 512, &[1; 512])).is_err());
        assert!(folder.disk()[4096..4096 + (1 << 20)] == vec![1; 1 << 20]);
    }
}

#[test]
fn nbdkit_with_errors() {
    if have("nbdkit") {
        let folder = Folder::new();
        let (image, content) = folder.image();
        let errors = ["error-pread=EIO", "error-pread-rate=50%", "error-pwrite=ENOSPC", "error-pwrite-rate=50%"];
        let _server = nbdkit(&folder, &[&["--filter=error", "file", &image], &errors[..]].concat());
        let backend = patient(&folder.uri()).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(32).unwrap();
        let (mut good, mut bad) = (0, 0);
        for _ in 0..8 {
            let mut places = Vec::new();
            for tag in 0..32u16 {
                let offset = usize::from(tag) << 16;
                if tag % 2 == 0 {
                    let (read, at) = bench.read(tag, offset as u64, 4096);
                    places.push((at, offset));
                    queue.submit(read);
                } else {
                    queue.submit(bench.write(tag, offset as u64, &content[offset..offset + 4096]));
                }
            }
            queue.kick();
            for completion in finish(&mut *queue, 32) {
                let tag = completion.operation.tag();
                match completion.result {
                    Ok(4096) if tag % 2 == 0 => {
                        let (at, offset) = places[usize::from(tag / 2)];
                        assert!(bench.memory.bytes(at, 4096) == content[offset..offset + 4096]);
                        good += 1;
                    }
                    Ok(4096) => good += 1,
                    Err(OperationError::Io(error)) => {
                        assert_eq!(error.kind() == std::io::ErrorKind::StorageFull, tag % 2 == 1);
                        bad += 1;
                    }
                    result => panic!("{tag}: {result:?}"),
                }
            }
        }
        assert!(good > 0 && bad > 0, "{good} were good and {bad} bad");
        assert_eq!(backend.reconnects(), 0);
    }
}

#[test]
fn nbdkit_with_a_delay() {
    if have("nbdkit") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        let arguments = ["--threads=32", "--filter=delay", "file", &image, "rdelay=10ms", "wdelay=10ms"];
        let _server = nbdkit(&folder, &arguments);
        all_kinds(&patient(&folder.uri()).connect().unwrap(), &mut content);
        assert!(folder.disk() == content);
    }
}

/// Random reads and writes, 32 in flight, while `disturb` kills the server again and again: each comes back once, and
/// reads what was written last.
fn under_fire(backend: &NbdBackend, content: &mut [u8], mut disturb: impl FnMut(&mut dyn BlockQueue)) {
    const BLOCK: usize = 16 << 10;
    let mut bench = Bench::new();
    let mut queue = backend.open_queue(32).unwrap();
    let places: Vec<u64> = (0..32).map(|_| bench.memory.alloc(BLOCK as u64, 4096)).collect();
    for round in 0..20u64 {
        let numbers = pattern(64, round + 1);
        // Each of the requests of a round has blocks of its own.
        for tag in 0..32usize {
            let block = usize::from(numbers[tag]) % 16 * 32 + tag;
            let (offset, at) = (block * BLOCK, places[tag]);
            let memory = [(at, BLOCK as u32)];
            if numbers[32 + tag] % 2 == 0 {
                bench.memory.write(at, &vec![0xee; BLOCK]);
                queue.submit(bench.operation(tag as u16, OperationKind::Read, offset as u64, &memory));
            } else {
                let data = pattern(BLOCK, round * 32 + tag as u64 + 1);
                content[offset..offset + BLOCK].copy_from_slice(&data);
                bench.memory.write(at, &data);
                let kind = OperationKind::Write { durable: tag % 4 == 0 };
                queue.submit(bench.operation(tag as u16, kind, offset as u64, &memory));
            }
        }
        queue.kick();
        disturb(&mut *queue);
        let mut seen = [false; 32];
        for completion in finish(&mut *queue, 32) {
            let tag = usize::from(completion.operation.tag());
            assert_eq!(completion.result.unwrap(), BLOCK as u64);
            assert!(!std::mem::replace(&mut seen[tag], true));
            let offset = completion.operation.offset() as usize;
            assert!(bench.memory.bytes(places[tag], BLOCK) == content[offset..offset + BLOCK], "round {round}");
        }
    }
}

#[test]
fn a_server_is_killed_again_and_again() {
    if have("nbdkit") {
        for connections in [1, 3] {
            let folder = Folder::new();
            let (image, mut content) = folder.image();
            // Slow enough to be killed with requests in flight.
            let delay = ["--threads=4", "--filter=delay", "file", &image, "rdelay=5ms", "wdelay=5ms"];
            let mut server = nbdkit(&folder, &delay);
            let backend = patient(&folder.uri()).connections(connections).connect().unwrap();
            under_fire(&backend, &mut content, |_| {
                server.kill();
                server = nbdkit(&folder, &delay);
            });
            assert!(backend.reconnects() >= 10, "{} connections broke", backend.reconnects());
            assert!(folder.disk() == content);
        }
    }
}

#[test]
fn qemu_nbd_is_killed_again_and_again() {
    if have("qemu-nbd") {
        let folder = Folder::new();
        let (image, mut content) = folder.image();
        let mut server = qemu_nbd(&folder, &image);
        let backend = patient(&folder.uri()).connections(2).connect().unwrap();
        under_fire(&backend, &mut content, |_| {
            server.kill();
            server = qemu_nbd(&folder, &image);
        });
        assert!(backend.reconnects() >= 10, "{} connections broke", backend.reconnects());
        assert!(folder.disk() == content);
    }
}

#[test]
fn a_server_that_is_gone_for_good_fails_requests() {
    if have("nbdkit") {
        let folder = Folder::new();
        // It ends when its first connection does.
        let mut server = nbdkit(&folder, &["memory", "1M"]);
        let limit = Duration::from_millis(300);
        let backend = patient(&folder.uri()).reconnect(limit).connect().unwrap();
        let mut bench = Bench::new();
        let mut queue = backend.open_queue(8).unwrap();
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_ok());
        server.kill();
        let begin = Instant::now();
        assert!(perform(&mut *queue, bench.read(0, 0, 512).0).is_err());
        assert!(begin.elapsed() >= limit);
    }
}
