//! A file stays readable while nobody reads it: a task does not run for it again and again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use virtio_core::Sources;
use virtio_core::testing::suite::Port as _;
use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::backend::{Interest, Packet, Received, Room, SendError};
use virtio_net::{Capabilities, NetBackend, NetHeader, NetQueue, Rate, RateLimit, Tap, UnixDgram};

use crate::commands::{PAIRS_SET, RSS_CONFIG, rss};
use crate::frames::{BROADCAST, OWN, plain};
use crate::host::{Host, make_tap, make_tap_with, until_in_use};
use crate::looped::{Driver, Looped};
use crate::own_network::in_a_network;
use crate::rig::*;

/// A network that fails as long as the test wants, with what comes by another one.
struct Failing<N> {
    network: N,
    fails: Arc<AtomicBool>,
}

struct FailingQueue {
    queue: Box<dyn NetQueue>,
    fails: Arc<AtomicBool>,
}

impl<N: NetBackend> NetBackend for Failing<N> {
    fn capabilities(&self) -> Capabilities {
        self.network.capabilities()
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        Ok(Box::new(FailingQueue { queue: self.network.open_queue(pair)?, fails: Arc::clone(&self.fails) }))
    }
}

impl NetQueue for FailingQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        self.queue.send(packet)
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        if self.fails.load(SeqCst) { Err(io::ErrorKind::Other.into()) } else { self.queue.receive(room) }
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.queue.sources(interest, sources);
    }

    fn sources_version(&self) -> u64 {
        self.queue.sources_version()
    }

    /// It wants to be asked all the time.
    fn deadline(&self) -> Option<Instant> {
        self.fails.load(SeqCst).then(Instant::now)
    }
}

/// A network, and the socket at its other end.
fn datagrams() -> (UnixDgram, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().expect("sockets");
    theirs.set_nonblocking(true).expect("a socket");
    (UnixDgram::from_socket(ours).expect("a network"), theirs)
}

/// A frame with its number at the end.
fn numbered(number: u32) -> Vec<u8> {
    let mut frame = plain(OWN, 60 + number as usize % 100);
    frame.extend(number.to_le_bytes());
    frame
}

/// Sends frames until the network is full, or has as many as it is to have, and the device has come to rest: how many.
fn fill(looped: &Looped, most: u32, send: &mut impl FnMut(u32) -> bool) -> u32 {
    let mut count = 0;
    loop {
        let before = count;
        while count < most && send(count) {
            count += 1;
        }
        looped.settle();
        if count == before {
            return count;
        }
    }
}

/// The number at the end of the next frame.
fn next(looped: &Looped, queues: &mut Queues<Driver>) -> u32 {
    let frame = looped.next(queues);
    let (_, number) = frame.split_last_chunk().expect("a number");
    u32::from_le_bytes(*number)
}

/// A driver without buffers for what fills the network.
fn waits_for_buffers(
    network: impl NetBackend + 'static,
    most: u32,
    mut send: impl FnMut(u32) -> bool,
    taken: impl Fn(),
) {
    let mut looped = Looped::new(network, |builder| builder);
    let mut queues = looped.rig.live(USUAL);
    looped.settle();
    let count = fill(&looped, most, &mut send);
    assert!(count > 10, "{count} are no crowd");
    // Whatever else there is to do, it comes to rest each time.
    for _ in 0..50 {
        assert!(looped.send(&mut queues, &NetHeader::default(), &plain(BROADCAST, 60)));
        taken();
    }
    let blocked = looped.rig.handle.counts().rx_blocked;
    assert!((1..500).contains(&blocked), "the task looked {blocked} times");
    for number in 0..count {
        assert_eq!(next(&looped, &mut queues), number);
    }
    // It sleeps, and is woken by the file.
    looped.settle();
    assert!(send(count));
    assert_eq!(next(&looped, &mut queues), count);
}

/// More than the driver may be given in a second.
fn waits_for_the_limit(network: impl NetBackend + 'static, most: u32, mut send: impl FnMut(u32) -> bool) {
    let limit = RateLimit::new(Some(Rate { per_second: 10, burst: 3 }), None);
    let mut looped = Looped::new(network, |builder| builder.receive_limit(limit));
    let mut queues = looped.rig.live(USUAL);
    let at = looped.rig.memory.alloc(2048, 16);
    for _ in 0..16 {
        queues.rx[0].add(&[Buffer::writable(at, 2048)]).expect("room in the ring");
    }
    queues.rx[0].kick(|| looped.rig.port.notify(0));
    looped.settle();
    let count = fill(&looped, most, &mut send);
    assert!(count > 10, "{count} are no crowd");
    let turns = looped.until(|| queues.rx[0].waiting() >= 10);
    let throttled = looped.rig.handle.counts().rx_throttled;
    assert!(throttled >= 1 && turns < 100, "{turns} turns, {throttled} times");
}

