//! A driver of several pairs that gives commands while frames keep coming, to a device whose tasks run on threads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{DeviceHost, InlineRuntime, Runtime};
use virtio_net::{MacAddress, Net, NetBackend, NetBuilder, NetHeader};

use crate::commands::{Command, OK};
use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

/// For what has to happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Frames that are on their way at most. Fewer than the device holds for a pair that has no buffers.
const MOST: u64 = 200;
/// Bytes of a buffer.
const BUFFER: u64 = 512;

/// A device whose tasks run on threads of `runtime`, and not where the rig polls.
pub(crate) fn on_threads<P: Port>(
    backend: impl NetBackend + 'static,
    change: impl FnOnce(NetBuilder) -> NetBuilder,
    memory: TestMemory,
    runtime: Arc<dyn Runtime>,
) -> Rig<P> {
    let builder = Net::builder(backend).mac(MacAddress(OWN)).queue_size(16);
    let net = change(builder).build().expect("a device");
    let handle = net.handle();
    let host = DeviceHost::builder(net, memory.ram().clone(), runtime).reset_wait(Duration::from_secs(20));
    let (port, runtime, network) = (P::connect(host), InlineRuntime::new(), Network::new(1));
    Rig { port, handle, memory, runtime, network, header_len: 12 }
}

/// Ends the other threads, also where this one fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits for something to happen, which has to.
pub(crate) struct Patience(Instant);

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience(Instant::now() + LIMIT)
    }

    /// Lets others go on.
    pub(crate) fn wait(&self, what: &str) {
        assert!(Instant::now() < self.0, "{what}");
        thread::yield_now();
    }
}

/// A frame that the driver was given.
pub(crate) struct Got {
    /// Its last eight bytes.
    pub(crate) number: u64,
    pub(crate) pair: u16,
    pub(crate) flags: u8,
    pub(crate) frame: Vec<u8>,
}

/// The frame of each number. The number is its last eight bytes.
pub(crate) type Make<'a> = dyn Fn(u64) -> (NetHeader, Vec<u8>) + Sync + 'a;

/// A command that was given.
pub(crate) struct Given {
    answer: u64,
}

impl Given {
    pub(crate) fn new<P: Port>(
        rig: &Rig<P>,
        control: &mut P::Driver,
        pairs: u16,
        (class, command): Command,
        data: &[u8],
    ) -> Given {
        let bytes = [&[class, command], data].concat();
        let (at, answer) = (rig.memory.place(&bytes), rig.memory.place(&[UNTOUCHED]));
        let buffers = [Buffer::readable(at, bytes.len() as u32), Buffer::writable(answer, 1)];
        control.add(&buffers).expect("room in the ring");
        control.kick(|| rig.port.notify(2 * pairs));
        Given { answer }
    }

    /// Whether there is an answer, which has to be one of success.
    pub(crate) fn is_answered<P: Port>(&self, rig: &Rig<P>, control: &mut P::Driver) -> bool {
        let Some(used) = control.used() else { return false };
        assert_eq!((used.len, rig.memory.bytes(self.answer, 1)), (1, vec![OK]));
        true
    }
}

pub(crate) struct Traffic<'a, P: Port> {
    rig: &'a Rig<P>,
    queues: Queues<P::Driver>,
    /// Where the buffers of each receive queue are, by what names their chains.
    places: Vec<HashMap<u32, u64>>,
    /// The number of the next frame, and how many the driver was given.
    next: &'a AtomicU64,
    given: &'a AtomicU64,
    came: HashSet<u64>,
}

