//! A pair whose frames are recorded.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use virtio_core::Sources;
use virtio_core::memory::RawIoSlice;

use super::file::Capture;
use crate::backend::frames::check_len;
use crate::backend::{Interest, NetQueue, Packet, Received, Room, SendError};
use crate::wire::MAX_FRAME_LEN;

pub(super) struct PcapQueue {
    inner: Box<dyn NetQueue>,
    capture: Arc<Capture>,
    /// What is sent.
    sent: Vec<u8>,
    /// What is received by a network that needs room.
    received: Vec<u8>,
    /// Room for the pieces of either.
    scratch: Vec<RawIoSlice>,
    /// Something was recorded since the file was flushed.
    unflushed: bool,
}

impl PcapQueue {
    pub(super) fn new(inner: Box<dyn NetQueue>, capture: Arc<Capture>) -> PcapQueue {
        PcapQueue {
            inner,
            capture,
            sent: Vec::new(),
            received: vec![0; MAX_FRAME_LEN],
            scratch: Vec::new(),
            unflushed: false,
        }
    }
}

impl NetQueue for PcapQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        let PcapQueue { inner, capture, sent, scratch, .. } = self;
        // What is recorded is what is sent, whatever the driver does to its frame meanwhile.
        check_len(packet.len())?;
        sent.clear();
        packet.copy_into(sent)?;
        inner.send(&mut Packet::of_bytes(*packet.header(), sent, scratch))?;
        capture.record(sent);
        self.unflushed = true;
        Ok(())
    }

    fn flush(&mut self) {
        self.inner.flush();
        self.show();
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let PcapQueue { inner, capture, received, scratch, unflushed, .. } = self;
        let lent = match inner.receive(&mut Room::of_bytes(received, scratch))? {
            Received::Nothing => None,
            Received::Lent { header, frame } => Some((header, frame)),
            Received::Filled { header, len } => {
                let frame = received.get(..len).ok_or(io::ErrorKind::InvalidData)?;
                Some((header, frame))
            }
        };
        match lent {
            Some((header, frame)) => {
                capture.record(frame);
                *unflushed = true;
                Ok(Received::Lent { header, frame })
            }
            None => {
                // The end of a batch.
                if std::mem::take(unflushed) {
                    capture.flush();
                }
                Ok(Received::Nothing)
            }
        }
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.inner.sources(interest, sources);
    }

    fn sources_version(&self) -> u64 {
        self.inner.sources_version()
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }
}

impl PcapQueue {
    /// Has what was recorded in the file.
    fn show(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.capture.flush();
        }
    }
}

impl Drop for PcapQueue {
    fn drop(&mut self) {
        self.show();
    }
}
