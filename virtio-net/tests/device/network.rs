//! A network whose other end is the test.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use virtio_core::{Event, Source, Sources};
use virtio_net::backend::{Interest, Packet, RECEIVE, Received, Room, SEND, SendError};
use virtio_net::{Capabilities, Configuration, NetBackend, NetHeader, NetQueue, Offloads};

use crate::sys::scatter;

/// The network, and the test's hold on it.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) can: Capabilities,
    /// All that it was told.
    pub(crate) configurations: Vec<Configuration>,
    /// What it refuses to be configured as.
    pub(crate) refuses: Option<Offloads>,
    pub(crate) pairs: Vec<Pair>,
    /// Pairs that are open.
    pub(crate) open: Vec<u16>,
    pub(crate) opening_fails: bool,
    /// Frames are put where the device says that there is room, as system calls do.
    pub(crate) fills: bool,
    /// It says of such frames that they have so many bytes.
    pub(crate) claims: Option<usize>,
    /// The pieces of the last room that a frame was put into.
    pub(crate) pieces: usize,
}

/// One pair.
pub(crate) struct Pair {
    /// What the device sent.
    pub(crate) sent: Vec<(NetHeader, Vec<u8>)>,
    /// What it is to receive.
    pub(crate) coming: VecDeque<(NetHeader, Vec<u8>)>,
    /// Frames that may still be sent before there is no room.
    pub(crate) room: usize,
    /// What sending fails with.
    pub(crate) send_error: Option<Fault>,
    /// What receiving fails with, once.
    pub(crate) receive_error: Option<Fault>,
    pub(crate) connected: bool,
    pub(crate) flushes: usize,
    /// Times that the device asked for a frame.
    pub(crate) asked: usize,
    /// Whoever asks next says so, and waits.
    hold: Option<(Sender<()>, Receiver<()>)>,
    arrival: Event,
    space: Event,
}

/// What a network fails with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Kind(io::ErrorKind),
    /// As the system numbers it.
    System(i32),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        match fault {
            Fault::Kind(kind) => kind.into(),
            Fault::System(number) => io::Error::from_raw_os_error(number),
        }
    }
}

impl Network {
    pub(crate) fn new(pairs: u16) -> Network {
        let mut can = Capabilities::default();
        (can.pairs, can.transmit, can.receive) = (pairs, Offloads::ALL, Offloads::ALL);
        Network::with(can)
    }

    pub(crate) fn with(can: Capabilities) -> Network {
        let pair = || Pair {
            sent: Vec::new(),
            coming: VecDeque::new(),
            room: usize::MAX,
            send_error: None,
            receive_error: None,
            connected: true,
            flushes: 0,
            asked: 0,
            hold: None,
            arrival: Event::new().unwrap(),
            space: Event::new().unwrap(),
        };
        let state = State {
            can,
            configurations: Vec::new(),
            refuses: None,
            pairs: (0..can.pairs).map(|_| pair()).collect(),
            open: Vec::new(),
            opening_fails: false,
            fills: false,
            claims: None,
            pieces: 0,
        };
        Network(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A frame arrives at a pair.
    pub(crate) fn inject(&self, pair: usize, header: NetHeader, frame: &[u8]) {
        let mut state = self.state();
        state.pairs[pair].coming.push_back((header, frame.to_vec()));
        state.pairs[pair].arrival.signal();
    }

    /// Holds the task that asks a pair for a frame next, until something is sent: the first end says when it does.
    pub(crate) fn hold(&self, pair: usize) -> (Receiver<()>, Sender<()>) {
        let ((entered, is_held), (release, released)) = (channel(), channel());
        self.state().pairs[pair].hold = Some((entered, released));
        (is_held, release)
    }

    /// There is room for so many frames more.
    pub(crate) fn make_room(&self, pair: usize, frames: usize) {
        let mut state = self.state();
        state.pairs[pair].room = frames;
        state.pairs[pair].space.signal();
    }

    /// Frames that the device sent by a pair since this was asked last.
    pub(crate) fn sent(&self, pair: usize) -> Vec<(NetHeader, Vec<u8>)> {
        std::mem::take(&mut self.state().pairs[pair].sent)
    }

    /// Whether all queues have been closed, and it has been brought back to its first state.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.state();
        state.open.is_empty() && state.configurations.last() == Some(&Configuration::default())
    }

    /// What it was told last.
    pub(crate) fn configuration(&self) -> Configuration {
        *self.state().configurations.last().expect("it was configured")
    }
}

impl NetBackend for Network {
    fn capabilities(&self) -> Capabilities {
        self.state().can
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        let mut state = self.state();
        if state.refuses == Some(configuration.receive) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        state.configurations.push(*configuration);
        Ok(())
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        let mut state = self.state();
        if state.opening_fails {
            return Err(io::ErrorKind::NotFound.into());
        }
        assert!(!state.open.contains(&pair), "pair {pair} is open already");
        state.open.push(pair);
        let Pair { arrival, space, .. } = &state.pairs[usize::from(pair)];
        let (arrival, space) = (arrival.clone(), space.clone());
        drop(state);
        Ok(Box::new(End { network: self.clone(), pair, arrival, space, lent: Vec::new() }))
    }
}

struct End {
    network: Network,
    pair: u16,
    arrival: Event,
    space: Event,
    lent: Vec<u8>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.network.state().open.retain(|pair| *pair != self.pair);
    }
}

impl NetQueue for End {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        let mut state = self.network.state();
        let pair = &mut state.pairs[usize::from(self.pair)];
        if let Some(error) = pair.send_error {
            return Err(SendError::Failed(error.into()));
        }
        let Some(room) = pair.room.checked_sub(1) else { return Err(SendError::Full) };
        pair.room = room;
        let mut bytes = Vec::new();
        packet.copy_into(&mut bytes)?;
        assert_eq!(bytes.len(), packet.len());
        pair.sent.push((*packet.header(), bytes));
        Ok(())
    }

    fn flush(&mut self) {
        self.network.state().pairs[usize::from(self.pair)].flushes += 1;
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let hold = { self.network.state().pairs[usize::from(self.pair)].hold.take() };
        if let Some((entered, released)) = hold {
            // A test that has failed waits for nothing.
            let _ = entered.send(());
            let _ = released.recv_timeout(Duration::from_secs(60));
        }
        let mut state = self.network.state();
        let (fills, claims) = (state.fills, state.claims);
        let pair = &mut state.pairs[usize::from(self.pair)];
        pair.asked += 1;
        if let Some(error) = pair.receive_error.take() {
            return Err(error.into());
        }
        let Some((header, frame)) = pair.coming.pop_front() else { return Ok(Received::Nothing) };
        if fills {
            let (placed, pieces) = scatter(room, &frame);
            state.pieces = pieces;
            return Ok(Received::Filled { header, len: claims.unwrap_or(placed) });
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
        self.network.state().pairs[usize::from(self.pair)].connected
    }
}
