//! A network with nobody on it.

#[cfg(test)]
mod tests;

use std::io;

use virtio_core::Sources;

use super::frames::{MAX_PAIRS, check_pair};
use super::{Capabilities, Interest, NetBackend, NetQueue, Packet, Received, Room, SendError};
use crate::Offloads;

/// A network with nobody on it, for measurements: what is sent is not looked at, and nothing is ever received.
///
/// Send and Sync. No call waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullBackend;

impl NullBackend {
    /// The network.
    pub fn new() -> NullBackend {
        NullBackend
    }
}

impl NetBackend for NullBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities { pairs: MAX_PAIRS, transmit: Offloads::ALL, steers: true, ..Capabilities::default() }
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, MAX_PAIRS)?;
        Ok(Box::new(NullQueue))
    }
}

struct NullQueue;

impl NetQueue for NullQueue {
    fn send(&mut self, _packet: &mut Packet<'_>) -> Result<(), SendError> {
        Ok(())
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        Ok(Received::Nothing)
    }

    fn sources(&self, _interest: Interest, _sources: &mut Sources) {}
}