#[test]
fn a_socket_waits_for_buffers() {
    let (network, theirs) = datagrams();
    let peer = theirs.try_clone().expect("a socket");
    let take = || {
        let mut bytes = [0; 2048];
        while peer.recv(&mut bytes).is_ok() {}
    };
    waits_for_buffers(network, u32::MAX, |number| theirs.send(&numbered(number)).is_ok(), take);
}

#[test]
fn a_socket_waits_for_the_limit() {
    let (network, theirs) = datagrams();
    waits_for_the_limit(network, u32::MAX, |number| theirs.send(&numbered(number)).is_ok());
}

#[test]
fn a_socket_that_fails_is_left_alone_for_a_while() {
    let (network, theirs) = datagrams();
    let fails = Arc::new(AtomicBool::new(true));
    let mut looped = Looped::new(Failing { network, fails: Arc::clone(&fails) }, |builder| builder);
    let mut queues = looped.rig.live(USUAL);
    (0..3).for_each(|number| assert_eq!(theirs.send(&numbered(number)).ok(), Some(numbered(number).len())));
    let turns = looped.until(|| looped.rig.handle.counts().rx_failed >= 4);
    assert!(turns < 100, "{turns} turns");
    fails.store(false, SeqCst);
    for number in 0..3 {
        assert_eq!(next(&looped, &mut queues), number);
    }
}

#[test]
fn a_socket_that_is_full_has_the_driver_wait() {
    let (network, theirs) = datagrams();
    let mut looped = Looped::new(network, |builder| builder);
    let mut queues = looped.rig.live(USUAL);
    let frame = |number: u32| [plain(BROADCAST, 30_000), number.to_le_bytes().to_vec()].concat();
    let mut count = 0;
    while looped.send(&mut queues, &NetHeader::default(), &frame(count)) {
        count += 1;
        assert!(count < 500, "it takes all");
    }
    assert!(looped.rig.handle.counts().tx_blocked > 0);
    // What comes meanwhile is given to the driver, and all comes to rest.
    for number in 0..50 {
        assert_eq!(theirs.send(&numbered(number)).ok(), Some(numbered(number).len()));
        assert_eq!(next(&looped, &mut queues), number);
        looped.settle();
    }
    let mut bytes = vec![0; 40_000];
    let mut received = 0;
    let turns = looped.until(|| {
        if let Ok(len) = theirs.recv(&mut bytes) {
            assert!(bytes[..len] == frame(received), "frame {received}");
            received += 1;
        }
        received == count + 1
    });
    assert!(turns < 500, "{turns} turns");
    assert!(queues.tx[0].used().is_some());
    looped.settle();
}

/// Sends a frame to a tap.
fn sender(host: Host) -> impl FnMut(u32) -> bool {
    move |number| {
        host.send(&[&[7; 100][..], &number.to_le_bytes()].concat());
        true
    }
}

#[test]
fn a_tap_waits_for_buffers() {
    in_a_network(|| {
        make_tap();
        let tap = Tap::open("vm0").expect("a tap");
        until_in_use("vm0");
        waits_for_buffers(tap, 100, sender(Host::new()), || {});
    });
}

#[test]
fn a_tap_waits_for_the_limit() {
    in_a_network(|| {
        make_tap();
        let tap = Tap::open("vm0").expect("a tap");
        until_in_use("vm0");
        waits_for_the_limit(tap, 100, sender(Host::new()));
    });
}

#[test]
fn a_tap_waits_for_another_pair() {
    in_a_network(|| {
        make_tap_with("multi_queue");
        let tap = Tap::by_name("vm0").pairs(2).open().expect("a tap");
        until_in_use("vm0");
        let mut looped = Looped::new(tap, |builder| builder.pairs(2).rss(true));
        let mut queues = looped.rig.live(USUAL | CTRL_VQ | MQ | RSS);
        looped.settle();
        looped.order(&mut queues, PAIRS_SET, &[2, 0]);
        // To see which pair the tap gives frames to; the driver wants them in the other one.
        let places = [0, 1].map(|pair| looped.rig.post(&mut queues, pair, 2048));
        let mut send = sender(Host::new());
        send(u32::MAX);
        looped.until(|| queues.rx.iter().any(|ring| ring.waiting() > 0));
        let to = usize::from(queues.rx[0].used().is_some());
        looped.order(&mut queues, RSS_CONFIG, &rss(0, &[0], to as u16, 2, &[]));
        let mut at = places[to];
        for number in 0..1400 {
            send(number);
            if number % 100 == 0 {
                looped.settle();
            }
        }
        looped.settle();
        for number in 0..1400_u32 {
            looped.until(|| queues.rx[to].waiting() > 0);
            let (_, frame) = looped.rig.got(&mut queues, to as u16, at).expect("a frame");
            assert!(frame.ends_with(&number.to_le_bytes()), "frame {number}");
            at = looped.rig.post(&mut queues, to as u16, 2048);
        }
        let (counts, network) = (looped.rig.handle.counts(), looped.rig.handle.network_counts());
        assert_eq!((counts.rx_frames, counts.rx_steering_full, network.overflows), (1401, 0, 0));
        assert!(counts.rx_blocked < 10_000, "the tasks looked {} times", counts.rx_blocked);
    });
}
