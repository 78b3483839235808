//! A block device behind a transport, with a driver's side in front of it.

use std::sync::Arc;
use std::time::Duration;

use virtio_blk::{Block, BlockHandle};
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
#[allow(unused_imports)] // for tests of one transport
pub(crate) use virtio_core::testing::suite::Port as _;
use virtio_core::testing::{Buffer, RingDriver, TestMemory, Used};
use virtio_core::{DeviceHost, Features, HostBuilder, InlineRuntime};

#[allow(unused_imports)] // not all tests look into rings
pub(crate) use crate::ports::{Port, Split};

/// Request types.
pub(crate) const IN: u32 = 0;
pub(crate) const OUT: u32 = 1;
pub(crate) const FLUSH: u32 = 4;
pub(crate) const GET_ID: u32 = 8;
pub(crate) const GET_LIFETIME: u32 = 10;
pub(crate) const DISCARD: u32 = 11;
pub(crate) const WRITE_ZEROES: u32 = 13;
pub(crate) const SECURE_ERASE: u32 = 14;
pub(crate) const ZONE_APPEND: u32 = 15;
pub(crate) const ZONE_REPORT: u32 = 16;
pub(crate) const ZONE_OPEN: u32 = 18;
pub(crate) const ZONE_CLOSE: u32 = 20;
pub(crate) const ZONE_FINISH: u32 = 22;
pub(crate) const ZONE_RESET: u32 = 24;
pub(crate) const ZONE_RESET_ALL: u32 = 26;

/// Statuses.
pub(crate) const OK: u8 = 0;
pub(crate) const IOERR: u8 = 1;
pub(crate) const UNSUPP: u8 = 2;
pub(crate) const ZONE_INVALID_CMD: u8 = 3;
pub(crate) const ZONE_UNALIGNED_WP: u8 = 4;
pub(crate) const ZONE_OPEN_RESOURCE: u8 = 5;
pub(crate) const ZONE_ACTIVE_RESOURCE: u8 = 6;
/// What the driver puts where the status will be.
pub(crate) const UNTOUCHED: u8 = 0xee;

/// Features.
#[allow(unused_imports)] // not all tests name each of them
pub(crate) use virtio_blk::features::{
    BLK_SIZE, CONFIG_WCE, DISCARD as DISCARD_FEATURE, FLUSH as FLUSH_FEATURE, GEOMETRY, LIFETIME, MQ, RO,
    SECURE_ERASE as SECURE_ERASE_FEATURE, SEG_MAX, SIZE_MAX, WRITE_ZEROES as WRITE_ZEROES_FEATURE, ZONED,
};
pub(crate) const USUAL: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 9);

/// A block device, and all that is around it.
pub(crate) struct Rig<P> {
    pub(crate) port: P,
    pub(crate) handle: BlockHandle,
    pub(crate) memory: TestMemory,
    pub(crate) runtime: InlineRuntime,
}

/// A request that is with the device.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Where the device writes: data, then the status.
    pub(crate) data: u64,
    pub(crate) data_len: usize,
    pub(crate) status: u64,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    pub(crate) len: u32,
    pub(crate) data: Vec<u8>,
}

impl<P: Port> Rig<P> {
    pub(crate) fn new(block: Block) -> Rig<P> {
        Rig::with(block, TestMemory::new(16 << 20), |builder| builder)
    }

