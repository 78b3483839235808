//! The network: what the input says comes, and what was sent is checked.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_core::{Event, Source, Sources};
use virtio_net::backend::{Interest, Packet, RECEIVE, Received, Room, SEND, SendError};
use virtio_net::{Capabilities, Configuration, NetBackend, NetHeader, NetQueue, Offloads};

use super::check;
use super::input::Header;
use crate::sys;

/// Clones are the same network.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

pub(crate) struct State {
    header: Header,
    pub(crate) configuration: Configuration,
    pub(crate) connected: bool,
    pub(crate) pairs: [Pair; 2],
    /// Frames that the device has taken.
    pub(crate) taken: u64,
    /// Some of them may have been cut.
    pub(crate) cut: bool,
}

pub(crate) struct Pair {
    pub(crate) coming: VecDeque<(NetHeader, Vec<u8>)>,
    pub(crate) sent: Vec<Vec<u8>>,
    /// Frames that may be sent before there is no room.
    pub(crate) room: usize,
    /// Sending fails, then.
    pub(crate) fails: bool,
    open: bool,
    arrival: Event,
    space: Event,
}

impl Network {
    pub(crate) fn new(header: Header) -> Network {
        let pair = || Pair {
            coming: VecDeque::new(),
            sent: Vec::new(),
            room: usize::MAX,
            fails: false,
            open: false,
            arrival: Event::new().expect("an event"),
            space: Event::new().expect("an event"),
        };
        let configuration = Configuration::default();
        let state = State { header, configuration, connected: true, pairs: [pair(), pair()], taken: 0, cut: false };
        Network(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn arrive(&mut self, pair: usize, header: NetHeader, frame: Vec<u8>) {
        let pair = &mut self.pairs[pair];
        pair.coming.push_back((header, frame));
        pair.arrival.signal();
    }

    pub(crate) fn make_room(&mut self, pair: usize, frames: usize) {
        let pair = &mut self.pairs[pair];
        (pair.room, pair.fails) = (frames, false);
        pair.space.signal();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pairs.iter().any(|pair| pair.open)
    }
}

impl NetBackend for Network {
    fn capabilities(&self) -> Capabilities {
        let header = self.state().header;
        let mut can = Capabilities::default();
        (can.pairs, can.steers) = (header.rings.queues(), header.has(Header::STEERS));
        if !header.has(Header::PLAIN) {
            (can.transmit, can.receive) = (Offloads::ALL, Offloads::ALL);
        }
        can
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        let mut state = self.state();
        let nothing = *configuration == Configuration::default();
        assert!(!nothing || !state.is_open(), "the network is brought back when all queues are closed");
        assert!(nothing || (1..=state.header.rings.queues()).contains(&configuration.pairs));
        state.configuration = *configuration;
        Ok(())
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        let mut state = self.state();
        let pair = usize::from(pair);
        assert!(!std::mem::replace(&mut state.pairs[pair].open, true), "a pair is opened once");
        let Pair { arrival, space, .. } = &state.pairs[pair];
        let (arrival, space) = (arrival.clone(), space.clone());
        let fills = state.header.has(Header::FILLS);
        drop(state);
        Ok(Box::new(End { network: self.clone(), pair, fills, arrival, space, lent: Vec::new() }))
    }
}

struct End {
    network: Network,
    pair: usize,
    fills: bool,
    arrival: Event,
    space: Event,
    lent: Vec<u8>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.network.state().pairs[self.pair].open = false;
    }
}

impl NetQueue for End {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        let mut state = self.network.state();
        let allowed = state.configuration.transmit;
        let pair = &mut state.pairs[self.pair];
        let Some(room) = pair.room.checked_sub(1) else {
            return Err(if pair.fails { SendError::Failed(io::ErrorKind::BrokenPipe.into()) } else { SendError::Full });
        };
        pair.room = room;
        let mut bytes = Vec::new();
        packet.copy_into(&mut bytes)?;
        assert_eq!(bytes.len(), packet.len());
        let sum: usize = packet.io_slices(&[])?.iter().map(|slice| slice.len).sum();
        assert_eq!(sum, bytes.len());
        check::sent_header(packet.header(), bytes.len(), allowed);
        pair.sent.push(bytes);
        Ok(())
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let mut state = self.network.state();
        let Some((header, frame)) = state.pairs[self.pair].coming.pop_front() else { return Ok(Received::Nothing) };
        state.taken += 1;
        state.cut |= header.is_gso();
        if self.fills {
            let len = sys::scatter(room, &frame);
            assert_eq!(len, frame.len(), "there is room for any frame");
            return Ok(Received::Filled { header, len });
        }
        self.lent = frame;
        Ok(Received::Lent { header, frame: &self.lent })
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        if interest.receive {
            sources.add(Source::Event(self.arrival.clone()), RECEIVE);
        }
        if interest.send {
            sources.add(Source::Event(self.space.clone()), SEND);
        }
    }

    fn is_connected(&self) -> bool {
        self.network.state().connected
    }
}
