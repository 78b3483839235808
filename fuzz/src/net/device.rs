//! A device with a driver in front of it, and what is checked whenever the device has worked.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::testing::{RingDriver, TestMemory, Used};
use virtio_core::{Buffer, DeviceHost, Features, InlineRuntime};
use virtio_net::{Configuration, MacAddress, Net, NetHandle, NetHeader, Rate, RateLimit};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Outcome;
use super::check;
use super::input::{Header, OWN, own};
use super::network::Network;

/// Bytes of memory.
const MEMORY: usize = 512 << 10;
/// What a step takes of it at most.
const MARGIN: u64 = 96 << 10;
/// For what has to end.
const LIMIT: Duration = Duration::from_secs(4);
const MRG_RXBUF: Features = Features::bit(15);
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

impl Sent {
    fn room(&self) -> u64 {
        self.writable().map(|buffer| u64::from(buffer.len)).sum()
    }

    fn writable(&self) -> impl Iterator<Item = &Buffer> {
        self.chain.iter().filter(|buffer| buffer.writable)
    }
}

/// One queue, as the driver has it.
pub(crate) struct Lane<R> {
    pub(crate) driver: R,
    out: HashMap<u32, Sent>,
    /// Frames that were sent, in order, for those that the network gets.
    expected: VecDeque<Vec<u8>>,
}

pub(crate) struct Device<R> {
    header: Header,
    pub(crate) network: Network,
    pub(crate) host: DeviceHost,
    pub(crate) handle: NetHandle,
    pub(crate) runtime: InlineRuntime,
    pub(crate) memory: TestMemory,
    /// The same, to be copied quickly.
    mmap: GuestMemoryMmap<()>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// By their indexes; none where a queue is off.
    pub(crate) lanes: Vec<Option<Lane<R>>>,
    /// Frames of the network.
    came: Vec<Vec<u8>>,
    /// What devices before this one lost or gave, and the frames that they took.
    settled: (u64, u64),
    pub(crate) negotiated: Features,
    /// A ring may be broken.
    pub(crate) hostile: bool,
    /// Buffers may overlap: nothing is known of what is in them.
    pub(crate) murky: bool,
    /// The driver has written where it must not: nothing is known any more until a reset.
    pub(crate) wild: bool,
    pub(crate) paused: bool,
    pub(crate) outcome: Outcome,
}

fn host(header: &Header, network: &Network, memory: &TestMemory, runtime: &InlineRuntime) -> (DeviceHost, NetHandle) {
    let mut builder = Net::builder(network.clone()).mac(MacAddress(OWN)).pairs(header.pairs());
    builder = builder.queue_size(header.queue_size()).rss(true).hash_report(true);
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
    let extra = Features::RING_PACKED | Features::IN_ORDER;
    let host = DeviceHost::builder(net, memory.ram().clone(), Arc::new(runtime.clone())).with(extra);
    let host = host.reset_wait(Duration::ZERO).reset_limit(Duration::ZERO);
    (host.build(Features::RING_RESET, Arc::new(())).expect("a host"), handle)
}

impl<R: RingDriver> Device<R> {
    pub(crate) fn new(header: Header) -> Device<R> {
        let mmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("memory");
        let (memory, runtime) = (TestMemory::over(&mmap), InlineRuntime::new());
        let network = Network::new(header);
        let (host, handle) = host(&header, &network, &memory, &runtime);
        let mut device = Device {
            header,
            network,
            host,
            handle,
            runtime,
            memory,
            mmap,
            before: Vec::new(),
            after: Vec::new(),
            lanes: Vec::new(),
            came: Vec::new(),
            settled: (0, 0),
            negotiated: Features::NONE,
            hostile: false,
            murky: false,
            wild: false,
            paused: false,
            outcome: Outcome::default(),
        };
        device.start(header.features);
        device
    }

    /// Negotiates and starts all queues that there are with these features.
    fn start(&mut self, features: [u8; 7]) {
        let offered = self.host.offered();
        let ring = self.header.ring();
        let mut wanted = offered & (own(features) | ring);
        if !self.negotiate(wanted) {
            // What does not go together: all that is offered does.
            self.host.write_status(0);
            wanted = offered & (own([0xff; 7]) | ring);
            assert!(self.negotiate(wanted), "all that is offered can be taken");
        }
        let pairs = if wanted.intersects(MANY) { self.header.pairs() } else { 1 };
        let queues = 2 * pairs + u16::from(wanted.contains(CTRL_VQ));
        self.lanes = (0..queues).map(|index| Some(self.enable(index))).collect();
        self.host.write_status(self.host.status() | DRIVER_OK);
        self.runtime.poll();
    }

