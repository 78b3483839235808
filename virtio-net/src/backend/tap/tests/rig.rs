//! Networks of tests: each in a network namespace of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_core::Source;
use virtio_core::memory::RawIoSlice;

use super::super::Tap;
use super::super::queue::TapQueue;
use super::own_network::run;
use super::sys;
use crate::backend::{Interest, NetBackend, NetQueue, Packet, Received, Room, SendError};
use crate::{Configuration, NetHeader, Offloads};

/// Longer than anything takes here.
const LONG: libc::c_int = 60_000;
/// An EtherType for experiments.
pub(super) const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

pub(super) fn ip(arguments: &str) {
    run(&format!("ip {arguments}"));
}

/// Makes a tap that is up.
pub(super) fn make_tap(name: &str, more: &str) {
    ip(format!("tuntap add {name} mode tap {more}").trim_end());
    ip(&format!("link set {name} up"));
}

/// Joins interfaces, which are open and up.
pub(super) fn join(interfaces: &[&str]) {
    ip("link add br0 type bridge");
    ip("link set br0 up");
    for name in interfaces {
        ip(&format!("link set {name} master br0"));
    }
    let end = Instant::now() + Duration::from_secs(60);
    for name in interfaces {
        // The bridge hears a little later that an interface is in use.
        while !says(&format!("bridge link show dev {name}")).contains("state forwarding") {
            assert!(Instant::now() < end, "{name} is not joined");
            std::thread::yield_now();
        }
    }
}

/// What a program says.
fn says(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().expect("a program");
    String::from_utf8(output.stdout).expect("a text")
}

/// What the driver wants, of all pairs.
pub(super) fn wants(receive: Offloads, transmit: Offloads, pairs: u16) -> Configuration {
    Configuration { receive, transmit, pairs }
}

/// One queue, and memory for it.
pub(super) struct Rig {
    pub(super) queue: TapQueue,
    buffer: Vec<u8>,
    /// Bytes of it that are before the room.
    ahead: usize,
    scratch: Vec<RawIoSlice>,
}

impl Rig {
    /// Configures the tap, and opens its first queue.
    pub(super) fn new(tap: &Tap, receive: Offloads) -> Rig {
        let transmit = tap.capabilities().transmit;
        tap.configure(&wants(receive, transmit, 1)).expect("a configuration");
        Rig::of_pair(tap, 0)
    }

    pub(super) fn of_pair(tap: &Tap, pair: u16) -> Rig {
        let queue = TapQueue::new(Arc::clone(&tap.shared), pair).expect("a queue");
        Rig { queue, buffer: vec![0; 70_000], ahead: 0, scratch: Vec::new() }
    }

    /// Room for so many bytes.
    pub(super) fn with_room(mut self, bytes: usize) -> Rig {
        self.buffer = vec![0; self.ahead + bytes];
        self
    }

    /// So many bytes before the room, where a header can go.
    pub(super) fn set_ahead(&mut self, ahead: usize) {
        self.buffer.resize(self.buffer.len() - self.ahead + ahead, 0);
        self.ahead = ahead;
    }

    pub(super) fn send(&mut self, header: NetHeader, frame: &[u8]) -> Result<(), SendError> {
        self.queue.send(&mut Packet::of_bytes(header, frame, &mut self.scratch))
    }

    pub(super) fn send_plain(&mut self, frame: &[u8]) -> Result<(), SendError> {
        self.send(NetHeader::default(), frame)
    }

    /// A frame of this test's, if one is there.
    pub(super) fn receive(&mut self) -> std::io::Result<Option<(NetHeader, Vec<u8>)>> {
        loop {
            let mut room = Room::behind(&mut self.buffer, self.ahead, &mut self.scratch);
            match self.queue.receive(&mut room)? {
                Received::Nothing => return Ok(None),
                Received::Filled { header, len } if is_ours(&self.buffer[self.ahead..][..len]) => {
                    return Ok(Some((header, self.buffer[self.ahead..][..len].to_vec())));
                }
                Received::Filled { .. } => {}
                Received::Lent { .. } => panic!("a tap lends nothing"),
            }
        }
    }

    /// The next frame, waited for.
    pub(super) fn next(&mut self) -> (NetHeader, Vec<u8>) {
        loop {
            if let Some(found) = self.receive().expect("a frame") {
                return found;
            }
            assert!(self.wait(true, false, LONG), "nothing came");
        }
    }

    /// What is waited for.
    pub(super) fn files(&self, receive: bool, send: bool) -> Vec<(RawFd, libc::c_short)> {
        let mut files = Vec::new();
        self.queue.watch(Interest { receive, send }, |source, _| match source {
            Source::Readable(file) => files.push((sys::raw(&file), libc::POLLIN)),
            Source::Writable(file) => files.push((sys::raw(&file), libc::POLLOUT)),
            _ => panic!("not a file"),
        });
        files
    }

    /// Waits until a source says something; whether one did.
    pub(super) fn wait(&self, receive: bool, send: bool, milliseconds: libc::c_int) -> bool {
        sys::wait(&self.files(receive, send), milliseconds).contains(&true)
    }

    /// Serves the queue as its task would, when its sources say so, until its link is as wanted.
    pub(super) fn until_connected(&mut self, connected: bool) {
        while self.queue.is_connected() != connected {
            assert!(self.wait(true, false, LONG), "nothing was heard");
            let _ = self.receive();
        }
    }
}

/// The host's side of an interface.
pub(super) struct Host {
    socket: File,
    header: bool,
}

impl Host {
    pub(super) fn new(interface: &str) -> Host {
        Host::open(interface, false)
    }

    /// Frames go with headers.
    pub(super) fn with_headers(interface: &str) -> Host {
        Host::open(interface, true)
    }

    fn open(interface: &str, header: bool) -> Host {
        let line = says(&format!("ip -o link show {interface}"));
        let number = line.split(':').next().unwrap().parse().expect("an interface");
        Host { socket: sys::packet_socket(number, header).expect("a packet socket").into(), header }
    }

    pub(super) fn send(&mut self, frame: &[u8]) {
        self.send_with(NetHeader::default(), frame);
    }

    pub(super) fn send_with(&mut self, header: NetHeader, frame: &[u8]) {
        let mut bytes = if self.header { header.encode(0)[..10].to_vec() } else { Vec::new() };
        bytes.extend_from_slice(frame);
        assert_eq!(self.socket.write(&bytes).expect("the host sends"), bytes.len());
    }

    /// The next frame of this test's that came in, waited for.
    pub(super) fn next(&mut self) -> (NetHeader, Vec<u8>) {
        loop {
            let mut bytes = vec![0; 70_000];
            assert!(sys::wait(&[(self.socket.as_raw_fd(), libc::POLLIN)], LONG)[0], "nothing came");
            let len = self.socket.read(&mut bytes).expect("the host receives");
            bytes.truncate(len);
            let frame = bytes.split_off(if self.header { 10 } else { 0 });
            if is_ours(&frame) {
                return (NetHeader::decode(&bytes), frame);
            }
        }
    }
}

/// Whether a frame is one of this test's, and not something that the host says by itself.
fn is_ours(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&[2, 0, 0, 0, 0, 1])
}

/// Whether two frames are the same; says where they are not.
pub(super) fn assert_same(frame: &[u8], expected: &[u8]) {
    let difference = frame.iter().zip(expected).position(|(one, other)| one != other);
    assert_eq!((frame.len(), difference), (expected.len(), None));
}

/// A frame of no protocol, `len` bytes long.
pub(super) fn frame(len: usize, seed: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(EXPERIMENT);
    frame.extend((frame.len()..len).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed));
    frame
}
