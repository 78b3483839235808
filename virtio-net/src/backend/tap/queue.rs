//! Frames to and from one pair of an interface's queues.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use virtio_core::{Source, Sources};

use super::super::sys;
use super::super::{Interest, NetQueue, Packet, RECEIVE, Received, Room, SEND, SendError};
use super::link::State;
use super::shared::Shared;
use crate::NetHeader;
use crate::header::MAX_HEADER_LEN;
use crate::lines::{LINE, Lines};
use crate::wire::ETHERNET_LEN;

/// How often the interface is looked for that has gone, and looked at if nothing tells of changes.
const LOOK: Duration = Duration::from_secs(1);
/// Frames of no use that are taken in one call.
const MOST_MALFORMED: u32 = 64;
/// Frames of so many bytes are put together behind their header before they are sent: that costs less than to tell the system
/// of two pieces.
const SHORT: usize = 2048;
/// Changes are asked for at least each time that so often nothing was there.
const PATIENCE: u8 = 64;

pub(super) struct TapQueue {
    shared: Arc<Shared>,
    pair: u16,
    file: Arc<File>,
    header_len: usize,
    header: [u8; MAX_HEADER_LEN],
    /// A short frame that is to be sent, from the second cache line on, and its header before it.
    short: Lines,
    spare: Vec<u8>,
    /// How often there was nothing to receive, since changes were asked for.
    idle: u8,
    /// Something was received since there was nothing.
    received: bool,
    /// When the interface is to be looked at.
    look: Option<Instant>,
}

impl TapQueue {
    pub(super) fn new(shared: Arc<Shared>, pair: u16) -> io::Result<TapQueue> {
        let (file, header_len) = shared.open_queue(pair)?;
        let mut queue = TapQueue {
            shared,
            pair,
            file,
            header_len,
            header: [0; MAX_HEADER_LEN],
            short: Lines::new(LINE + SHORT),
            spare: Vec::new(),
            idle: 0,
            received: false,
            look: None,
        };
        queue.look();
        Ok(queue)
    }

    /// Looks at the interface, and says when to look again.
    #[cold]
    fn look(&mut self) {
        let state = self.shared.look();
        let told = self.pair != 0 || self.shared.link.monitor().is_some();
        let again = state == State::Gone || !told;
        self.look = again.then(|| Instant::now() + LOOK);
    }

    /// Writes a frame behind `header`; how many bytes of them.
    #[inline]
    fn write(&mut self, header: &[u8], packet: &mut Packet<'_>) -> io::Result<usize> {
        if packet.len() <= SHORT
            && let Some(start) = LINE.checked_sub(header.len())
            && let Some(place) = self.short.get_mut(start..LINE + packet.len())
        {
            let (before, behind) = place.split_at_mut(header.len());
            before.copy_from_slice(header);
            packet.peek(behind)?;
            return (&*self.file).write(place);
        }
        sys::write_packet(&self.file, header, packet, &mut self.spare)
    }

    /// Reads a frame, and decodes what the interface puts before it.
    #[inline]
    fn read(&mut self, room: &mut Room<'_>) -> io::Result<(sys::Read, NetHeader)> {
        if let Some(place) = room.whole(self.header_len) {
            let len = (&*self.file).read(place)?;
            return Ok((
                sys::Read { len, full: len == place.len() },
                NetHeader::decode(place.get(..self.header_len).unwrap_or_default()),
            ));
        }
        let header = self.header.get_mut(..self.header_len).unwrap_or_default();
        let read = sys::read_packet(&self.file, header, room)?;
        Ok((read, NetHeader::decode(header)))
    }

    /// There is nothing to receive: so something else may have woken the task.
    #[inline]
    fn nothing(&mut self) {
        self.idle = self.idle.wrapping_add(1);
        let awaited = std::mem::take(&mut self.received);
        if self.pair == 0 && (!awaited || self.idle >= PATIENCE) {
            self.idle = 0;
            if self.shared.link.monitor().is_some_and(|monitor| monitor.take()) {
                self.look();
            }
        }
    }

