//! The framing of QEMU: a stream and datagrams, on a hub of a QEMU without a guest.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use virtio_net::backend::NetQueue;
use virtio_net::{NetBackend, UnixDgram, UnixStream};

use crate::folder::Folder;
use crate::left_out::left_out;
use crate::{receive, send};

const QEMU: &str = "qemu-system-x86_64";
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

struct Qemu {
    child: Child,
}

impl Qemu {
    /// Joins a stream and datagrams. The stream's socket is made here if `server` is set, and else connected to.
    fn start(folder: &Path, server: bool) -> Qemu {
        let path = |name: &str| folder.join(name).display().to_string();
        let server = if server { "on" } else { "off" };
        let networks = [
            format!("stream,id=stream,server={server},addr.type=unix,addr.path={}", path("stream")),
            format!(
                "dgram,id=dgram,local.type=unix,local.path={},remote.type=unix,remote.path={}",
                path("theirs"),
                path("ours")
            ),
            "hubport,id=one,hubid=0,netdev=stream".to_owned(),
            "hubport,id=other,hubid=0,netdev=dgram".to_owned(),
        ];
        let mut command = Command::new(QEMU);
        command.args(["-machine", "none", "-nodefaults", "-display", "none"]);
        for network in networks {
            command.arg("-netdev").arg(network);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(QEMU);
        Qemu { child }
    }

    fn is_there(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A frame to everybody, `len` bytes long.
fn frame(len: usize, seed: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5, seed]);
    frame.extend((frame.len()..len).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8));
    frame
}

/// Sends a frame until it arrives; both ends may have to connect first. Others are what was sent before.
fn carries(from: &mut dyn NetQueue, to: &mut dyn NetQueue, qemu: &mut Qemu, frame: &[u8]) {
    let end = Instant::now() + LONG;
    loop {
        let sent = send(from, frame).is_ok();
        let soon = Instant::now() + Duration::from_secs(1);
        while Instant::now() < soon {
            if receive(to).is_some_and(|got| got == frame) {
                return;
            }
            if !sent {
                break;
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < end && qemu.is_there(), "a frame of {} bytes does not come", frame.len());
        // Whoever sends hears of connections, too.
        receive(from);
    }
}

fn both_ways(stream: &UnixStream, dgram: &UnixDgram, qemu: &mut Qemu) {
    let (mut one, mut other) = (stream.open_queue(0).expect("a queue"), dgram.open_queue(0).expect("a queue"));
    for (seed, len) in (0..).zip([15, 60, 1514, 9014, 65549]) {
        carries(&mut *one, &mut *other, qemu, &frame(len, seed));
        carries(&mut *other, &mut *one, qemu, &frame(len, 100 + seed));
    }
    // In order, and each by itself.
    for seed in 0..100 {
        send(&mut *one, &frame(60 + usize::from(seed), seed)).expect("it is sent");
        carries(&mut *one, &mut *other, qemu, &frame(500, seed));
    }
    assert!(one.is_connected() && other.is_connected());
    assert_eq!((stream.malformed(), dgram.malformed()), (0, 0));
}

#[test]
fn qemu_joins_a_stream_and_datagrams() {
    let found = Command::new(QEMU).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return left_out(&format!("there is no {QEMU}"));
    }
    for listens in [false, true] {
        let folder = Folder::new(&format!("qemu-{listens}"));
        let path = |name: &str| folder.path().join(name);
        let stream =
            if listens { UnixStream::listen(path("stream")) } else { UnixStream::connect_later(path("stream")) };
        let stream = stream.expect("a network");
        let dgram = UnixDgram::builder(path("theirs")).own_path(path("ours")).connect_later().expect("a network");
        let mut qemu = Qemu::start(folder.path(), !listens);
        both_ways(&stream, &dgram, &mut qemu);
        assert_eq!((stream.disconnects(), stream.lost(), dgram.lost()), (0, 0, 0));
    }
}
