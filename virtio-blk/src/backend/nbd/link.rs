//! One of a queue's ways to the server, over all the connections that it takes.
//!
//! ```text
//! Waiting -> Connecting -> Greeting -> Ready
//!    ^            |            |         |
//!    +------------+------------+---------+   broken: again after a while
//! ```

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::connection::{Broken, Connection};
use super::jobs::Jobs;
use super::protocol::{Export, Handshake, ProtocolError};
use super::stream::Stream;

/// How long to wait before another attempt: twice as long each time, from the first of these to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));
/// How soon another attempt may follow one, where a request waits for it.
const HURRY: Duration = Duration::from_millis(100);
/// Bytes of a handshake that are received at once.
const GREETING: usize = 1024;

#[derive(Debug)]
enum State {
    /// Between two attempts.
    Waiting {
        until: Instant,
    },
    Connecting {
        stream: Stream,
        until: Option<Instant>,
    },
    Greeting(Box<Greeting>),
    Ready(Box<Connection>),
}

#[derive(Debug)]
struct Greeting {
    stream: Stream,
    handshake: Handshake,
    output: Vec<u8>,
    until: Option<Instant>,
}

/// What has to wake the task for a link.
#[derive(Debug)]
pub(super) struct Interest {
    /// Which of the link's sockets it is.
    pub(super) attempt: u64,
    pub(super) stream: Stream,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    state: State,
    /// Connections that were tried, and how many in a row of no use.
    attempt: u64,
    in_vain: u32,
    begun: Instant,
}

impl Link {
    /// `connection` is one that is there already.
    pub(super) fn new(shared: Arc<Shared>, connection: Option<Connection>) -> Link {
        let begun = Instant::now();
        let state = connection.map_or(State::Waiting { until: begun }, |connection| State::Ready(Box::new(connection)));
        Link { shared, state, attempt: 0, in_vain: 0, begun }
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Ready(connection) => Some(connection),
            _ => None,
        }
    }

    /// The connection, if there is one that somebody else can go on with; else it has ended. What is in flight on it is
    /// cancelled.
    pub(super) fn into_spare(self) -> Option<Connection> {
        let State::Ready(mut connection) = self.state else {
            return None;
        };
        match connection.cancel(None) {
            Ok(()) if !connection.wants_to_send() => Some(*connection),
            _ => {
                self.shared.disconnected();
                None
            }
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Does what can be done without waiting: connects, takes what the server sent, looks at the time.
    pub(super) fn advance(&mut self, now: Instant, jobs: &mut Jobs, buffer: &mut [u8]) -> Result<(), Broken> {
        if let State::Waiting { until } = self.state {
            if now < until {
                return Ok(());
            }
            self.begin(now)?;
        }
        if let State::Connecting { stream, until } = &self.state {
            if !stream.is_connected()? {
                return self.in_time(now, *until);
            }
            let (stream, until) = (stream.clone(), *until);
            let handshake = Handshake::new(&self.shared.name);
            self.state = State::Greeting(Box::new(Greeting { stream, handshake, output: Vec::new(), until }));
        }
        if let State::Greeting(greeting) = &mut self.state {
            let Some(export) = greeting.advance()? else {
                let until = greeting.until;
                return self.in_time(now, until);
            };
            self.shared.accept(&export)?;
            let stream = greeting.stream.clone();
            self.state = State::Ready(Box::new(Connection::new(stream, export.structured)));
            self.shared.connected();
        }
        if let State::Ready(connection) = &mut self.state {
            if connection.receive(jobs, buffer)? {
                self.in_vain = 0;
            }
            connection.check(now, self.shared.settings.timeout)?;
        }
        Ok(())
    }

    fn begin(&mut self, now: Instant) -> Result<(), Broken> {
        let addresses = &self.shared.addresses;
        let index = self.in_vain as usize % addresses.len().max(1);
        self.attempt += 1;
        self.in_vain = self.in_vain.saturating_add(1);
        self.begun = now;
        let address = addresses.get(index).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let until = now.checked_add(self.shared.settings.connect_timeout);
        self.state = State::Connecting { stream: Stream::begin(address)?, until };
        Ok(())
    }

    fn in_time(&self, now: Instant, until: Option<Instant>) -> Result<(), Broken> {
        match until.is_some_and(|until| now >= until) {
            true => Err(Broken::Timeout(self.shared.settings.connect_timeout)),
            false => Ok(()),
        }
    }

    /// Ends what is there of a connection, to try another one after a while. Returns the connection, if there was one.
    pub(super) fn end(&mut self, now: Instant) -> Option<Connection> {
        // Requests that wait for the server should see several attempts.
        let most = (self.shared.settings.reconnect / 4).clamp(PAUSE.0, PAUSE.1);
        let until = now + PAUSE.0.saturating_mul(1 << self.in_vain.min(16)).min(most);
        match std::mem::replace(&mut self.state, State::Waiting { until }) {
            State::Ready(connection) => Some(*connection),
            State::Connecting { stream, .. } => {
                stream.close();
                None
            }
            State::Greeting(greeting) => {
                greeting.stream.close();
                None
            }
            State::Waiting { .. } => None,
        }
    }

    /// A request waits for a connection.
    pub(super) fn hurry(&mut self) {
        let soon = self.begun + HURRY;
        if let State::Waiting { until } = &mut self.state {
            *until = soon.min(*until);
        }
    }

    /// When there is something to be done even if no socket has anything.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Connecting { until, .. } => *until,
            State::Greeting(greeting) => greeting.until,
            State::Ready(connection) => connection.deadline(self.shared.settings.timeout),
        }
    }

    pub(super) fn interest(&self) -> Option<Interest> {
        let (stream, readable, writable) = match &self.state {
            State::Waiting { .. } => return None,
            State::Connecting { stream, .. } => (stream, false, true),
            State::Greeting(greeting) => (&greeting.stream, true, !greeting.output.is_empty()),
            State::Ready(connection) => (connection.stream(), true, connection.wants_to_send()),
        };
        Some(Interest { attempt: self.attempt, stream: stream.clone(), readable, writable })
    }
}

impl Greeting {
    fn advance(&mut self) -> Result<Option<Export>, Broken> {
        let mut buffer = [0; GREETING];
        let mut export = None;
        if let Some(len) = self.stream.receive(&mut buffer)? {
            export = self.handshake.input(buffer.get(..len).unwrap_or_default())?;
            self.output.extend(self.handshake.take_output());
        }
        if !self.output.is_empty() {
            let sent = self.stream.send(&self.output)?.unwrap_or(0);
            self.output.drain(..sent);
        }
        match (export, self.output.len()) {
            // An answer to what was not asked yet.
            (Some(_), unsent @ 1..) => Err(ProtocolError::Unasked { bytes: unsent }.into()),
            (export, _) => Ok(export),
        }
    }
}
