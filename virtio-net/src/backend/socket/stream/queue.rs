//! The one queue of a network in a stream.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use socket2::Socket;
use virtio_core::{Source, Sources};

use super::super::super::{Interest, NetQueue, Packet, RECEIVE, Received, Room, SEND, SendError};
use super::super::link::Attempts;
use super::connection::Connection;
use super::{Shared, Way};
use crate::NetHeader;
use crate::wire::ETHERNET_LEN;

/// Calls for the next frame, at most.
const MOST_CALLS: u32 = 4;

#[derive(Debug)]
pub(in super::super) struct StreamQueue {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    attempts: Attempts,
    version: u64,
}

impl StreamQueue {
    pub(in super::super) fn new(shared: Arc<Shared>) -> StreamQueue {
        let (connection, attempts) = shared.spare.take(matches!(shared.way, Way::Connect(_)));
        StreamQueue { shared, connection, attempts, version: 0 }
    }

    /// Connects, if it is time to, or takes the connection that somebody has made.
    fn tend(&mut self) {
        if !self.attempts.is_due() && self.listener().is_none() {
            return;
        }
        match self.shared.connect() {
            Ok(Some(socket)) => {
                self.connection = Some(Connection::new(socket));
                self.attempts.made();
                self.version += 1;
            }
            Ok(None) => {
                self.version += u64::from(self.attempts.next().is_some());
                self.attempts.made();
            }
            Err(_) => {
                self.version += 1;
                self.attempts.again();
            }
        }
    }

    /// The socket that others connect to, unless it is to be left alone for a while.
    fn listener(&self) -> Option<&Arc<Socket>> {
        match &self.shared.way {
            Way::Listen(listener) if self.attempts.next().is_none() => Some(&listener.socket),
            _ => None,
        }
    }

    #[cold]
    fn disconnect(&mut self, reason: &dyn fmt::Display) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        // It stays open for as long as somebody waits for it.
        let _ = connection.socket.shutdown(std::net::Shutdown::Both);
        self.shared.account.disconnected(reason, connection.outgoing.clear());
        if !matches!(self.shared.way, Way::Passed) {
            self.attempts.again();
        }
        self.version += 1;
    }

    /// Sends what can be sent now.
    fn push(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let pushed = connection.push();
        let stuck = !connection.outgoing.is_empty();
        if std::mem::replace(&mut connection.stuck, stuck) != stuck {
            self.version += 1;
        }
        if let Err(error) = pushed {
            self.disconnect(&error);
        }
    }

    /// Where the next frame is, if one is there.
    fn next(&mut self) -> io::Result<Option<std::ops::Range<usize>>> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let mut calls = 0;
        loop {
            match connection.incoming.take() {
                Ok(Some(range)) if range.len() >= ETHERNET_LEN => {
                    self.attempts.of_use();
                    return Ok(Some(range));
                }
                Ok(Some(_)) => self.shared.account.malformed(),
                Ok(None) => {
                    // What is left then is not here, and the source says that it is there.
                    if calls == MOST_CALLS || !connection.fill()? {
                        return Ok(None);
                    }
                    calls += 1;
                }
                Err(bad) => {
                    self.shared.account.malformed();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, bad));
                }
            }
        }
    }

    /// Names what is waited for.
    pub(in super::super) fn watch(&self, interest: Interest, mut add: impl FnMut(Source, u8)) {
        let Some(connection) = &self.connection else {
            if let Some(listener) = self.listener().filter(|_| interest.receive) {
                add(Source::Readable(Arc::clone(listener) as Arc<dyn AsRawFd + Send + Sync>), RECEIVE);
            }
            return;
        };
        let socket = || Arc::clone(&connection.socket) as Arc<dyn AsRawFd + Send + Sync>;
        if interest.receive {
            add(Source::Readable(socket()), RECEIVE);
        }
        // The rest of what was taken has to go, too.
        if interest.send || connection.stuck {
            add(Source::Writable(socket()), SEND);
        }
    }
}

impl NetQueue for StreamQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        if self.connection.is_none() {
            self.tend();
        }
        let len = packet.len().saturating_add(4);
        if self.connection.as_ref().is_some_and(|it| it.outgoing.is_enough() || !it.outgoing.has_room(len)) {
            self.push();
        }
        let Some(connection) = &mut self.connection else {
            return Err(SendError::Failed(io::ErrorKind::NotConnected.into()));
        };
        if !connection.outgoing.has_room(len) {
            return Err(SendError::Full);
        }
        connection.outgoing.put(packet, true)?;
        Ok(())
    }

    fn flush(&mut self) {
        self.push();
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        if self.connection.is_none() {
            self.tend();
        }
        let range = match self.next() {
            Ok(Some(range)) => range,
            Ok(None) => return Ok(Received::Nothing),
            Err(error) => {
                self.disconnect(&error);
                // Somebody who goes is no error.
                return match error.kind() {
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ok(Received::Nothing),
                    _ => Err(error),
                };
            }
        };
        let frame = self.connection.as_ref().map_or(&[][..], |connection| connection.incoming.frame(range));
        Ok(Received::Lent { header: NetHeader::default(), frame })
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
        self.connection.is_some()
    }
}

impl Drop for StreamQueue {
    /// The next queue goes on with the connection.
    fn drop(&mut self) {
        self.push();
        self.shared.spare.put(self.connection.take());
    }
}
