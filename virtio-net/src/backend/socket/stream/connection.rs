//! One connection, and what is there of frames on it.

use std::io::{self, Read};
use std::sync::Arc;

use socket2::Socket;

use super::super::incoming::Incoming;
use super::super::outgoing::Outgoing;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Arc<Socket>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// There was less to be received than there was room for.
    drained: bool,
    /// What was to be sent could not all be sent.
    pub(super) stuck: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Connection {
        let (incoming, outgoing) = (Incoming::new(), Outgoing::default());
        Connection { socket: Arc::new(socket), incoming, outgoing, drained: false, stuck: false }
    }

    /// Receives what is there, once. False if nothing is.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.drained) {
            return Ok(false);
        }
        let room = self.incoming.room();
        let most = room.len();
        match (&*self.socket).read(room) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.incoming.fill(len);
                self.drained = len < most;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // It is asked for again: there may be something still.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends what can be sent now.
    pub(super) fn push(&mut self) -> io::Result<()> {
        // A peer that has gone is an error, and no signal.
        #[cfg(not(target_vendor = "apple"))]
        let flags = libc::MSG_NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = 0;
        while !self.outgoing.is_empty() {
            match self.socket.send_with_flags(self.outgoing.bytes(), flags) {
                Ok(sent) => self.outgoing.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
