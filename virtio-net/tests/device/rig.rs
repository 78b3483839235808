//! A network device behind a transport, with a driver's side in front of it and a network behind.

use std::sync::Arc;
use std::time::Duration;

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
pub(crate) use virtio_core::testing::suite::RingPort as Port;
use virtio_core::testing::{Buffer, RingDriver, TestMemory, Used};
use virtio_core::{DeviceHost, Features, HostBuilder, InlineRuntime};
#[allow(unused_imports)] // for tests that name few of them
pub(crate) use virtio_net::features::*;
use virtio_net::{MacAddress, Net, NetBuilder, NetHandle, NetHeader};

use crate::frames::OWN;
use crate::network::Network;

/// VERSION_1, INDIRECT_DESC, EVENT_IDX, MAC.
pub(crate) const USUAL: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 5);

/// A network device, and all that is around it.
pub(crate) struct Rig<P> {
    pub(crate) port: P,
    pub(crate) handle: NetHandle,
    pub(crate) memory: TestMemory,
    pub(crate) runtime: InlineRuntime,
    pub(crate) network: Network,
    /// Bytes before each frame, as negotiated.
    pub(crate) header_len: usize,
}

/// The driver's sides of the queues of a live device.
pub(crate) struct Queues<D> {
    pub(crate) rx: Vec<D>,
    pub(crate) tx: Vec<D>,
    pub(crate) control: Option<D>,
}

impl<P: Port> Rig<P> {
    /// A device with one pair.
    pub(crate) fn new() -> Rig<P> {
        Rig::with(Network::new(1), |builder| builder)
    }

    pub(crate) fn with(network: Network, change: impl FnOnce(NetBuilder) -> NetBuilder) -> Rig<P> {
        Rig::hosted(network, change, |host| host)
    }

