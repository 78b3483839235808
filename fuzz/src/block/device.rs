//! A device with a driver in front of it, and what is checked whenever the device has worked.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_blk::{BlockHandle, OnError, Rate, RateLimit};
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::testing::{RingDriver, TestMemory, Used};
use virtio_core::{Buffer, DeviceHost, Features, InlineRuntime};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Outcome;
use super::disk::{Disk, SECTORS, SIZE};
use super::input::Header;
use super::model::Model;
use super::request::{Made, Sent, Terms};

pub(crate) const LIFETIME: Features = Features::bit(15);
pub(crate) const ZONED: Features = Features::bit(17);
/// The disk's name.
pub(crate) const SERIAL: [u8; 20] = *b"a disk for fuzzing\0\0";
/// The features of a block device.
const OWN: Features = Features::from_bits(0x00ff_ffff);

/// Bytes of memory.
const MEMORY: usize = 512 << 10;
/// What a request and its rings may take of it at most.
const MARGIN: u64 = 64 << 10;
/// For what has to end.
const LIMIT: Duration = Duration::from_secs(2);

/// One queue, as the driver has it.
pub(crate) struct Lane<R> {
    driver: R,
    out: HashMap<u32, Sent>,
}

pub(crate) struct Device<R> {
    header: Header,
    pub(crate) disk: Disk,
    pub(crate) host: DeviceHost,
    pub(crate) handle: BlockHandle,
    pub(crate) runtime: InlineRuntime,
    pub(crate) memory: TestMemory,
    /// The same, to be copied quickly.
    mmap: GuestMemoryMmap<()>,
    /// What it was before the device worked, and afterwards.
    before: Vec<u8>,
    after: Vec<u8>,
    /// None where a queue is off.
    lanes: Vec<Option<Lane<R>>>,
    pub(crate) model: Model,
    negotiated: Features,
    /// A ring may be broken.
    pub(crate) hostile: bool,
    /// The driver has written where it must not: nothing is known any more until a reset.
    pub(crate) wild: bool,
    pub(crate) paused: bool,
    read_only: bool,
    pub(crate) outcome: Outcome,
}

fn on_error(number: u8) -> OnError {
    match number % 4 {
        0 => OnError::Report,
        1 => OnError::Ignore,
        2 => OnError::Stop,
        _ => OnError::StopWhenFull,
    }
}

/// A device on `disk`, with what the header says of errors (two bits for reads, two for others), time-outs, merging (two
/// bits) and discarding; and of limits on the rate (two bits), on segments (two bits), and of the block size (two bits).
fn host(header: &Header, disk: &Disk, memory: &TestMemory, runtime: &InlineRuntime) -> (DeviceHost, BlockHandle, bool) {
    let Header { policies, limits, .. } = *header;
    let mut builder = disk.builder().serial("a disk for fuzzing").queues(header.queues());
    builder = builder.queue_size(header.queue_size()).on_read_error(on_error(policies));
    builder = builder.on_write_error(on_error(policies >> 2)).discard(policies & 128 == 0);
    if policies & 16 != 0 {
        builder = builder.timeout(Duration::ZERO);
    }
    match policies >> 5 & 3 {
        0 => {}
        merge => builder = builder.merge(merge != 1),
    }
    // What is held back is let through within the next moments.
    let fast = |burst| Rate { per_second: 1 << 30, burst };
    let rate = |bit: u8, burst| (limits & bit != 0).then(|| fast(burst));
    if limits & 3 != 0 {
        builder = builder.rate_limit(RateLimit::new(rate(1, 1), rate(2, 512)));
    }
    builder = builder.max_segments([256, 1, 2, 4][usize::from(limits >> 2 & 3)]);
    if limits >> 4 & 3 != 0 {
        builder = builder.block_size([512, 4096, 65536, 1024][usize::from(limits >> 4 & 3)]);
    }
    let read_only = header.disk & 128 != 0;
    let block = builder.read_only(read_only).build().expect("a device");
    let handle = block.handle();
    let extra = Features::RING_PACKED | Features::IN_ORDER;
    let host = DeviceHost::builder(block, memory.ram().clone(), Arc::new(runtime.clone())).with(extra);
    let host = host.reset_wait(Duration::ZERO).reset_limit(Duration::ZERO);
    (host.build(Features::RING_RESET, Arc::new(())).expect("a host"), handle, read_only)
}

impl<R: RingDriver> Device<R> {
    pub(crate) fn new(header: Header, disk: Disk) -> Device<R> {
        let mmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("memory");
        let (memory, runtime) = (TestMemory::over(&mmap), InlineRuntime::new());
        let (host, handle, read_only) = host(&header, &disk, &memory, &runtime);
        let content = disk.plain().map(|memory| memory.content()).unwrap_or_default();
        let mut device = Device {
            header,
            disk,
            host,
            handle,
            runtime,
            memory,
            mmap,
            before: Vec::new(),
            after: Vec::new(),
            lanes: Vec::new(),
            model: Model::new(content),
            negotiated: Features::NONE,
            hostile: false,
            wild: false,
            paused: false,
            read_only,
            outcome: Outcome::default(),
        };
        device.start(header.features);
        device
    }