    fn negotiate(&mut self, features: Features) -> bool {
        self.host.write_status(ACKNOWLEDGE);
        self.host.write_status(ACKNOWLEDGE | DRIVER);
        (0..4).for_each(|word| self.host.write_features(word, features.word(word)));
        self.host.write_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.negotiated = features;
        self.host.status() & FEATURES_OK != 0
    }

    fn enable(&self, index: u16) -> Lane<R> {
        let size = self.header.queue_size();
        let driver = R::new(&self.memory, size, self.negotiated);
        self.host.configure_queue(index, |config| {
            config.size = size;
            (config.descriptor_area, config.driver_area, config.device_area) = driver.areas();
        });
        self.host.enable_queue(index);
        assert!(self.host.queue(index).is_some_and(|queue| queue.is_enabled()), "queue {index} is enabled");
        Lane { driver, out: HashMap::new(), expected: VecDeque::new() }
    }

    /// Bytes before each frame.
    pub(crate) fn header_len(&self) -> usize {
        match () {
            _ if self.negotiated.intersects(Features::bit(65) | Features::bit(67)) => 24,
            _ if self.negotiated.contains(Features::bit(57)) => 20,
            _ => 12,
        }
    }

    /// The pairs that the driver has.
    pub(crate) fn pairs(&self) -> usize {
        (self.lanes.len() / 2).max(1)
    }

    /// The control queue's index, if there is one.
    pub(crate) fn control(&self) -> Option<usize> {
        (self.lanes.len() % 2 == 1).then(|| self.lanes.len() - 1)
    }

    /// Whether memory is left for another step.
    pub(crate) fn has_room(&self) -> bool {
        self.top() + MARGIN < MEMORY as u64
    }

    /// Where the memory ends that was handed out.
    pub(crate) fn top(&self) -> u64 {
        self.memory.alloc(0, 1)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.host.status() & NEEDS_RESET != 0
    }

    /// Room for the device to write.
    pub(crate) fn untouched(&self, len: usize) -> u64 {
        self.memory.place(&vec![UNTOUCHED; len])
    }

    /// Adds a chain, if there is room for it in the ring.
    pub(crate) fn add(&mut self, lane: usize, indirect: bool, sent: Sent, hostile: bool) -> bool {
        let size = usize::from(self.header.queue_size());
        let indirect = indirect && self.negotiated.contains(Features::INDIRECT_DESC) && sent.chain.len() <= size;
        let wild = self.wild;
        let Some(lane) = self.lanes.get_mut(lane).and_then(Option::as_mut) else { return false };
        let added = match indirect {
            true => lane.driver.add_indirect(&sent.chain),
            false => lane.driver.add(&sent.chain),
        };
        let Some(id) = added else { return false };
        lane.expected.push_back(sent.frame.clone());
        let before = lane.out.insert(id.into(), sent);
        assert!(before.is_none() || wild, "the driver has one chain of each name");
        self.hostile |= hostile;
        true
    }

