//! A real network that needs no rights: passt, as a user who has none.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use virtio_net::backend::NetQueue;
use virtio_net::{NetBackend, UnixStream};

use crate::folder::Folder;
use crate::left_out::{is_root, left_out};
use crate::{receive, send};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);
/// What the network looks like that passt finds.
const HOST: &str = "ip link set lo up; ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; \
    ip addr add 10.9.0.2/24 dev d0; ip route add default via 10.9.0.1; \
    exec setpriv --reuid 65534 --regid 65534 --clear-groups passt --foreground --socket \"$0\"";
/// The guest's address.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

struct Passt {
    child: Child,
}

impl Passt {
    /// In a network of its own, so that it touches nobody else's.
    fn start(socket: &Path) -> Passt {
        let _ = fs::remove_file(socket);
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", HOST]).arg(socket);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("unshare");
        let end = Instant::now() + LONG;
        while !socket.exists() {
            assert!(Instant::now() < end && child.try_wait().expect("a child").is_none(), "passt does not listen");
            std::thread::yield_now();
        }
        Passt { child }
    }
}

impl Drop for Passt {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks who has the address of the gateway.
fn question() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(MAC);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(MAC);
    frame.extend([10, 9, 0, 2]);
    frame.extend([0; 6]);
    frame.extend([10, 9, 0, 1]);
    frame
}

/// Asks until there is an answer; as it would over a network that loses frames.
fn ask(queue: &mut dyn NetQueue) -> Vec<u8> {
    let end = Instant::now() + LONG;
    loop {
        let sent = send(queue, &question()).is_ok();
        let soon = Instant::now() + Duration::from_secs(1);
        while Instant::now() < soon && (sent || !queue.is_connected()) {
            if let Some(frame) = receive(queue)
                && frame.get(12..14) == Some(&[8, 6])
            {
                return frame;
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < end, "no answer");
    }
}

#[test]
fn passt_answers_and_may_be_started_again() {
    if !is_root() {
        return left_out("only root can make network namespaces");
    }
    for (program, argument) in [("passt", "--version"), ("setpriv", "--version"), ("ip", "-V")] {
        let found = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return left_out(&format!("there is no {program}"));
        }
    }
    let folder = Folder::new("passt");
    let socket = folder.path().join("socket");

    let mut passt = Some(Passt::start(&socket));
    let network = UnixStream::connect(&socket).expect("a network");
    let mut queue = network.open_queue(0).expect("a queue");
    for round in 0..2 {
        let answer = ask(&mut *queue);
        // To us, from the gateway's address, with what was asked for.
        assert_eq!((&answer[..6], &answer[20..22], &answer[28..32]), (&MAC[..], &[0, 2][..], &[10, 9, 0, 1][..]));
        assert_eq!((network.disconnects(), network.malformed()), (round, 0));
        if round == 0 {
            drop(passt.take());
            let end = Instant::now() + LONG;
            while queue.is_connected() {
                receive(&mut *queue);
                assert!(Instant::now() < end, "it seems to be there");
            }
            passt = Some(Passt::start(&socket));
        }
    }
}