    pub(crate) fn with(block: Block, memory: TestMemory, change: impl FnOnce(HostBuilder) -> HostBuilder) -> Rig<P> {
        let handle = block.handle();
        let runtime = InlineRuntime::new();
        let builder = DeviceHost::builder(block, memory.ram().clone(), Arc::new(runtime.clone()))
            .reset_wait(Duration::from_millis(1))
            .reset_limit(Duration::from_millis(20));
        Rig { port: P::connect(change(builder)), handle, memory, runtime }
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
    pub(crate) fn negotiate(&self, features: Features) -> bool {
        let features = self.wanted(features);
        self.port.set_status(ACKNOWLEDGE);
        self.port.set_status(ACKNOWLEDGE | DRIVER);
        for word in 0..4 {
            self.port.accept(word, features.word(word));
        }
        self.port.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.port.status() & FEATURES_OK != 0
    }

    /// Sets up a queue.
    pub(crate) fn enable(&self, index: u16, size: u16, features: Features) -> P::Driver {
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

    /// A live device with one queue, as large as it can be.
    pub(crate) fn live(&self, features: Features) -> P::Driver {
        assert!(self.negotiate(features), "the features are accepted");
        let driver = self.enable(0, self.port.queue_max(0), features);
        self.go();
        driver
    }

    /// Shows the device what was added, and rings if it wants that.
    pub(crate) fn kick(&self, driver: &mut P::Driver) {
        driver.kick(|| self.port.notify(0));
        self.runtime.poll();
    }

    /// Rings whatever the device wants.
    pub(crate) fn ring(&self) {
        self.port.notify(0);
        self.runtime.poll();
    }

    /// Adds a request in the usual framing, to be shown later.
    pub(crate) fn add(&self, driver: &mut P::Driver, kind: u32, sector: u64, payload: &[u8], answer: usize) -> Pending {
        let header = self.memory.place(&header(kind, sector));
        let data = self.memory.place(&vec![UNTOUCHED; answer + 1]);
        let status = data + answer as u64;
        let mut chain = vec![Buffer::readable(header, 16)];
        if !payload.is_empty() {
            chain.push(Buffer::readable(self.memory.place(payload), payload.len() as u32));
        }
        if answer != 0 {
            chain.push(Buffer::writable(data, answer as u32));
        }
        chain.push(Buffer::writable(status, 1));
        driver.add(&chain).expect("room in the ring");
        Pending { data, data_len: answer, status }
    }

    /// One request, from begin to end.
    pub(crate) fn request(
        &self,
        driver: &mut P::Driver,
        kind: u32,
        sector: u64,
        payload: &[u8],
        answer: usize,
    ) -> Answer {
        let pending = self.add(driver, kind, sector, payload, answer);
        self.kick(driver);
        self.answer(&pending, driver.used().expect("an answer"))
    }

    pub(crate) fn read(&self, driver: &mut P::Driver, sector: u64, len: usize) -> Answer {
        self.request(driver, IN, sector, &[], len)
    }

    pub(crate) fn write(&self, driver: &mut P::Driver, sector: u64, data: &[u8]) -> Answer {
        self.request(driver, OUT, sector, data, 0)
    }

    pub(crate) fn answer(&self, pending: &Pending, used: Used) -> Answer {
        Answer {
            status: self.memory.bytes(pending.status, 1)[0],
            len: used.len,
            data: self.memory.bytes(pending.data, pending.data_len),
        }
    }

    /// A chain of any buffers; none where the device does not give it back.
    pub(crate) fn chain(&self, driver: &mut P::Driver, chain: &[Buffer]) -> Option<Used> {
        driver.add(chain).expect("room in the ring");
        self.kick(driver);
        driver.used()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.port.status() & NEEDS_RESET != 0
    }

    /// Whether the driver was told of a change of the configuration since the last call.
    pub(crate) fn config_interrupted(&self) -> bool {
        self.port.take_interrupts().1
    }

    pub(crate) fn config<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.port.read_config(offset, &mut bytes);
        bytes
    }

    pub(crate) fn config_capacity(&self) -> u64 {
        u64::from_le_bytes(self.config(0))
    }

    pub(crate) fn config_writeback(&self) -> u8 {
        self.config::<1>(32)[0]
    }
}

pub(crate) fn header(kind: u32, sector: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&sector.to_le_bytes());
    bytes
}

/// Bytes in which no two sectors are the same.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 512) as u8 ^ (i as u8).wrapping_mul(31) ^ seed).collect()
}
