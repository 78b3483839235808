//! A host with a network of its own, that has a tap and speaks UDP over it.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::frames::BROADCAST;
use crate::own_network::run;
use crate::packets::{UDP, ipv4, udp};

/// What the host has on the tap, and what the driver says that it has.
const HOST: [u8; 4] = [10, 0, 0, 1];
const DRIVER: [u8; 4] = [10, 0, 0, 2];
const EVERYBODY: [u8; 4] = [10, 0, 0, 255];
const PORT: u16 = 4000;

/// Makes a tap that is up, with the host's address.
pub(crate) fn make_tap() {
    make_tap_with("");
}

/// The same with options of `ip tuntap`.
pub(crate) fn make_tap_with(options: &str) {
    run(format!("ip tuntap add vm0 mode tap {options}").trim_end());
    run("ip addr add 10.0.0.1/24 brd + dev vm0");
    run("ip link set vm0 up");
}

/// Waits until the host sends by an interface that was opened or set up just now.
pub(crate) fn until_in_use(interface: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !run(&format!("ip -o link show {interface}")).contains("state UP") {
        assert!(Instant::now() < end, "{interface} is not in use");
        thread::yield_now();
    }
}

/// Speaks with whatever is on the tap.
pub(crate) struct Host(UdpSocket);

impl Host {
    pub(crate) fn new() -> Host {
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).expect("a socket");
        socket.set_broadcast(true).expect("broadcasts");
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        Host(socket)
    }

    /// Sends this to everybody.
    pub(crate) fn send(&self, content: &[u8]) {
        self.0.send_to(content, ("10.0.0.255", PORT + 1)).expect("it is sent");
    }

    /// What came from the driver, if something did.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 65536];
        match self.0.recv_from(&mut bytes) {
            Ok((len, from)) => {
                assert_eq!(from.ip().to_string(), "10.0.0.2");
                bytes.truncate(len);
                Some(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A frame of the driver's with this for the host, to everybody.
pub(crate) fn to_host(content: &[u8]) -> Vec<u8> {
    around(BROADCAST, EVERYBODY, content)
}

/// The same to an interface with the host's address, by its own.
pub(crate) fn to_interface(mac: [u8; 6], content: &[u8]) -> Vec<u8> {
    around(mac, HOST, content)
}

fn around(mac: [u8; 6], address: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut datagram = udp((PORT + 1, PORT), content);
    // Not summed, which `ipv4` would begin.
    let mut packet = ipv4(DRIVER, address, UDP, &datagram);
    datagram[6..8].fill(0);
    packet.truncate(20);
    packet.extend(datagram);
    let mut frame = crate::packets::frame(&packet);
    frame[..6].copy_from_slice(&mac);
    frame
}

/// What the host has sent in a frame, if that is of this test's.
pub(crate) fn content(frame: &[u8]) -> Option<&[u8]> {
    let ours = frame.get(..6) == Some(&BROADCAST) && frame.get(30..34) == Some(&EVERYBODY);
    let len = usize::from(u16::from_be_bytes([*frame.get(38)?, *frame.get(39)?])).checked_sub(8)?;
    frame.get(42..42 + len).filter(|_| ours)
}
