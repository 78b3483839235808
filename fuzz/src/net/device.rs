//! A network device with a driver in front of it.

use std::collections::VecDeque;

use virtio_core::testing::{RingDriver, TestMemory};
use virtio_core::{Buffer, DeviceHost, Features, InlineRuntime};
use virtio_net::{Configuration, MacAddress, Net, NetHandle, NetHeader, Rate, RateLimit};

use super::Outcome;
use super::frame::OWN;
use super::input::{Header, own};
use super::network::Network;
use crate::device::{self, Lane, Stage, Subject};

const CTRL_VQ: Features = Features::bit(17);
const MANY: Features = Features::from_bits(1 << 22 | 1 << 60);
/// What is in a buffer that nobody has written.
const UNTOUCHED: u8 = 0xee;

/// A chain that is with the device.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) chain: Vec<Buffer>,
    /// The frame, of a chain to be sent; the header too, of a chain that is shorter than that.
    pub(crate) frame: Vec<u8>,
}

impl device::Sent for Sent {
    fn writable(&self) -> impl Iterator<Item = (u64, u32)> {
        self.chain.iter().filter(|buffer| buffer.writable).map(|buffer| (buffer.address, buffer.len))
    }
}

pub(crate) struct Device<R> {
    header: Header,
    pub(crate) stage: Stage<R, Sent>,
    pub(crate) network: Network,
    pub(crate) handle: NetHandle,
    /// Of each pair, frames that were sent, in order, for those that the network gets.
    pub(super) expected: [VecDeque<Vec<u8>>; 2],
    /// Frames of the network.
    pub(super) came: Vec<Vec<u8>>,
    /// What devices before this one lost or gave, and the frames that they took.
    pub(super) settled: (u64, u64),
    /// Buffers may overlap: nothing is known of what is in them.
    pub(crate) murky: bool,
    pub(crate) outcome: Outcome,
}

fn host(header: &Header, network: &Network, memory: &TestMemory, runtime: &InlineRuntime) -> (DeviceHost, NetHandle) {
    let mut builder = Net::builder(network.clone()).mac(MacAddress(OWN)).pairs(header.rings.queues());
    builder = builder.queue_size(header.rings.size()).rss(true).hash_report(true);
    if header.has(Header::MTU) {
        builder = builder.mtu(1500);
    }
    if header.has(Header::LIMITED) {
        // What is held back is let through within the next moments.
        let limit = || RateLimit::new(Some(Rate { per_second: 1 << 30, burst: 1 }), Some(Rate::new(1 << 40)));
        builder = builder.receive_limit(limit()).transmit_limit(limit());
    }
    let net = builder.build().expect("a device");
    let handle = net.handle();
    (device::host(net, memory, runtime), handle)
}

impl<R: RingDriver> Device<R> {
    pub(crate) fn new(header: Header) -> Device<R> {
        let network = Network::new(header);
        let (stage, handle) = Stage::new(header.rings, |memory, runtime| host(&header, &network, memory, runtime));
        let mut device = Device {
            header,
            stage,
            network,
            handle,
            expected: Default::default(),
            came: Vec::new(),
            settled: (0, 0),
            murky: false,
            outcome: Outcome::default(),
        };
        device.start(header.features);
        device
    }

    /// Negotiates and starts all queues that there are with these features.
    fn start(&mut self, features: [u8; 7]) {
        // What does not go together: all that is offered does.
        self.stage.negotiate(own(features), own([0xff; 7]));
        let negotiated = self.stage.negotiated;
        let pairs = if negotiated.intersects(MANY) { self.header.rings.queues() } else { 1 };
        self.expected.iter_mut().for_each(VecDeque::clear);
        self.stage.go(2 * pairs + u16::from(negotiated.contains(CTRL_VQ)));
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome { lifecycle: self.stage.lifecycle, ..self.outcome }
    }

    /// Bytes before each frame.
    pub(crate) fn header_len(&self) -> usize {
        match self.stage.negotiated {
            all if all.intersects(Features::bit(65) | Features::bit(67)) => 24,
            all if all.contains(Features::bit(57)) => 20,
            _ => 12,
        }
    }

    /// The pairs that the driver has.
    pub(crate) fn pairs(&self) -> usize {
        (self.stage.lanes.len() / 2).max(1)
    }

    /// The control queue's index, if there is one.
    pub(crate) fn control(&self) -> Option<usize> {
        let lanes = self.stage.lanes.len();
        (lanes % 2 == 1).then(|| lanes - 1)
    }

    /// Room for the device to write.
    pub(crate) fn untouched(&self, len: usize) -> u64 {
        self.stage.memory.place(&vec![UNTOUCHED; len])
    }

    /// Adds a chain, if there is room for it in the ring.
    pub(crate) fn add(&mut self, lane: usize, indirect: bool, sent: Sent, hostile: bool) -> bool {
        let (chain, frame) = (sent.chain.clone(), sent.frame.clone());
        let added = self.stage.add(lane, indirect, &chain, sent, hostile);
        if let Some(expected) = self.expected.get_mut(lane / 2).filter(|_| added && lane % 2 == 1) {
            expected.push_back(frame);
        }
        added
    }

    /// A frame comes by the network.
    pub(crate) fn arrive(&mut self, pair: usize, header: NetHeader, frame: Vec<u8>) {
        if !header.is_gso() {
            self.came.push(frame.clone());
        }
        self.work(|device| device.network.state().arrive(pair, header, frame));
    }

    /// Resets the device, and starts it again.
    pub(crate) fn reset(&mut self, features: [u8; 7]) {
        self.stop();
        {
            let state = self.network.state();
            assert!(!state.is_open() && state.configuration == Configuration::default(), "the network is at rest");
        }
        self.check_counts();
        self.murky = false;
        self.at_rest();
        self.start(features);
    }
}

impl<R: RingDriver> Subject for Device<R> {
    type Driver = R;
    type Sent = Sent;

    fn stage(&mut self) -> &mut Stage<R, Sent> {
        &mut self.stage
    }

    fn look(&mut self) {
        self.look_at_network();
        for index in 0..self.stage.lanes.len() {
            let back = self.stage.collect(index);
            match index {
                _ if self.control() == Some(index) => back.iter().for_each(|(sent, len)| self.answered(sent, *len)),
                _ if index % 2 == 0 => self.received(&back),
                _ => assert!(back.iter().all(|(_, len)| *len == 0), "nothing is written to what was sent"),
            }
        }
    }

    /// Buffers to receive into stay with the device.
    fn is_idle(&mut self) -> bool {
        let control = self.control();
        let ends = |index: usize| control == Some(index) || index % 2 == 1;
        let mut lanes = self.stage.lanes.iter().enumerate().filter(|(index, _)| ends(*index));
        lanes.all(|(_, lane)| lane.as_ref().is_none_or(Lane::is_idle))
    }

    /// On the same network. What it had received is lost.
    fn replace(&mut self) {
        let runtime = InlineRuntime::new();
        let (host, handle) = host(&self.header, &self.network, &self.stage.memory, &runtime);
        // The old one lets go of the network, and of what it had received.
        self.stage.host = host;
        self.check_counts();
        (self.handle, self.stage.runtime) = (handle, runtime);
        self.settled.1 = 0;
    }

    fn heal(&mut self) {
        self.network.state().connected = true;
        self.handle.set_link(true);
        (0..2).for_each(|pair| self.network.state().make_room(pair, usize::MAX));
    }

    fn forget(&mut self, lane: usize) {
        if let Some(expected) = self.expected.get_mut(lane / 2).filter(|_| lane % 2 == 1) {
            expected.clear();
        }
    }
}
