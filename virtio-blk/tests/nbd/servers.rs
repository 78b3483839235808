//! Real servers: programs that the tests start and kill.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Longer than a server takes to start or to end.
const LONG: Duration = Duration::from_secs(60);

/// Whether a program is there. Where all of them have to be, it is a failure if it is not.
pub(crate) fn have(program: &str) -> bool {
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
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("virtio-blk-nbd-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Makes a disk image; returns its path.
    pub(crate) fn image(&self, content: &[u8]) -> String {
        let path = self.path("disk.img");
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn disk(&self) -> Vec<u8> {
        fs::read(self.0.join("disk.img")).unwrap()
    }

    pub(crate) fn socket(&self) -> String {
        self.path("socket")
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that runs. Killed when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program that then listens at a Unix socket.
    pub(crate) fn unix(folder: &Folder, program: &str, arguments: &[&str]) -> Running {
        let _ = fs::remove_file(folder.socket());
        let running = Running::start(program, arguments);
        running.listening(|| UnixStream::connect(folder.socket()).is_ok())
    }

    pub(crate) fn start(program: &str, arguments: &[&str]) -> Running {
        Running(Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn listening(mut self, connects: impl Fn() -> bool) -> Running {
        let limit = Instant::now() + LONG;
        while !connects() {
            assert!(Instant::now() < limit && self.0.try_wait().unwrap().is_none(), "the server does not listen");
            std::thread::yield_now();
        }
        self
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub(crate) fn kill(&mut self) {
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

pub(crate) fn qemu_nbd(folder: &Folder, image: &str) -> Running {
    let socket = folder.socket();
    let arguments = ["--persistent", "--shared=8", "--format=raw", "--discard=unmap", "--socket", &socket, image];
    Running::unix(folder, "qemu-nbd", &arguments)
}

pub(crate) fn nbdkit(folder: &Folder, arguments: &[&str]) -> Running {
    let socket = folder.socket();
    Running::unix(folder, "nbdkit", &[&["--foreground", "--unix", &socket], arguments].concat())
}

/// A server on a port that was free a moment ago. Somebody else may have taken it, so this may take several attempts.
pub(crate) fn on_a_port(start: impl Fn(&str) -> Running) -> (Running, String) {
    let limit = Instant::now() + LONG;
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut running = start(&port.to_string());
        while running.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "the server does not listen");
            // Where nobody listens yet, a connection may come to meet itself.
            let met = |stream: TcpStream| stream.local_addr().ok().zip(stream.peer_addr().ok());
            let connected = TcpStream::connect(("127.0.0.1", port)).ok().and_then(met);
            if connected.is_some_and(|(own, peer)| own != peer) {
                return (running, format!("nbd://127.0.0.1:{port}"));
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < limit, "the server does not run");
    }
}
