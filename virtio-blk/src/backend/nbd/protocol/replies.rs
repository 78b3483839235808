//! What the server answers.

use super::wire::{self, be16, be32, be64};
use super::{Active, Command, ProtocolError, Requests};

/// Bytes of a simple reply, and of what a chunk begins with.
const SIMPLE_LEN: usize = 16;
const CHUNK_LEN: usize = 20;
/// Bytes that an error chunk begins with.
const ERROR_LEN: u32 = 6;
/// The longest error chunk: number and length of the text, text, and an offset.
const MOST_ERROR: u32 = ERROR_LEN + wire::MOST_TEXT + 8;

/// What a reply says.
#[derive(Debug)]
pub(in super::super) enum Event<'a, 'r, T> {
    /// Data of a read, which belongs `at` bytes into it. Never outside of it, and never the same twice.
    Data { request: &'r mut Active<T>, at: u32, bytes: &'a [u8] },
    /// The same for zeros.
    Zeroes { request: &'r mut Active<T>, at: u32, len: u32 },
    /// The reply to a request has ended, with an error of the server's. It is no longer in flight.
    Done { request: Active<T>, error: Option<u32> },
}

/// A chunk whose header was read.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    cookie: u64,
    kind: u16,
    len: u32,
    last: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a reply or chunk.
    Header,
    /// In what a chunk begins with behind its header.
    Begin(Chunk),
    /// In data.
    Data { chunk: Chunk, at: u32, left: u32 },
    /// In something that nobody wants.
    Skip { chunk: Chunk, left: u32 },
    /// Behind a chunk.
    End(Chunk),
}

/// Takes replies apart, wherever they are cut.
#[derive(Debug)]
pub(in super::super) struct Replies {
    structured: bool,
    state: State,
    /// The beginning of a message.
    message: [u8; CHUNK_LEN],
    len: usize,
}

impl Replies {
    /// At the start of what follows the handshake.
    pub(in super::super) fn new(structured: bool) -> Replies {
        Replies { structured, state: State::Header, message: [0; CHUNK_LEN], len: 0 }
    }

