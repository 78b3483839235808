//! A device with a driver in front of it, and what is checked whenever the device has worked.

use std::time::Duration;

use virtio_blk::{BlockHandle, OnError, Rate, RateLimit};
use virtio_core::testing::{RingDriver, TestMemory};
use virtio_core::{Buffer, DeviceHost, Features, InlineRuntime};

use super::Outcome;
use super::disk::{Disk, SECTORS, SIZE};
use super::input::Header;
use super::model::Model;
use super::request::{Made, Sent, Terms};
use crate::device::{self, Lane, Stage, Subject};

pub(crate) const LIFETIME: Features = Features::bit(15);
pub(crate) const ZONED: Features = Features::bit(17);
/// The disk's name.
pub(crate) const SERIAL: [u8; 20] = *b"a disk for fuzzing\0\0";
/// The features of a block device.
const OWN: Features = Features::from_bits(0x00ff_ffff);

pub(crate) struct Device<R> {
    header: Header,
    pub(crate) stage: Stage<R, Sent>,
    pub(crate) disk: Disk,
    pub(crate) handle: BlockHandle,
    pub(crate) model: Model,
    outcome: Outcome,
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
fn host(header: &Header, disk: &Disk, memory: &TestMemory, runtime: &InlineRuntime) -> (DeviceHost, BlockHandle) {
    let Header { policies, limits, .. } = *header;
    let mut builder = disk.builder().serial("a disk for fuzzing").queues(header.rings.queues());
    builder = builder.queue_size(header.rings.size()).on_read_error(on_error(policies));
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
    let block = builder.read_only(header.is_read_only()).build().expect("a device");
    let handle = block.handle();
    (device::host(block, memory, runtime), handle)
}

impl<R: RingDriver> Device<R> {
    pub(crate) fn new(header: Header, disk: Disk) -> Device<R> {
        let (stage, handle) = Stage::new(header.rings, |memory, runtime| host(&header, &disk, memory, runtime));
        let content = disk.plain().map(|memory| memory.content()).unwrap_or_default();
        let model = Model::new(content);
        let mut device = Device { header, stage, disk, handle, model, outcome: Outcome::default() };
        device.start(header.features);
        device
    }

    /// Negotiates and starts all queues.
    fn start(&mut self, features: u32) {
        // All of them for a disk that wants that its zones are known.
        self.stage.negotiate(Features::from_bits(features.into()) & OWN, OWN);
        self.stage.go(self.header.rings.queues());
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            negotiated: self.stage.negotiated,
            capacity: self.handle.capacity(),
            read_only: self.header.is_read_only(),
            plain: self.disk.plain().is_some(),
            zoned: self.disk.zoned.is_some(),
        }
    }

    /// What became of it.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome { lifecycle: self.stage.lifecycle, ..self.outcome }
    }

    pub(crate) fn note_stop(&mut self) {
        self.outcome.stopped |= self.handle.stopped().is_some();
    }

    /// Any number names a lane.
    pub(crate) fn index(&self, lane: u8) -> usize {
        usize::from(lane) % self.stage.lanes.len().max(1)
    }

    /// Adds a chain, if there is room for it in the ring.
    pub(crate) fn add(&mut self, lane: u8, indirect: bool, made: Made) -> bool {
        let Made { chain, sent, hostile } = made;
        let added = self.stage.add(self.index(lane), indirect, &chain, sent, hostile);
        self.outcome.sent += u64::from(added);
        added
    }

    pub(crate) fn kick_lane(&mut self, lane: u8) {
        self.kick(self.index(lane));
    }

    /// Compares a disk in memory with what it has to contain.
    fn settle_model(&mut self, settle: impl FnOnce(&mut Model, Vec<u8>)) {
        if let Some(disk) = self.disk.plain() {
            settle(&mut self.model, disk.content());
        }
    }

    /// Resets the device, and starts it again.
    pub(crate) fn reset(&mut self, features: u32) {
        self.stop();
        if let Some(slow) = &self.disk.slow {
            assert_eq!(slow.held(), 0, "nothing is in flight after a reset");
        }
        self.settle_model(if self.stage.wild { Model::take } else { Model::abandon });
        self.at_rest();
        self.start(features);
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
        let header = self.stage.memory.place(&[0; 16]);
        let data = self.stage.memory.alloc(513, 1);
        self.stage.memory.write(data, &[0xee; 513]);
        let chain = vec![Buffer::readable(header, 16), Buffer::writable(data, 513)];
        let sent = Sent { writable: vec![(data, 513)], asked: None };
        assert!(self.add(0, false, Made { chain, sent, hostile: false }), "the ring is empty");
        self.kick(0);
        self.rest();
        assert!(!self.stage.is_broken(), "the device serves");
        let bytes = self.stage.memory.bytes(data, 513);
        // A zone may have failed, or have lost what was written to it.
        let possible = if self.disk.zoned.is_some() { 0..=3 } else { 0..=0 };
        assert!(possible.contains(&bytes[512]), "a plain read was answered with status {}", bytes[512]);
        if bytes[512] == 0 {
            self.model.check_read(0, if self.disk.plain().is_some() { &bytes[..512] } else { &[] });
        }
    }
}

impl<R: RingDriver> Subject for Device<R> {
    type Driver = R;
    type Sent = Sent;

    fn stage(&mut self) -> &mut Stage<R, Sent> {
        &mut self.stage
    }

    fn look(&mut self) {
        let terms = self.terms();
        for lane in 0..self.stage.lanes.len() {
            for (sent, _) in self.stage.collect(lane) {
                let well = sent.check(&self.stage.memory, &terms, &mut self.model);
                self.outcome.answered += 1;
                self.outcome.succeeded += u64::from(well);
            }
        }
        if self.is_idle() && !self.stage.wild {
            self.settle_model(Model::settle);
        }
        self.disk.check();
    }

    fn is_idle(&mut self) -> bool {
        self.stage.lanes.iter().flatten().all(Lane::is_idle)
    }

    /// On the same disk.
    fn replace(&mut self) {
        if let Some(disk) = &self.disk.memory {
            // It may not be smaller than the driver was told.
            disk.set_len(SIZE);
        }
        self.stage.runtime = InlineRuntime::new();
        let (host, handle) = host(&self.header, &self.disk, &self.stage.memory, &self.stage.runtime);
        (self.stage.host, self.handle) = (host, handle);
    }

    fn heal(&mut self) {
        if let Some(slow) = &self.disk.slow {
            slow.heal();
        }
        if let Some(disk) = &self.disk.memory {
            disk.set_len(SIZE);
        }
    }

    fn help(&mut self) {
        self.handle.resume();
    }

    fn before_queue_reset(&mut self) {
        self.model.forget();
    }

    fn finish(&mut self) {
        if let Some(slow) = &self.disk.slow {
            slow.finish_all();
        }
    }
}