    /// Shows what was added to a queue.
    pub(crate) fn kick(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane).and_then(Option::as_mut) {
            lane.driver.show();
        }
        self.work(|device| device.host.notify(lane as u16));
    }

    /// Makes what breaks a ring available.
    pub(crate) fn break_ring(&mut self, lane: usize) {
        // With less room it would write over what it has shown.
        let place = self.lanes.get_mut(lane).and_then(Option::as_mut);
        if let Some(lane) = place.filter(|lane| lane.driver.free() >= 2) {
            lane.driver.break_ring();
            self.hostile = true;
        }
        self.kick(lane);
    }

    /// A frame comes by the network.
    pub(crate) fn arrive(&mut self, pair: usize, header: NetHeader, frame: Vec<u8>) {
        if !header.is_gso() {
            self.came.push(frame.clone());
        }
        self.work(|device| device.network.state().arrive(pair, header, frame));
    }

    /// Does something, lets the device work, and looks at what it has done to memory and what it has answered.
    pub(crate) fn work(&mut self, act: impl FnOnce(&mut Device<R>)) {
        let top = self.top() as usize;
        let mut before = std::mem::take(&mut self.before);
        self.copy(top, &mut before);
        act(self);
        self.runtime.poll();
        if !self.wild {
            let mut after = std::mem::take(&mut self.after);
            self.copy(top, &mut after);
            self.compare(&before, &after);
            self.after = after;
        }
        self.before = before;
        self.look_at_network();
        self.collect();
        assert!(self.hostile || self.wild || !self.is_broken(), "the device wants a reset");
    }

    /// Copies memory up to `top`.
    fn copy(&self, top: usize, bytes: &mut Vec<u8>) {
        bytes.resize(top, 0);
        self.mmap.read_slice(bytes, GuestAddress(0)).expect("memory");
    }

    fn compare(&self, before: &[u8], after: &[u8]) {
        if before == after {
            return;
        }
        let allowed: Vec<_> = self.lanes.iter().flatten().flat_map(Lane::allowed).collect();
        const STEP: usize = 64;
        for (block, (old, new)) in before.chunks(STEP).zip(after.chunks(STEP)).enumerate() {
            if old == new {
                continue;
            }
            for (at, _) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new) {
                let address = (STEP * block + at) as u64;
                let found = allowed.iter().any(|range| range.contains(&address));
                assert!(found, "the device has written at {address:#x}, where it must not");
            }
        }
    }

    /// What was sent is what the driver sent, in its order.
    fn look_at_network(&mut self) {
        let sent = { self.network.state().pairs.each_mut().map(|pair| std::mem::take(&mut pair.sent)) };
        for (pair, frames) in sent.into_iter().enumerate() {
            self.outcome.sent += frames.len() as u64;
            if self.wild || self.murky {
                continue;
            }
            let lane = self.lanes.get_mut(2 * pair + 1).and_then(Option::as_mut);
            let mut expected = lane.map(|lane| &mut lane.expected);
            for frame in frames {
                let found = expected.as_mut().and_then(|expected| {
                    let place = expected.iter().position(|other| *other == frame)?;
                    Some(expected.drain(..=place).count())
                });
                assert!(found.is_some(), "a frame of {} bytes was sent that the driver did not send", frame.len());
            }
        }
    }

    fn collect(&mut self) {
        let control = self.control();
        for index in 0..self.lanes.len() {
            let mut frame = Vec::new();
            let mut left = 0;
            // A driver that has written into its rings may find anything there.
            for _ in 0..256 {
                let Some(lane) = self.lanes[index].as_mut() else { break };
                let Some(Used { id, len }) = lane.driver.used() else { break };
                let sent = lane.out.remove(&id);
                if self.wild {
                    continue;
                }
                let sent = sent.expect("what comes back is with the device");
                assert!(u64::from(len) <= sent.room(), "{sent:?} was answered with a length of {len}");
                match index {
                    _ if control == Some(index) => self.answered(&sent, len),
                    _ if index % 2 == 1 => assert_eq!(len, 0, "nothing is written to what was sent"),
                    _ => self.received(&sent, len, &mut frame, &mut left),
                }
            }
            assert!(self.wild || left == 0, "{left} buffers of a frame are missing");
        }
    }

    /// An answer of the control queue.
    fn answered(&mut self, sent: &Sent, len: u32) {
        if len == 0 {
            self.outcome.empty += 1;
            return;
        }
        let at = sent.writable().find(|buffer| buffer.len > 0).expect("room").address;
        match self.memory.bytes(at, 1)[0] {
            0 => self.outcome.commands += 1,
            1 => {
                self.outcome.refused += 1;
                assert_eq!(len, 1, "an error is all that is said");
            }
            other => assert!(self.murky, "an answer of {other}"),
        }
    }

    /// A buffer of a frame; `left` are those that are to come.
    fn received(&mut self, sent: &Sent, len: u32, frame: &mut Vec<u8>, left: &mut u16) {
        if len == 0 {
            assert_eq!(*left, 0, "a frame has no empty buffers");
            self.outcome.empty += 1;
            return;
        }
        if self.murky {
            return;
        }
        let header_len = self.header_len();
        let mut bytes = Vec::new();
        for buffer in sent.writable() {
            let now = (len as usize - bytes.len()).min(buffer.len as usize);
            bytes.extend(self.memory.bytes(buffer.address, now));
        }
        if *left == 0 {
            assert!(bytes.len() >= header_len, "a header is in one buffer");
            *left = u16::from_le_bytes([bytes[10], bytes[11]]);
            assert!(*left == 1 || *left > 1 && self.negotiated.contains(MRG_RXBUF), "{left} buffers");
            frame.clear();
        }
        frame.extend(bytes);
        *left -= 1;
        if *left > 0 {
            assert_eq!(u64::from(len), sent.room(), "all buffers but the last are full");
            return;
        }
        let (header, frame) = frame.split_at(header_len);
        let header = check::given_header(header, frame.len(), self.negotiated);
        let known = header != NetHeader::default() || self.came.iter().any(|came| came == frame);
        // What was completed or cut is known to nobody here.
        let reworked = self.handle.counts().rx_csum_completed > 0 || self.handle.counts().rx_segmented > 0;
        assert!(known || reworked, "a frame of {} bytes came from nowhere", frame.len());
        self.outcome.received += 1;
    }

    /// Whether nothing that was sent or asked is with the device.
    fn is_idle(&self) -> bool {
        let waits = |(index, lane): (usize, &Option<Lane<R>>)| {
            let waited = self.control() == Some(index) || index % 2 == 1;
            waited && lane.as_ref().is_some_and(|lane| !lane.out.is_empty())
        };
        !self.lanes.iter().enumerate().any(waits)
    }

    /// Resets the device, and starts it again.
    pub(crate) fn reset(&mut self, features: [u8; 7]) {
        let until = Instant::now() + LIMIT;
        self.work(|device| device.host.write_status(0));
        while self.host.status() != 0 {
            assert!(Instant::now() < until, "a reset does not end");
            self.work(|device| device.host.write_status(0));
        }
        {
            let state = self.network.state();
            assert!(!state.is_open() && state.configuration == Configuration::default(), "the network is at rest");
        }
        self.check_counts();
        (self.hostile, self.murky, self.wild, self.paused) = (false, false, false, false);
        self.lanes.clear();
        // Nothing is written from now on.
        self.work(|_| {});
        self.outcome.resets += 1;
        self.start(features);
    }

    /// Nothing is lost without being counted: while there is nothing in the device, and frames are not cut.
    fn check_counts(&mut self) {
        let counts = self.handle.counts();
        let known = counts.rx_frames + check::lost(&counts);
        let (taken, cut) = {
            let mut state = self.network.state();
            (state.taken, std::mem::take(&mut state.cut))
        };
        let before = self.settled;
        if !cut {
            assert_eq!(taken - before.0, known - before.1, "frames were lost, or counted twice: {counts:?}");
        }
        self.settled = (taken, known);
    }

    /// Resets one queue, and starts it again when that has ended.
    pub(crate) fn reset_queue(&mut self, lane: usize) {
        let may = self.negotiated.contains(Features::RING_RESET) && !self.wild && !self.paused && !self.is_broken();
        if !may || self.lanes.get(lane).is_none_or(Option::is_none) {
            return;
        }
        let index = lane as u16;
        self.work(|device| device.host.reset_queue(index));
        let until = Instant::now() + LIMIT;
        while self.host.queue(index).is_some_and(|queue| queue.is_resetting()) {
            assert!(Instant::now() < until, "a queue's reset does not end");
            self.work(|_| {});
        }
        self.lanes[lane] = None;
        self.work(|_| {});
        if self.is_broken() {
            return;
        }
        let new = self.enable(index);
        self.lanes[lane] = Some(new);
        self.outcome.queue_resets += 1;
        self.work(|device| device.host.notify(index));
    }

    pub(crate) fn pause(&mut self) -> bool {
        if !self.paused {
            let mut paused = false;
            self.work(|device| paused = device.host.pause(Duration::ZERO).is_ok());
            self.paused = paused;
            self.outcome.paused += u64::from(paused);
        }
        self.paused
    }

    pub(crate) fn unpause(&mut self) {
        self.paused = false;
        self.work(|device| device.host.resume());
    }

    /// Saves the device, and goes on with another one on the same network. What it had received is lost.
    pub(crate) fn migrate(&mut self) {
        // What a driver has changed in its rings may keep another device from taking them over.
        if self.wild || self.is_broken() || !self.pause() {
            return;
        }
        let state = self.host.save().expect("a paused device can be saved");
        let runtime = InlineRuntime::new();
        let (host, handle) = host(&self.header, &self.network, &self.memory, &runtime);
        // The old one lets go of the network, and of what it had received.
        self.host = host;
        self.check_counts();
        (self.handle, self.runtime) = (handle, runtime);
        self.settled.1 = 0;
        self.work(|device| device.host.restore(&state).expect("what was saved can be restored"));
        self.outcome.moved += 1;
        self.unpause();
    }

    /// Lets everything that was sent and asked end, which it has to.
    pub(crate) fn rest(&mut self) {
        self.network.state().connected = true;
        self.handle.set_link(true);
        (0..2).for_each(|pair| self.network.state().make_room(pair, usize::MAX));
        if self.paused {
            self.unpause();
        }
        (0..self.lanes.len()).for_each(|lane| self.kick(lane));
        let until = Instant::now() + LIMIT;
        while !self.is_idle() && !self.wild && !self.is_broken() {
            assert!(Instant::now() < until, "not everything was answered");
            self.work(|_| {});
        }
    }
}

impl<R: RingDriver> Lane<R> {
    /// What the device may write now.
    fn allowed(&self) -> Vec<Range<u64>> {
        let buffers = self.out.values().flat_map(Sent::writable);
        let mut allowed: Vec<_> =
            buffers.map(|buffer| buffer.address..buffer.address.saturating_add(buffer.len.into())).collect();
        let (ring, _, device) = self.driver.areas();
        let size = u64::from(self.driver.size());
        if R::LAYOUT == Features::RING_PACKED {
            allowed.extend([ring..ring + 16 * size, device..device + 4]);
        } else {
            allowed.push(device..device + 6 + 8 * size);
        }
        allowed
    }
}
