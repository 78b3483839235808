//! A connection on which requests are made.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::job::Part;
use super::jobs::Jobs;
use super::protocol::{Command, ESHUTDOWN, Event, ProtocolError, Replies, Requests};
use super::stream::Stream;

/// Bytes that wait to be sent, at most.
const OUTPUT: usize = 256 << 10;
/// Bytes that have to be free among them for another request to begin.
const ROOM: usize = 4096;
/// Requests in flight, at most.
const REQUESTS: u16 = 256;
/// Receptions in one call.
const RECEPTIONS: u32 = 4;

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("no answer in {0:?}")]
    Timeout(Duration),
    #[error("the server has another export there: {0}")]
    Changed(&'static str),
    #[error("the server is shutting down")]
    ShutDown,
    #[error("a write was answered before all of its data was sent")]
    Early,
    #[error("a request that was half sent was cancelled")]
    Cancelled,
}

/// The data of a write that is being sent.
#[derive(Clone, Copy, Debug)]
struct Payload {
    part: Part,
    sent: u32,
}

/// A connection behind the handshake. Ends politely when it is dropped, if it can.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    replies: Replies,
    /// Those of nobody were cancelled.
    requests: Requests<Option<Part>>,
    /// Cookies of requests and when they were made, in that order; also some that were answered.
    order: VecDeque<(u64, Instant)>,
    /// What is to be sent, from `sent` on, and the write whose data follows.
    output: Vec<u8>,
    sent: usize,
    payload: Option<Payload>,
    /// Requests whose answer was that the server goes away.
    refused: Vec<Part>,
    cancelled: usize,
    broken: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream, structured: bool) -> Connection {
        Connection {
            stream,
            replies: Replies::new(structured),
            requests: Requests::new(REQUESTS),
            order: VecDeque::new(),
            output: Vec::new(),
            sent: 0,
            payload: None,
            refused: Vec::new(),
            cancelled: 0,
            broken: false,
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Requests in flight.
    pub(super) fn load(&self) -> usize {
        self.requests.count()
    }

    /// Whether nobody waits for anything on it.
    pub(super) fn is_idle(&self) -> bool {
        self.load() == 0 && !self.wants_to_send() && self.replies.is_idle()
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.sent < self.output.len() || self.payload.is_some()
    }

    /// Whether another request can begin.
    pub(super) fn has_room(&self) -> bool {
        self.payload.is_none() && !self.requests.is_full() && self.room() >= ROOM
    }

    fn room(&self) -> usize {
        OUTPUT.saturating_sub(self.output.len())
    }

    /// Begins a request. There [is room](Self::has_room).
    pub(super) fn begin(&mut self, part: Part, now: Instant, jobs: &mut Jobs) -> Result<(), Broken> {
        let Some(cookie) = self.requests.open(part.command, part.offset, part.len, Some(part)) else {
            return Err(io::Error::other("no room for another request").into());
        };
        self.order.push_back((cookie, now));
        self.output.extend_from_slice(&part.command.encode(cookie, part.offset, part.len));
        if matches!(part.command, Command::Write { .. }) {
            self.payload = Some(Payload { part, sent: 0 });
        }
        self.load_payload(jobs)
    }

    /// Takes as much data of a write out of guest memory as there is room for.
    fn load_payload(&mut self, jobs: &mut Jobs) -> Result<(), Broken> {
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        } else if self.sent > OUTPUT / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        if let Some(Payload { part, sent }) = self.payload {
            let len = self.room().min((part.len - sent) as usize);
            jobs.write_data(&part, sent, len, &mut self.output)?;
            let sent = sent + len as u32; // no more than the request has
            self.payload = Some(Payload { part, sent }).filter(|_| sent < part.len);
        }
        Ok(())
    }

    /// Sends something, if the socket takes it. Says whether it did.
    pub(super) fn send(&mut self, jobs: &mut Jobs) -> Result<bool, Broken> {
        let output = self.output.get(self.sent..).filter(|output| !output.is_empty());
        let Some(sent) = output.map(|output| self.stream.send(output)).transpose()?.flatten() else {
            return Ok(false);
        };
        self.sent += sent;
        self.load_payload(jobs)?;
        Ok(sent > 0)
    }

    /// Takes what the server has sent, a bounded amount of it. Says whether a request was answered.
    pub(super) fn receive(&mut self, jobs: &mut Jobs, buffer: &mut [u8]) -> Result<bool, Broken> {
        let mut answered = false;
        for _ in 0..RECEPTIONS {
            let Some(len) = self.stream.receive(buffer)? else {
                break;
            };
            answered |= self.take(jobs, buffer.get(..len).unwrap_or_default())?;
            if len < buffer.len() {
                break;
            }
        }
        Ok(answered)
    }

    fn take(&mut self, jobs: &mut Jobs, mut input: &[u8]) -> Result<bool, Broken> {
        let mut answered = false;
        while let Some(event) = self.replies.next(&mut input, &mut self.requests)? {
            match event {
                Event::Data { request, at, bytes } => {
                    request.user.iter().for_each(|part| jobs.read_data(part, at, bytes));
                }
                Event::Zeroes { request, at, len } => {
                    request.user.iter().for_each(|part| jobs.read_zeroes(part, at, len));
                }
                Event::Done { request, error } => {
                    let early = self.payload.is_some_and(|payload| request.user == Some(payload.part));
                    match (request.user, error) {
                        (None, _) => self.cancelled = self.cancelled.saturating_sub(1),
                        (Some(part), Some(ESHUTDOWN)) => {
                            self.refused.push(part);
                            return Err(Broken::ShutDown);
                        }
                        // It cannot have been done.
                        (Some(part), None) if early => self.refused.push(part),
                        (Some(part), error) => jobs.done(&part, error),
                    }
                    if early {
                        // Its data may be gone with the operation, and nothing can be sent before the rest of it.
                        return Err(Broken::Early);
                    }
                    answered = true;
                }
            }
        }
        Ok(answered)
    }

    /// Looks for a request that the server has had for longer than `limit`.
    pub(super) fn check(&mut self, now: Instant, limit: Duration) -> Result<(), Broken> {
        while let Some((cookie, since)) = self.order.front() {
            if self.requests.get(*cookie).is_err() {
                self.order.pop_front();
                continue;
            }
            return match now.saturating_duration_since(*since) >= limit {
                true => Err(Broken::Timeout(limit)),
                false => Ok(()),
            };
        }
        Ok(())
    }

    /// When the oldest request has been there for `limit`.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.order.front().and_then(|(_, since)| since.checked_add(limit))
    }

    /// Waits for no request of the operation with this tag any more, or of any.
    ///
    /// # Errors
    /// If one was half sent, so that nothing can follow it.
    pub(super) fn cancel(&mut self, tag: Option<u16>) -> Result<(), Broken> {
        let concerned = |part: &Part| tag.is_none_or(|tag| part.tag == tag);
        for request in self.requests.iter_mut() {
            if request.user.take_if(|part| concerned(part)).is_some() {
                self.cancelled += 1;
            }
        }
        match self.payload.is_some_and(|payload| concerned(&payload.part)) {
            true => Err(Broken::Cancelled),
            false => Ok(()),
        }
    }

    /// Whether the server may still do a change that was cancelled to what `part` changes.
    pub(super) fn may_undo(&self, part: &Part) -> bool {
        let cancelled = |request: &&super::protocol::Active<Option<Part>>| request.user.is_none();
        self.cancelled > 0
            && self
                .requests
                .iter()
                .filter(cancelled)
                .any(|request| request.command.changes() && part.changes(request.offset, request.len))
    }

    /// Ends it at once. Returns the requests that were not answered.
    pub(super) fn end(mut self) -> Vec<Part> {
        self.broken = true;
        let mut parts = std::mem::take(&mut self.refused);
        parts.extend(self.requests.iter().filter_map(|request| request.user));
        parts
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.broken && !self.wants_to_send() {
            // The server learns of the end of the connection in any case.
            let _ = self.stream.send(&Command::Disconnect.encode(0, 0, 0));
        }
        self.stream.close();
    }
}