    /// A call failed for good. Some errors are the interface's, and others the frame's.
    #[cold]
    fn failed(&mut self, error: &io::Error) {
        let worth_a_look = match error.raw_os_error() {
            Some(libc::EIO | libc::ENETDOWN) => self.shared.link.state() == State::Up,
            Some(libc::EBADFD | libc::ENODEV | libc::ENXIO) => true,
            _ => false,
        };
        if worth_a_look {
            self.look();
        }
    }

    /// Whether there is an interface. If not, it is looked for from time to time.
    #[inline]
    fn is_there(&mut self) -> bool {
        if let Some(look) = self.look
            && Instant::now() >= look
        {
            self.look();
        }
        self.shared.link.state() != State::Gone || self.is_back()
    }

    #[cold]
    fn is_back(&mut self) -> bool {
        let changed = self.pair == 0 && self.shared.link.monitor().is_some_and(|monitor| monitor.take());
        if changed || self.look.is_none() {
            self.look();
        }
        self.shared.link.state() != State::Gone
    }

    /// Names what is waited for.
    pub(super) fn watch(&self, interest: Interest, mut add: impl FnMut(Source, u8)) {
        if interest.receive
            && self.pair == 0
            && let Some(monitor) = self.shared.link.monitor()
        {
            add(Source::Readable(Arc::clone(monitor) as Arc<dyn AsRawFd + Send + Sync>), RECEIVE);
        }
        // A file that belongs to no interface would always be ready, with an error.
        if self.shared.link.state() == State::Gone || !self.shared.is_enabled(self.pair) {
            return;
        }
        let file = || Arc::clone(&self.file) as Arc<dyn AsRawFd + Send + Sync>;
        if interest.receive {
            add(Source::Readable(file()), RECEIVE);
        }
        if interest.send {
            add(Source::Writable(file()), SEND);
        }
    }
}

impl NetQueue for TapQueue {
    #[inline]
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        if self.shared.link.state() == State::Gone {
            return Err(SendError::Failed(io::ErrorKind::NotConnected.into()));
        }
        let header = packet.header().encode(0);
        let header = header.get(..self.header_len).unwrap_or(&header);
        let whole = header.len() + packet.len();
        loop {
            return match self.write(header, packet) {
                Ok(written) if written == whole => Ok(()),
                Ok(_) => Err(SendError::Failed(io::ErrorKind::WriteZero.into())),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => Err(SendError::Full),
                    io::ErrorKind::Interrupted => continue,
                    _ => {
                        self.failed(&error);
                        Err(SendError::Failed(error))
                    }
                },
            };
        }
    }

    #[inline]
    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        if !self.is_there() || !self.shared.is_enabled(self.pair) {
            return Ok(Received::Nothing);
        }
        for _ in 0..MOST_MALFORMED {
            match self.read(room) {
                Ok((sys::Read { len: 0, .. }, _)) => break,
                Ok((read, _)) if read.full || read.len < self.header_len + ETHERNET_LEN => {
                    self.shared.malformed.fetch_add(1, Relaxed);
                }
                Ok((read, header)) => {
                    self.received = true;
                    return Ok(Received::Filled { header, len: read.len - self.header_len });
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.nothing();
                        break;
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        self.failed(&error);
                        return Err(error);
                    }
                },
            }
        }
        Ok(Received::Nothing)
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.watch(interest, |source, token| sources.add(source, token));
    }

    fn sources_version(&self) -> u64 {
        self.shared.generation()
    }

    fn deadline(&self) -> Option<Instant> {
        self.look
    }

    fn is_connected(&self) -> bool {
        self.shared.link.state() == State::Up
    }
}

impl Drop for TapQueue {
    fn drop(&mut self) {
        self.shared.close_queue();
    }
}
