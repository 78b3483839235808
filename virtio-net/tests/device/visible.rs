//! What can be seen in the receive ring while the device works: frames with all of their buffers, or not at all.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use virtio_core::memory::DirtyLog;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Features, Runtime, SharedRuntime, ThreadRuntime};
use virtio_net::NetHeader;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::frames::{OWN, plain};
use crate::network::Network;
use crate::on::on;
use crate::rig::*;
use crate::traffic::{Patience, on_threads};

each_transport! {
    net_rx_04_no_write_of_the_device_shows_a_part_of_a_frame,
    net_rx_04_no_other_thread_sees_a_part_of_a_frame,
}

/// Bytes of each buffer.
const BUFFER: u64 = 128;
/// Buffers of the ring.
const SIZE: u16 = 256;

/// Frames of one buffer and of many, and a few that have more than are copied.
fn frames(count: usize) -> Vec<Vec<u8>> {
    let len = |number: usize| if number % 17 == 16 { 9000 } else { 60 + number * 397 % 3000 };
    (0..count).map(|number| plain(OWN, len(number))).collect()
}

/// How many buffers have come back after each frame.
fn ends(frames: &[Vec<u8>]) -> Vec<u64> {
    let buffers = frames.iter().map(|frame| (12 + frame.len() as u64).div_ceil(BUFFER));
    buffers.scan(0, |sum, count| Some(*sum + count).inspect(|now| *sum = *now)).collect()
}

/// Somebody who looks at a receive ring and touches nothing. All chains in it are single buffers.
struct Watcher {
    mmap: GuestMemoryMmap<()>,
    packed: bool,
    /// Where the descriptors are, and where the device writes its index.
    descriptors: u64,
    device_area: u64,
    /// How many buffers a whole number of frames has.
    ends: Vec<u64>,
    /// Buffers that were seen to have come back.
    seen: u64,
    /// Times that there were more than before.
    changes: u64,
    /// Counts of buffers that end within a frame.
    torn: Vec<u64>,
}

impl Watcher {
    fn new<D: RingDriver>(mmap: &GuestMemoryMmap<()>, driver: &D, ends: Vec<u64>) -> Watcher {
        let (descriptors, _, device_area) = driver.areas();
        let packed = D::LAYOUT == Features::RING_PACKED;
        Watcher { mmap: mmap.clone(), packed, descriptors, device_area, ends, seen: 0, changes: 0, torn: Vec::new() }
    }

    fn load(&self, address: u64) -> u16 {
        u16::from_le(self.mmap.load(GuestAddress(address), Ordering::Acquire).unwrap())
    }

    /// Whether the device has marked a packed ring's descriptor used, which is the one for that buffer.
    fn is_used(&self, buffer: u64) -> bool {
        let (lap, slot) = (buffer / u64::from(SIZE), buffer % u64::from(SIZE));
        let flags = self.load(self.descriptors + 16 * slot + 14);
        let used = if lap.is_multiple_of(2) { 1 << 7 | 1 << 15 } else { 0 };
        flags & (1 << 7 | 1 << 15) == used
    }

    /// How many buffers have come back, as a driver finds out.
    fn count(&self) -> u64 {
        if self.packed {
            (self.seen..).take_while(|buffer| *buffer < self.seen + u64::from(SIZE) && self.is_used(*buffer)).count()
                as u64
                + self.seen
        } else {
            self.seen + u64::from(self.load(self.device_area + 2).wrapping_sub(self.seen as u16))
        }
    }

    fn look(&mut self) {
        let now = self.count();
        if now != self.seen {
            self.changes += 1;
            self.seen = now;
            if self.ends.binary_search(&now).is_err() {
                self.torn.push(now);
            }
        }
    }
}

/// Looks whenever the device has written anything.
struct Log(Mutex<Option<Watcher>>);

impl Log {
    fn watcher(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.0.lock().unwrap()
    }
}

impl DirtyLog for Log {
    fn mark(&self, _address: u64, _len: u64) {
        if let Some(watcher) = &mut *self.watcher() {
            watcher.look();
        }
    }
}

fn memory() -> (GuestMemoryMmap<()>, TestMemory) {
    let mmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
    let memory = TestMemory::over(&mmap);
    (mmap, memory)
}

/// A driver that takes back what somebody has seen, and gives the same buffers again.
struct Filler<'a, P: Port> {
    rig: &'a Rig<P>,
    driver: P::Driver,
    arena: u64,
    posted: u64,
    places: VecDeque<u64>,
    /// Bytes of the frame that is being taken, and buffers of it that are to come.
    bytes: Vec<u8>,
    left: u16,
    frames: std::slice::Iter<'a, Vec<u8>>,
}

impl<'a, P: Port> Filler<'a, P> {
    fn new(rig: &'a Rig<P>, driver: P::Driver, frames: &'a [Vec<u8>]) -> Self {
        let arena = rig.memory.alloc(BUFFER * u64::from(SIZE), 16);
        let frames = frames.iter();
        Filler { rig, driver, arena, posted: 0, places: VecDeque::new(), bytes: Vec::new(), left: 0, frames }
    }