    /// Negotiates and starts all queues.
    fn start(&mut self, features: u32) {
        let offered = self.host.offered();
        let own = Features::from_bits(features.into()) & OWN;
        // All of them for a disk that wants that its zones are known.
        if !self.negotiate(offered & (own | self.header.ring())) {
            self.host.write_status(0);
            let all = offered & (OWN | self.header.ring());
            assert!(self.negotiate(all), "all that is offered can be taken");
        }
        self.lanes = (0..self.header.queues()).map(|index| Some(self.enable(index))).collect();
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
        Lane { driver, out: HashMap::new() }
    }

    /// Whether memory is left for another step.
    pub(crate) fn has_room(&self) -> bool {
        self.top() + MARGIN < MEMORY as u64
    }

    /// Where the memory ends that was handed out.
    pub(crate) fn top(&self) -> u64 {
        self.memory.alloc(0, 1)
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            negotiated: self.negotiated,
            capacity: self.handle.capacity(),
            read_only: self.read_only,
            plain: self.disk.plain().is_some(),
            zoned: self.disk.zoned.is_some(),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.host.status() & NEEDS_RESET != 0
    }

    /// Adds a chain, if there is room for it in the ring.
    pub(crate) fn add(&mut self, lane: u8, indirect: bool, made: Made) -> bool {
        let Made { chain, sent, hostile } = made;
        let size = usize::from(self.header.queue_size());
        let indirect = indirect && self.negotiated.contains(Features::INDIRECT_DESC) && chain.len() <= size;
        let Some(lane) = self.lane(lane) else { return false };
        let added = match indirect {
            true => lane.driver.add_indirect(&chain),
            false => lane.driver.add(&chain),
        };
        let Some(id) = added else { return false };
        let before = lane.out.insert(id.into(), sent);
        assert!(before.is_none() || self.wild, "the driver has one chain of each name");
        self.hostile |= hostile;
        self.outcome.sent += 1;
        true
    }

    fn lane(&mut self, lane: u8) -> Option<&mut Lane<R>> {
        let count = self.lanes.len().max(1);
        self.lanes.get_mut(usize::from(lane) % count)?.as_mut()
    }

    /// Shows what was added to a queue.
    pub(crate) fn kick(&mut self, lane: u8) {
        let lane = lane % self.lanes.len().max(1) as u8;
        if let Some(lane) = self.lane(lane) {
            lane.driver.show();
        }
        self.work(|device| device.host.notify(lane.into()));
    }

    /// Makes what breaks a ring available.
    pub(crate) fn break_ring(&mut self, lane: u8) {
        // With less room it would write over what it has shown.
        if let Some(lane) = self.lane(lane).filter(|lane| lane.driver.free() >= 2) {
            lane.driver.break_ring();
            self.hostile = true;
        }
        self.kick(lane);
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
        self.collect();
        self.disk.check();
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

    fn collect(&mut self) {
        let terms = self.terms();
        let wild = self.wild;
        for lane in self.lanes.iter_mut().flatten() {
            // A driver that has written into its rings may find anything there.
            for _ in 0..256 {
                let Some(Used { id, len }) = lane.driver.used() else { break };
                let sent = lane.out.remove(&id);
                if wild {
                    continue;
                }
                let sent = sent.expect("what comes back is with the device");
                assert!(u64::from(len) <= sent.room(), "{sent:?} was answered with a length of {len}");
                let well = sent.check(&self.memory, &terms, &mut self.model);
                self.outcome.answered += 1;
                self.outcome.succeeded += u64::from(well);
            }
        }
        if self.is_idle() && !wild {
            self.settle_model(Model::settle);
        }
    }

    /// Compares a disk in memory with what it has to contain.
    fn settle_model(&mut self, settle: impl FnOnce(&mut Model, Vec<u8>)) {
        if let Some(disk) = self.disk.plain() {
            settle(&mut self.model, disk.content());
        }
    }

    /// Whether nothing is with the device.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().flatten().all(|lane| lane.out.is_empty())
    }

