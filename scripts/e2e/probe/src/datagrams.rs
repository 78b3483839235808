//! What goes by UDP: datagrams that say which they are, so that none can be missing, changed, doubled or late unnoticed.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | which run it belongs to |
//! | 4..8 | its number in that, from 0 |
//! | 8.. | what follows from these two |

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use clap::Args;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, UdpGsoSegment};

use crate::{DATAGRAMS, streams};

/// How long the next one may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that wait in the kernel: more than all of a run, however much memory a driver takes for a frame.
const WAITING: usize = 16 << 20;
const HEADER: usize = 8;
/// Bytes of the longest one.
const LONGEST: usize = 65_507;

/// Datagrams that belong together.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of the run.
    #[arg(long, default_value_t = std::process::id())]
    pub(crate) run: u32,
    /// How many there are.
    #[arg(long)]
    pub(crate) count: u32,
    /// Bytes of each.
    #[arg(long)]
    pub(crate) len: usize,
    /// How many are written at once, to be cut by the kernel or the device.
    #[arg(long, default_value_t = 1)]
    pub(crate) at_once: u32,
}

impl Run {
    /// As a request has it.
    pub(crate) fn words(&self) -> String {
        format!("{} {} {} {}", self.run, self.count, self.len, self.at_once)
    }

    /// From the words of a request.
    pub(crate) fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Run> {
        let mut next = || words.next().and_then(|word| word.parse::<u32>().ok());
        let (run, count, len, at_once) = (next()?, next()?, next()?, next()?);
        Some(Run { run, count, len: usize::try_from(len).ok()?, at_once })
    }

    /// One of them.
    fn datagram(&self, number: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        bytes.extend(self.run.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        let mut state = u64::from(self.run) << 32 | u64::from(number);
        while bytes.len() < self.len {
            // A linear congruential generator, of which the high bits are good.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((state >> 56) as u8);
        }
        bytes
    }
}

/// What has come of a run.
#[derive(Debug)]
pub(crate) struct Collector {
    run: Run,
    came: Vec<u32>,
    next: u32,
    late: u32,
    changed: u32,
    /// Others than those of the run.
    foreign: u32,
}

impl Collector {
    pub(crate) fn new(run: Run) -> Collector {
        let came = vec![0; run.count.min(1 << 20) as usize];
        Collector { run, came, next: 0, late: 0, changed: 0, foreign: 0 }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let word = |at| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        let (Some(run), Some(number)) = (word(0), word(4)) else {
            self.foreign += 1;
            return;
        };
        let Some(came) = self.came.get_mut(number as usize).filter(|_| run == self.run.run) else {
            self.foreign += 1;
            return;
        };
        *came += 1;
        if self.run.datagram(number) != bytes {
            self.changed += 1;
        }
        if number < self.next && *came == 1 {
            self.late += 1;
        }
        self.next = self.next.max(number + 1);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.came.iter().all(|came| *came > 0)
    }

    /// "all", or what is wrong.
    pub(crate) fn verdict(&self) -> String {
        let missing: Vec<_> = (0..self.run.count).zip(&self.came).filter(|(_, came)| **came == 0).collect();
        let doubled = self.came.iter().filter(|came| **came > 1).count();
        let Collector { late, changed, foreign, .. } = self;
        if missing.is_empty() && (doubled, *late, *changed, *foreign) == (0, 0, 0, 0) {
            return "all".into();
        }
        let numbers: Vec<_> = missing.iter().take(8).map(|(number, _)| number.to_string()).collect();
        format!(
            "{} of {} missing ({}), {doubled} doubled, {late} late, {changed} changed, {foreign} foreign{}",
            missing.len(),
            self.run.count,
            numbers.join(" "),
            kernel_errors()
        )
    }
}

/// What the kernel has counted against datagrams since it began.
fn kernel_errors() -> String {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut errors = String::new();
    for protocol in ["Ip:", "Udp:"] {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { continue };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            let bad = ["Errors", "Fails", "Discards", "Timeout"].iter().any(|word| name.contains(word));
            if bad && value != "0" {
                errors.push_str(&format!(", {protocol}{name} {value}"));
            }
        }
    }
    errors
}

/// A socket with room for a whole run. Whoever has no rights gets what he may have.
pub(crate) fn bound(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(to)?;
    let _ = setsockopt(&socket, RcvBufForce, &WAITING);
    Ok(socket)
}

/// Receives one.
pub(crate) fn receive<'a>(socket: &UdpSocket, room: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    room.resize(LONGEST + 1, 0);
    let len = socket.recv(room)?;
    Ok(room.get(..len).unwrap_or_default())
}

/// Sends all of a run.
pub(crate) fn send(to: SocketAddr, run: &Run) -> io::Result<()> {
    let len = i32::try_from(run.len).ok().filter(|_| (HEADER..=LONGEST).contains(&run.len));
    let len = len.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "datagrams of no length that there is"))?;
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    if run.at_once > 1 {
        setsockopt(&socket, UdpGsoSegment, &len)?;
    }
    let numbers: Vec<u32> = (0..run.count).collect();
    for group in numbers.chunks(run.at_once.max(1) as usize) {
        socket.send(&group.iter().flat_map(|number| run.datagram(*number)).collect::<Vec<u8>>())?;
    }
    Ok(())
}

/// Sends a run to an address of `host`; what it says of it.
pub(crate) fn up(host: IpAddr, to: IpAddr, run: &Run) -> io::Result<String> {
    streams::ask(host, &format!("collect {}", run.words()))?;
    send((to, DATAGRAMS).into(), run)?;
    streams::ask(host, "collected")
}

/// Has `host` send a run to this address; what became of it.
pub(crate) fn down(host: IpAddr, to: SocketAddr, run: &Run) -> io::Result<String> {
    let socket = bound(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let answer = streams::ask(host, &format!("send {to} {}", run.words()))?;
    if answer != "sent" {
        return Err(io::Error::other(answer));
    }
    let (mut collector, mut room) = (Collector::new(*run), Vec::new());
    while !collector.is_complete() {
        match receive(&socket, &mut room) {
            Ok(bytes) => collector.take(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    // Whatever came twice is here already.
    socket.set_nonblocking(true)?;
    while let Ok(bytes) = receive(&socket, &mut room) {
        collector.take(bytes);
    }
    Ok(collector.verdict())
}