/// Has frames come by the first `ports` pairs of the network while `drive` gives commands. In the end, those frames have come that
/// `must` come, all others at most once.
pub(crate) fn under_traffic<P: Port + Sync>(
    rig: &Rig<P>,
    queues: Queues<P::Driver>,
    ports: usize,
    make: &Make<'_>,
    must: impl Fn(u64) -> bool,
    drive: impl FnOnce(&mut Traffic<'_, P>),
) {
    let (next, given, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let places = queues.rx.iter().map(|_| HashMap::new()).collect();
    let mut traffic = Traffic { rig, queues, places, next: &next, given: &given, came: HashSet::new() };
    traffic.post_all();
    thread::scope(|scope| {
        let ends = Done(&done);
        let sender = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let number = next.load(Ordering::SeqCst);
                let gone = given.load(Ordering::SeqCst) + rig.handle.counts().rx_filtered_mac;
                let has_room = |port: &usize| rig.network.state().pairs[*port].coming.len() < 16;
                let port = (0..ports).map(|port| (number as usize + port) % ports).find(has_room);
                let Some(port) = port.filter(|_| number < gone + MOST) else {
                    thread::yield_now();
                    continue;
                };
                let (header, frame) = make(number);
                // Whoever reads this number knows that the frame has not come to the network yet.
                next.store(number + 1, Ordering::SeqCst);
                rig.network.inject(port, header, &frame);
            }
        });
        drive(&mut traffic);
        drop(ends);
        sender.join().unwrap();
        let patience = Patience::new();
        while let Some(missing) = (0..next.load(Ordering::SeqCst)).find(|number| must(*number) && !traffic.has(*number))
        {
            patience.wait(&format!("frame {missing} does not come: {:?}", rig.handle.counts()));
            traffic.take(&mut |_| {});
        }
    });
    rig.port.set_status(0);
    assert_eq!(rig.port.status(), 0);
}

impl<P: Port> Traffic<'_, P> {
    fn has(&self, number: u64) -> bool {
        self.came.contains(&number)
    }

    fn post_all(&mut self) {
        for pair in 0..self.queues.rx.len() {
            while self.queues.rx[pair].free() > 0 {
                let place = self.rig.memory.alloc(BUFFER, 16);
                self.post(pair, place);
            }
            self.queues.rx[pair].kick(|| self.rig.port.notify(2 * pair as u16));
        }
    }

    fn post(&mut self, pair: usize, place: u64) {
        let id = self.queues.rx[pair].add(&[Buffer::writable(place, BUFFER as u32)]).expect("room in the ring");
        self.places[pair].insert(id.into(), place);
    }

    /// Takes all that has come in any queue.
    fn take(&mut self, each: &mut dyn FnMut(&Got)) {
        for pair in 0..self.queues.rx.len() {
            let mut any = false;
            while let Some(used) = self.queues.rx[pair].used() {
                let place = self.places[pair].remove(&used.id).expect("the device has it");
                let bytes = self.rig.memory.bytes(place, used.len as usize);
                self.post(pair, place);
                any = true;
                let (header, frame) = bytes.split_at(self.rig.header_len);
                let number = u64::from_le_bytes(*frame.last_chunk().unwrap());
                assert!(self.came.insert(number), "frame {number} comes twice");
                self.given.fetch_add(1, Ordering::SeqCst);
                each(&Got { number, pair: pair as u16, flags: header[0], frame: frame.to_vec() });
            }
            if any {
                self.queues.rx[pair].kick(|| self.rig.port.notify(2 * pair as u16));
            }
        }
    }

    /// Gives a command, and takes what comes until it is answered with success. The numbers of frames that come to the network
    /// later are not less than what is returned.
    pub(crate) fn command(&mut self, command: Command, data: &[u8]) -> u64 {
        let pairs = self.queues.rx.len() as u16;
        let control = self.queues.control.as_mut().expect("a control queue");
        let given = Given::new(self.rig, control, pairs, command, data);
        let patience = Patience::new();
        loop {
            if given.is_answered(self.rig, self.queues.control.as_mut().expect("a control queue")) {
                return self.next.load(Ordering::SeqCst);
            }
            patience.wait("a command is not answered");
            self.take(&mut |_| {});
        }
    }

    /// Takes what comes until there is enough. All frames that came to the network from that number on are shown to `look`, which says
    /// whether they are.
    pub(crate) fn until(&mut self, from: u64, mut look: impl FnMut(&Got) -> bool) {
        let patience = Patience::new();
        let mut enough = false;
        while !enough {
            patience.wait("what should come does not");
            self.take(&mut |got| enough |= got.number >= from && look(got));
        }
    }

    /// Sends a frame by a pair; whether it came out.
    pub(crate) fn sends(&mut self, pair: u16) -> bool {
        let bytes = self.rig.with_header(&NetHeader::default(), &plain(BROADCAST, 60));
        let at = self.rig.memory.place(&bytes);
        let driver = &mut self.queues.tx[usize::from(pair)];
        driver.add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
        driver.kick(|| self.rig.port.notify(2 * pair + 1));
        let patience = Patience::new();
        while self.queues.tx[usize::from(pair)].used().is_none() {
            patience.wait("what is sent does not come back");
            self.take(&mut |_| {});
        }
        !self.rig.network.sent(pair.into()).is_empty()
    }
}