    /// Resets the device, and starts it again.
    pub(crate) fn reset(&mut self, features: u32) {
        let until = Instant::now() + LIMIT;
        self.work(|device| device.host.write_status(0));
        while self.host.status() != 0 {
            assert!(Instant::now() < until, "a reset does not end");
            let Device { disk, .. } = self;
            if let Some(slow) = &disk.slow {
                slow.finish_all();
            }
            self.work(|device| device.host.write_status(0));
        }
        if let Some(slow) = &self.disk.slow {
            assert_eq!(slow.held(), 0, "nothing is in flight after a reset");
        }
        self.settle_model(if self.wild { Model::take } else { Model::abandon });
        (self.hostile, self.wild, self.paused) = (false, false, false);
        self.lanes.clear();
        // Nothing is written from now on.
        self.work(|_| {});
        self.outcome.resets += 1;
        self.start(features);
    }

    /// Resets one queue, and starts it again when that has ended.
    pub(crate) fn reset_queue(&mut self, lane: u8) {
        let index = u16::from(lane) % self.header.queues();
        let may = self.negotiated.contains(Features::RING_RESET) && !self.wild && !self.paused && !self.is_broken();
        if !may || self.lanes.get(usize::from(index)).is_none_or(Option::is_none) {
            return;
        }
        self.model.forget();
        self.work(|device| device.host.reset_queue(index));
        let until = Instant::now() + LIMIT;
        while self.host.queue(index).is_some_and(|queue| queue.is_resetting()) {
            assert!(Instant::now() < until, "a queue's reset does not end");
            if let Some(slow) = &self.disk.slow {
                slow.finish_all();
            }
            self.work(|_| {});
        }
        self.lanes[usize::from(index)] = None;
        if self.is_broken() {
            return;
        }
        let lane = self.enable(index);
        self.lanes[usize::from(index)] = Some(lane);
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

    /// Saves the device, and goes on with another one on the same disk.
    pub(crate) fn migrate(&mut self) {
        // What a driver has changed in its rings may keep another device from taking them over.
        if self.wild || self.is_broken() || !self.pause() {
            return;
        }
        if let Some(disk) = &self.disk.memory {
            // It may not be smaller than the driver was told.
            disk.set_len(SIZE);
        }
        let state = self.host.save().expect("a paused device can be saved");
        self.runtime = InlineRuntime::new();
        let (host, handle, _) = host(&self.header, &self.disk, &self.memory, &self.runtime);
        (self.host, self.handle) = (host, handle);
        self.work(|device| device.host.restore(&state).expect("what was saved can be restored"));
        self.outcome.moved += 1;
        self.unpause();
    }

    /// Lets everything that is with the device end, which it has to.
    pub(crate) fn rest(&mut self) {
        if let Some(slow) = &self.disk.slow {
            slow.heal();
        }
        if let Some(disk) = &self.disk.memory {
            disk.set_len(SIZE);
        }
        if self.paused {
            self.unpause();
        }
        (0..self.header.queues()).for_each(|lane| self.kick(lane as u8));
        let until = Instant::now() + LIMIT;
        while !self.is_idle() && !self.wild && !self.is_broken() {
            assert!(Instant::now() < until, "not everything was answered: {:?}", self.lanes_out());
            self.handle.resume();
            self.work(|_| {});
        }
    }

    fn lanes_out(&self) -> Vec<&Sent> {
        self.lanes.iter().flatten().flat_map(|lane| lane.out.values()).collect()
    }

    /// A plain read, which the device has to serve.
    pub(crate) fn plain_read(&mut self) {
        if let Some(disk) = self.disk.plain() {
            // In case that the driver was told of less.
            self.model.take(disk.content());
            self.model.loses = false;
        }
        let refreshed = self.handle.refresh();
        assert!(refreshed.is_ok() && (self.handle.capacity() == SECTORS || self.disk.zoned.is_some()));
        let header = self.memory.place(&[0; 16]);
        let data = self.memory.alloc(513, 1);
        self.memory.write(data, &[0xee; 513]);
        let chain = vec![Buffer::readable(header, 16), Buffer::writable(data, 513)];
        let sent = Sent { writable: vec![(data, 513)], asked: None };
        assert!(self.add(0, false, Made { chain, sent, hostile: false }), "the ring is empty");
        self.kick(0);
        self.rest();
        assert!(!self.is_broken(), "the device serves");
        let bytes = self.memory.bytes(data, 513);
        // A zone may have failed, or have lost what was written to it.
        let possible = if self.disk.zoned.is_some() { 0..=3 } else { 0..=0 };
        assert!(possible.contains(&bytes[512]), "a plain read was answered with status {}", bytes[512]);
        if bytes[512] == 0 {
            self.model.check_read(0, if self.disk.plain().is_some() { &bytes[..512] } else { &[] });
        }
    }
}

impl<R: RingDriver> Lane<R> {
    /// What the device may write now.
    fn allowed(&self) -> Vec<Range<u64>> {
        let ranges = self.out.values().flat_map(|sent| &sent.writable);
        let mut allowed: Vec<_> = ranges.map(|(at, len)| *at..at.saturating_add(u64::from(*len))).collect();
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