    /// Whether it is between two replies.
    pub(in super::super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Header) && self.len == 0
    }

    /// Takes bytes out of `input` up to the next event; none if that needs more of them.
    ///
    /// # Errors
    /// [`ProtocolError`]: the connection is of no use any more.
    pub(in super::super) fn next<'a, 'r, T>(
        &mut self,
        input: &mut &'a [u8],
        requests: &'r mut Requests<T>,
    ) -> Result<Option<Event<'a, 'r, T>>, ProtocolError> {
        loop {
            match self.state {
                State::Header => {
                    if !self.header(input, requests)? {
                        return Ok(None);
                    }
                }
                State::Begin(chunk) => {
                    let begin = match chunk.kind {
                        wire::CHUNK_DATA => 8,
                        wire::CHUNK_HOLE => 12,
                        _ => ERROR_LEN as usize,
                    };
                    if !self.fill(input, begin) {
                        return Ok(None);
                    }
                    self.len = 0;
                    if let Some((at, len)) = self.begin(chunk, requests)? {
                        let request = requests.get(chunk.cookie)?;
                        return Ok(Some(Event::Zeroes { request, at, len }));
                    }
                }
                State::Data { chunk, left: 0, .. } | State::Skip { chunk, left: 0 } => self.state = State::End(chunk),
                State::Data { chunk, at, left } => {
                    let Some(bytes) = take(input, left) else {
                        return Ok(None);
                    };
                    let len = bytes.len() as u32; // no more than `left`
                    self.state = State::Data { chunk, at: at + len, left: left - len };
                    return Ok(Some(Event::Data { request: requests.get(chunk.cookie)?, at, bytes }));
                }
                State::Skip { chunk, left } => {
                    let Some(bytes) = take(input, left) else {
                        return Ok(None);
                    };
                    self.state = State::Skip { chunk, left: left - bytes.len() as u32 };
                }
                State::End(chunk) => {
                    self.state = State::Header;
                    if chunk.last {
                        let (request, error) = requests.close(chunk.cookie)?;
                        return Ok(Some(Event::Done { request, error }));
                    }
                }
            }
        }
    }

    /// Whether the first `need` bytes of the message are there.
    fn fill(&mut self, input: &mut &[u8], need: usize) -> bool {
        while let (true, Some((byte, rest))) = (self.len < need, input.split_first()) {
            if let Some(place) = self.message.get_mut(self.len) {
                *place = *byte;
            }
            (self.len, *input) = (self.len + 1, rest);
        }
        self.len >= need
    }

    /// Reads what a reply or chunk begins with; false if that needs more bytes.
    fn header<T>(&mut self, input: &mut &[u8], requests: &mut Requests<T>) -> Result<bool, ProtocolError> {
        if !self.fill(input, 4) {
            return Ok(false);
        }
        match be32(&self.message, 0) {
            wire::SIMPLE_REPLY_MAGIC => {
                if !self.fill(input, SIMPLE_LEN) {
                    return Ok(false);
                }
                self.simple(requests)?;
            }
            wire::STRUCTURED_REPLY_MAGIC if self.structured => {
                if !self.fill(input, CHUNK_LEN) {
                    return Ok(false);
                }
                self.chunk(requests)?;
            }
            magic => return Err(ProtocolError::Magic { of: "a reply", magic: magic.into() }),
        }
        self.len = 0;
        Ok(true)
    }

    fn simple<T>(&mut self, requests: &mut Requests<T>) -> Result<(), ProtocolError> {
        let (error, cookie) = (be32(&self.message, 4), be64(&self.message, 8));
        let request = requests.get(cookie)?;
        let (offset, len) = (request.offset, request.len);
        let read = request.command == Command::Read;
        if read && self.structured {
            return Err(ProtocolError::SimpleRead);
        }
        let chunk = Chunk { cookie, kind: wire::CHUNK_NONE, len: 0, last: true };
        self.state = State::End(chunk);
        if error != 0 {
            requests.fail(cookie, error)?;
        } else if read {
            requests.cover(cookie, offset, len)?;
            self.state = State::Data { chunk, at: 0, left: len };
        }
        Ok(())
    }

    fn chunk<T>(&mut self, requests: &mut Requests<T>) -> Result<(), ProtocolError> {
        let (flags, kind) = (be16(&self.message, 4), be16(&self.message, 6));
        let (cookie, len) = (be64(&self.message, 8), be32(&self.message, 16));
        let last = flags & wire::CHUNK_DONE != 0;
        let chunk = Chunk { cookie, kind, len, last };
        let request = requests.get(cookie)?;
        let read = request.command == Command::Read;
        self.state = match kind {
            wire::CHUNK_NONE if len == 0 && last => State::End(chunk),
            wire::CHUNK_DATA if read && len > 8 => State::Begin(chunk),
            wire::CHUNK_HOLE if read && len == 12 => State::Begin(chunk),
            wire::CHUNK_ERROR.. if (ERROR_LEN..=MOST_ERROR).contains(&len) => State::Begin(chunk),
            _ => return Err(ProtocolError::Chunk { kind, len, to: request.command.name() }),
        };
        Ok(())
    }

    /// Reads what a chunk begins with behind its header. Returns where zeros are, if that is what it has.
    fn begin<T>(&mut self, chunk: Chunk, requests: &mut Requests<T>) -> Result<Option<(u32, u32)>, ProtocolError> {
        let message = &self.message;
        match chunk.kind {
            wire::CHUNK_DATA => {
                let left = chunk.len - 8; // more than that, as was checked
                let at = requests.cover(chunk.cookie, be64(message, 0), left)?;
                self.state = State::Data { chunk, at, left };
            }
            wire::CHUNK_HOLE => {
                let len = be32(message, 8);
                let at = requests.cover(chunk.cookie, be64(message, 0), len)?;
                self.state = State::End(chunk);
                return Ok(Some((at, len)));
            }
            kind => {
                let text = ERROR_LEN + u32::from(be16(message, 4));
                let fits = match kind {
                    wire::CHUNK_ERROR_OFFSET => chunk.len == text + 8,
                    _ => chunk.len >= text,
                };
                if !fits {
                    let to = requests.get(chunk.cookie)?.command.name();
                    return Err(ProtocolError::Chunk { kind, len: chunk.len, to });
                }
                requests.fail(chunk.cookie, be32(message, 0))?;
                self.state = State::Skip { chunk, left: chunk.len - ERROR_LEN };
            }
        }
        Ok(None)
    }
}

/// The next bytes of `input`, at most `most`; none where there are none.
fn take<'a>(input: &mut &'a [u8], most: u32) -> Option<&'a [u8]> {
    let len = input.len().min(most as usize);
    let (front, back) = input.split_at_checked(len).filter(|(front, _)| !front.is_empty())?;
    *input = back;
    Some(front)
}