    pub(crate) fn hosted(
        network: Network,
        change: impl FnOnce(NetBuilder) -> NetBuilder,
        host: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Rig<P> {
        let pairs = network.state().can.pairs;
        let builder = Net::builder(network.clone()).mac(MacAddress(OWN)).pairs(pairs).queue_size(16);
        let net = change(builder).build().expect("a device");
        let handle = net.handle();
        let memory = TestMemory::new(32 << 20);
        let runtime = InlineRuntime::new();
        let builder = DeviceHost::builder(net, memory.ram().clone(), Arc::new(runtime.clone()))
            .reset_wait(Duration::from_millis(1))
            .reset_limit(Duration::from_millis(20));
        Rig { port: P::connect(host(builder)), handle, memory, runtime, network, header_len: 12 }
    }

    pub(crate) fn offered(&self) -> Features {
        (0..4).fold(Features::NONE, |offered, word| offered.with_word(word, self.port.offered(word)))
    }

    /// A driver takes EVENT_IDX where it is offered, and its layout.
    fn wanted(&self, features: Features) -> Features {
        let features = features | P::Driver::LAYOUT;
        if self.offered().contains(Features::EVENT_IDX) { features } else { features - Features::EVENT_IDX }
    }

    /// Negotiates; whether the device agreed.
    pub(crate) fn negotiate(&mut self, features: Features) -> bool {
        let features = self.wanted(features);
        self.port.set_status(ACKNOWLEDGE);
        self.port.set_status(ACKNOWLEDGE | DRIVER);
        for word in 0..4 {
            self.port.accept(word, features.word(word));
        }
        self.port.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        let tunnels = GUEST_UDP_TUNNEL_GSO | HOST_UDP_TUNNEL_GSO;
        self.header_len = match () {
            _ if features.intersects(tunnels) => 24,
            _ if features.contains(HASH_REPORT) => 20,
            _ => 12,
        };
        self.port.status() & FEATURES_OK != 0
    }

    /// Sets up a queue, as large as it can be.
    pub(crate) fn enable(&self, index: u16, features: Features) -> P::Driver {
        let size = self.port.queue_max(index);
        let driver = P::Driver::new(&self.memory, size, self.wanted(features));
        self.port.set_queue(index, size, driver.areas());
        self.port.enable(index);
        assert!(self.port.is_enabled(index), "queue {index} is enabled");
        driver
    }

    pub(crate) fn go(&self) {
        self.port.set_status(self.port.status() | DRIVER_OK);
        self.runtime.poll();
    }

    /// A live device with all queues that the features ask for.
    pub(crate) fn live(&mut self, features: Features) -> Queues<P::Driver> {
        assert!(self.negotiate(features), "the features are accepted");
        let max = u16::from_le_bytes(self.config(8));
        let pairs = if features.intersects(MQ | RSS) { max } else { 1 };
        let rx = (0..pairs).map(|pair| self.enable(2 * pair, features)).collect();
        let tx = (0..pairs).map(|pair| self.enable(2 * pair + 1, features)).collect();
        let control = features.contains(CTRL_VQ).then(|| self.enable(2 * pairs, features));
        self.go();
        Queues { rx, tx, control }
    }

    /// Shows the device what was added to a queue, and rings if it wants that.
    pub(crate) fn kick(&self, index: u16, driver: &mut P::Driver) {
        driver.kick(|| self.port.notify(index));
        self.runtime.poll();
    }

    /// A header as the driver writes it, followed by a frame.
    pub(crate) fn with_header(&self, header: &NetHeader, frame: &[u8]) -> Vec<u8> {
        let mut bytes = self.header_bytes(header);
        bytes.extend(frame);
        bytes
    }

    pub(crate) fn header_bytes(&self, header: &NetHeader) -> Vec<u8> {
        let mut bytes = vec![header.flags, header.gso_type];
        for value in [header.hdr_len, header.gso_size, header.csum_start, header.csum_offset, 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.resize(20, 0);
        bytes.extend(header.outer_th_offset.to_le_bytes());
        bytes.extend(header.inner_nh_offset.to_le_bytes());
        bytes.truncate(self.header_len);
        bytes
    }

    /// Sends a frame by a pair, in one buffer; what came back of it.
    pub(crate) fn send(
        &self,
        queues: &mut Queues<P::Driver>,
        pair: u16,
        header: &NetHeader,
        frame: &[u8],
    ) -> Option<Used> {
        self.send_bytes(queues, pair, &self.with_header(header, frame))
    }

    /// The same with any bytes.
    pub(crate) fn send_bytes(&self, queues: &mut Queues<P::Driver>, pair: u16, bytes: &[u8]) -> Option<Used> {
        let at = self.memory.place(bytes);
        let driver = &mut queues.tx[usize::from(pair)];
        driver.add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
        self.kick(2 * pair + 1, driver);
        queues.tx[usize::from(pair)].used()
    }

    /// Gives the device a receive buffer; where it is.
    pub(crate) fn post(&self, queues: &mut Queues<P::Driver>, pair: u16, len: usize) -> u64 {
        let at = self.memory.place(&vec![UNTOUCHED; len]);
        queues.rx[usize::from(pair)].add(&[Buffer::writable(at, len as u32)]).expect("room in the ring");
        self.kick(2 * pair, &mut queues.rx[usize::from(pair)]);
        at
    }

    /// A frame arrives at a pair of the network.
    pub(crate) fn arrive(&self, pair: usize, header: NetHeader, frame: &[u8]) {
        self.network.inject(pair, header, frame);
        self.runtime.poll();
    }

    /// The next frame that the driver was given in a buffer at `at`: the bytes of its header, and the frame.
    pub(crate) fn got(&self, queues: &mut Queues<P::Driver>, pair: u16, at: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let used = queues.rx[usize::from(pair)].used()?;
        let mut bytes = self.memory.bytes(at, used.len as usize);
        let frame = bytes.split_off(self.header_len);
        Some((bytes, frame))
    }

    /// A control command: the ack and what follows it; none where the device does not answer.
    pub(crate) fn command(&self, queues: &mut Queues<P::Driver>, class: u8, command: u8, data: &[u8]) -> Option<u8> {
        self.ask(queues, class, command, data, 1).and_then(|answer| answer.first().copied())
    }

    /// The same with room for so many bytes of answer; as many as the device says that it has written.
    pub(crate) fn ask(
        &self,
        queues: &mut Queues<P::Driver>,
        class: u8,
        command: u8,
        data: &[u8],
        room: usize,
    ) -> Option<Vec<u8>> {
        let index = 2 * queues.rx.len() as u16;
        let driver = queues.control.as_mut().expect("a control queue");
        let mut bytes = vec![class, command];
        bytes.extend(data);
        let (at, answer) = (self.memory.place(&bytes), self.memory.place(&vec![UNTOUCHED; room]));
        let buffers = [Buffer::readable(at, bytes.len() as u32), Buffer::writable(answer, room as u32)];
        driver.add(&buffers).expect("room in the ring");
        self.kick(index, driver);
        let used = queues.control.as_mut()?.used()?;
        Some(self.memory.bytes(answer, used.len as usize))
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.port.status() & NEEDS_RESET != 0
    }

    pub(crate) fn config<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.port.read_config(offset, &mut bytes);
        bytes
    }
}

/// What the driver puts where the device will write.
pub(crate) const UNTOUCHED: u8 = 0xee;
