//! The one queue of a network in datagrams.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use virtio_core::{Source, Sources};

use super::super::super::sys::{self, MOST_DATAGRAMS};
use super::super::super::{Interest, NetQueue, Packet, RECEIVE, Received, Room, SEND, SendError};
use super::super::link::Attempts;
use super::super::outgoing::Outgoing;
use super::Shared;
use crate::NetHeader;
use crate::wire::{ETHERNET_LEN, MAX_FRAME_LEN};

/// Bytes for each datagram: one more than a frame has, so that a longer one is seen to be longer.
const STRIDE: usize = MAX_FRAME_LEN + 1;
/// Calls for the next frame, at most.
const MOST_CALLS: u32 = 4;

pub(in super::super) struct DatagramQueue {
    shared: Arc<Shared>,
    /// None without a connection.
    outgoing: Option<Outgoing>,
    /// What was to be sent could not all be sent.
    stuck: bool,
    attempts: Attempts,
    version: u64,
    buffer: Vec<u8>,
    lengths: [usize; MOST_DATAGRAMS],
    /// Datagrams in the buffer: the next one, and how many there are.
    next: usize,
    count: usize,
    /// There were fewer than there was room for.
    drained: bool,
}

impl DatagramQueue {
    pub(in super::super) fn new(shared: Arc<Shared>) -> DatagramQueue {
        let (outgoing, attempts) = shared.spare.take(shared.address.is_some());
        DatagramQueue {
            shared,
            outgoing,
            stuck: false,
            attempts,
            version: 0,
            buffer: vec![0; STRIDE * MOST_DATAGRAMS],
            lengths: [0; MOST_DATAGRAMS],
            next: 0,
            count: 0,
            drained: false,
        }
    }

    /// Connects, if it is time to.
    fn tend(&mut self) {
        if self.outgoing.is_some() || !self.attempts.is_due() {
            return;
        }
        match self.shared.connect() {
            Ok(()) => {
                self.outgoing = Some(Outgoing::default());
                self.attempts.made();
                self.version += 1;
            }
            Err(_) => self.attempts.again(),
        }
    }

    #[cold]
    fn disconnect(&mut self, reason: &dyn fmt::Display) {
        let Some(mut outgoing) = self.outgoing.take() else {
            return;
        };
        self.shared.account.disconnected(reason, outgoing.clear());
        if self.shared.address.is_some() {
            self.attempts.again();
        }
        self.stuck = false;
        self.version += 1;
    }

    /// Sends what can be sent now.
    fn push(&mut self) {
        let Some(outgoing) = &mut self.outgoing else {
            return;
        };
        let mut gone = None;
        while !outgoing.is_empty() {
            match sys::send_datagrams(&self.shared.socket, outgoing.bytes(), outgoing.lengths()) {
                Ok(count) => {
                    self.attempts.of_use();
                    outgoing.advance_frames(count.max(1));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotFound => {
                        gone = Some(error);
                        break;
                    }
                    // It does not take this one.
                    _ => {
                        self.shared.account.lost.fetch_add(1, Relaxed);
                        outgoing.advance_frames(1);
                    }
                },
            }
        }
        let stuck = !outgoing.is_empty();
        if std::mem::replace(&mut self.stuck, stuck) != stuck {
            self.version += 1;
        }
        if let Some(error) = gone {
            self.disconnect(&error);
        }
    }

    /// Receives datagrams. False if none is there.
    fn fill(&mut self) -> io::Result<bool> {
        (self.next, self.count) = (0, 0);
        if std::mem::take(&mut self.drained) {
            return Ok(false);
        }
        match sys::receive_datagrams(&self.shared.socket, &mut self.buffer, STRIDE, &mut self.lengths) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.count = count;
                self.drained = count < MOST_DATAGRAMS;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // It is asked for again: there may be something still.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Where the next frame is, if one is there.
    fn next(&mut self) -> io::Result<Option<std::ops::Range<usize>>> {
        let mut calls = 0;
        loop {
            if self.next < self.count {
                let (at, len) = (self.next * STRIDE, self.lengths.get(self.next).copied().unwrap_or(0));
                self.next += 1;
                if (ETHERNET_LEN..STRIDE).contains(&len) {
                    return Ok(Some(at..at + len));
                }
                self.shared.account.malformed();
            } else {
                // What is left then is not here, and the source says that it is there.
                if calls == MOST_CALLS || !self.fill()? {
                    return Ok(None);
                }
                calls += 1;
            }
        }
    }

    /// Names what is waited for.
    pub(in super::super) fn watch(&self, interest: Interest, mut add: impl FnMut(Source, u8)) {
        let socket = || Arc::clone(&self.shared.socket) as Arc<dyn AsRawFd + Send + Sync>;
        // What was sent to us before somebody went is there still.
        if interest.receive {
            add(Source::Readable(socket()), RECEIVE);
        }
        // The rest of what was taken has to go, too.
        if self.outgoing.is_some() && (interest.send || self.stuck) {
            add(Source::Writable(socket()), SEND);
        }
    }
}

impl NetQueue for DatagramQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        self.tend();
        let len = packet.len();
        if self.outgoing.as_ref().is_some_and(|outgoing| outgoing.is_enough() || !outgoing.has_room(len)) {
            self.push();
        }
        let Some(outgoing) = &mut self.outgoing else {
            return Err(SendError::Failed(io::ErrorKind::NotConnected.into()));
        };
        if !outgoing.has_room(len) {
            return Err(SendError::Full);
        }
        outgoing.put(packet, false)?;
        Ok(())
    }

    fn flush(&mut self) {
        self.push();
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        self.tend();
        match self.next() {
            Ok(Some(range)) => {
                let frame = self.buffer.get(range).unwrap_or_default();
                Ok(Received::Lent { header: NetHeader::default(), frame })
            }
            Ok(None) => Ok(Received::Nothing),
            Err(error) => {
                self.disconnect(&error);
                // Somebody who goes is no error.
                match error.kind() {
                    io::ErrorKind::ConnectionReset => Ok(Received::Nothing),
                    _ => Err(error),
                }
            }
        }
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.watch(interest, |source, token| sources.add(source, token));
    }

    fn sources_version(&self) -> u64 {
        self.version
    }

    fn deadline(&self) -> Option<Instant> {
        self.attempts.next()
    }

    fn is_connected(&self) -> bool {
        self.outgoing.is_some()
    }
}

impl Drop for DatagramQueue {
    /// The next queue goes on with the connection.
    fn drop(&mut self) {
        self.push();
        self.shared.spare.put(self.outgoing.take());
    }
}