    fn fill(&mut self) {
        while self.driver.free() > 0 {
            let place = self.arena + BUFFER * (self.posted % u64::from(SIZE));
            self.driver.add(&[Buffer::writable(place, BUFFER as u32)]).expect("room in the ring");
            self.places.push_back(place);
            self.posted += 1;
        }
        self.driver.kick(|| self.rig.port.notify(0));
    }

    /// Takes so many buffers. Frames are what came.
    fn take(&mut self, buffers: u64) {
        for _ in 0..buffers {
            let used = self.driver.used().expect("what was seen is there");
            self.bytes.extend(self.rig.memory.bytes(self.places.pop_front().unwrap(), used.len as usize));
            if self.left == 0 {
                self.left = u16::from_le_bytes([self.bytes[10], self.bytes[11]]);
            }
            self.left -= 1;
            if self.left == 0 {
                let frame = self.frames.next().expect("a frame that was sent");
                assert!(self.bytes[12..] == *frame, "a frame of {} bytes is another one", frame.len());
                self.bytes.clear();
            }
        }
    }
}

fn network(fills: bool) -> Network {
    let network = Network::new(1);
    network.state().fills = fills;
    network
}

const FEATURES: Features = Features::from_bits(USUAL.bits() | MRG_RXBUF.bits());

/// A log of what is written is told of each write before the device does anything else: so this is all that can be seen at all.
fn net_rx_04_no_write_of_the_device_shows_a_part_of_a_frame<P: Port>() {
    for fills in [false, true] {
        let (mmap, memory) = memory();
        let (network, log) = (network(fills), Arc::new(Log(Mutex::new(None))));
        memory.ram().set_log(Some(log.clone())).on_complete(|| {});
        let mut rig = on::<P>(network.clone(), |builder| builder.queue_size(SIZE), memory);
        let driver = rig.live(FEATURES).rx.remove(0);
        let frames = frames(300);
        let ends = ends(&frames);
        *log.watcher() = Some(Watcher::new(&mmap, &driver, ends.clone()));
        let mut filler = Filler::new(&rig, driver, &frames);
        let (mut taken, mut bursts) = (0, 0);
        let mut coming = frames.iter();
        // One frame, or several at once.
        for burst in [1, 2, 5, 1, 9].into_iter().cycle() {
            filler.fill();
            rig.runtime.poll();
            let burst: Vec<_> = coming.by_ref().take(burst).collect();
            if burst.is_empty() {
                break;
            }
            burst.iter().for_each(|frame| network.inject(0, NetHeader::default(), frame));
            rig.runtime.poll();
            let seen = log.watcher().as_ref().unwrap().seen;
            filler.take(seen - taken);
            (taken, bursts) = (seen, bursts + 1);
        }
        // What found the ring too empty comes by and by.
        while taken < *ends.last().unwrap() {
            filler.fill();
            rig.runtime.poll();
            let seen = log.watcher().as_ref().unwrap().seen;
            assert!(seen > taken, "the rest of the frames does not come");
            filler.take(seen - taken);
            taken = seen;
        }
        let watcher = log.watcher().take().unwrap();
        assert_eq!(watcher.torn.first(), None, "so many buffers are no whole frames");
        assert!(watcher.changes >= bursts, "{} changes in {bursts} bursts", watcher.changes);
        assert_eq!((filler.frames.len(), rig.handle.counts().rx_frames), (0, 300));
    }
}

/// A driver that looks all the time, while the device works on another processor.
fn net_rx_04_no_other_thread_sees_a_part_of_a_frame<P: Port>() {
    let shared = SharedRuntime::new(1).unwrap();
    let runtimes: [(_, Arc<dyn Runtime>); 2] = [(true, Arc::new(ThreadRuntime::new())), (false, Arc::new(shared))];
    for (fills, runtime) in runtimes {
        let (mmap, memory) = memory();
        let network = network(fills);
        let mut rig = on_threads::<P>(network.clone(), |builder| builder.queue_size(SIZE), memory, runtime);
        let driver = rig.live(FEATURES).rx.remove(0);
        let frames = frames(1500);
        let ends = ends(&frames);
        let all = *ends.last().unwrap();
        let mut watcher = Watcher::new(&mmap, &driver, ends);
        let mut filler = Filler::new(&rig, driver, &frames);
        let (mut taken, mut coming, patience) = (0, frames.iter(), Patience::new());
        filler.fill();
        while taken < all {
            // What is on its way is a few frames, so that the device goes on while this looks.
            while filler.frames.len() < coming.len() + 4
                && let Some(frame) = coming.next()
            {
                network.inject(0, NetHeader::default(), frame);
            }
            let looks = (0..10_000).find(|_| {
                watcher.look();
                watcher.seen > taken
            });
            if looks.is_none() {
                patience.wait("not all frames come");
            }
            filler.take(watcher.seen - taken);
            taken = watcher.seen;
            filler.fill();
        }
        watcher.look();
        assert_eq!(watcher.torn.first(), None, "so many buffers are no whole frames");
        assert_eq!((watcher.seen, filler.frames.len()), (all, 0));
        // The ring is filled again with what was seen only.
        assert!(watcher.changes >= all / u64::from(SIZE), "{} changes of {all} buffers", watcher.changes);
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
    }
}
