//! The host of a device, its memory, and the driver's side of its queues.

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::testing::{RingDriver, TestMemory, Used};
use virtio_core::{Buffer, DeviceHost, Features, InlineRuntime, VirtioDevice};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{Lifecycle, Rings};

/// Bytes of memory.
const MEMORY: usize = 512 << 10;
/// What a step takes of it at most.
const MARGIN: u64 = 96 << 10;

/// A chain that is with the device.
pub(crate) trait Sent: Debug {
    /// What of it the device may write: addresses and lengths.
    fn writable(&self) -> impl Iterator<Item = (u64, u32)>;

    fn room(&self) -> u64 {
        self.writable().map(|(_, len)| u64::from(len)).sum()
    }
}

/// One queue, as the driver has it.
pub(crate) struct Lane<R, S> {
    pub(crate) driver: R,
    out: HashMap<u32, S>,
}

impl<R: RingDriver, S: Sent> Lane<R, S> {
    pub(crate) fn is_idle(&self) -> bool {
        self.out.is_empty()
    }

    /// What the device may write now.
    fn allowed(&self) -> Vec<Range<u64>> {
        let buffers = self.out.values().flat_map(S::writable);
        let mut allowed: Vec<_> = buffers.map(|(at, len)| at..at.saturating_add(len.into())).collect();
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

/// A device in a host that waits for nothing.
pub(crate) fn host(device: impl VirtioDevice + 'static, memory: &TestMemory, runtime: &InlineRuntime) -> DeviceHost {
    let extra = Features::RING_PACKED | Features::IN_ORDER;
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime.clone())).with(extra);
    let host = host.reset_wait(Duration::ZERO).reset_limit(Duration::ZERO);
    host.build(Features::RING_RESET, Arc::new(())).expect("a host")
}

pub(crate) struct Stage<R, S> {
    pub(crate) host: DeviceHost,
    pub(crate) runtime: InlineRuntime,
    pub(crate) memory: TestMemory,
    /// The same, to be copied quickly.
    mmap: GuestMemoryMmap<()>,
    /// What it was before the device worked, and afterwards.
    before: Vec<u8>,
    after: Vec<u8>,
    rings: Rings,
    /// By their indexes; none where a queue is off.
    pub(crate) lanes: Vec<Option<Lane<R, S>>>,
    pub(crate) negotiated: Features,
    /// A ring may be broken.
    pub(crate) hostile: bool,
    /// The driver has written where it must not: nothing is known any more until a reset.
    pub(crate) wild: bool,
    pub(crate) paused: bool,
    pub(crate) lifecycle: Lifecycle,
}

impl<R: RingDriver, S: Sent> Stage<R, S> {
    /// With a device, and its handle, that `build` makes.
    pub(crate) fn new<H>(
        rings: Rings,
        build: impl FnOnce(&TestMemory, &InlineRuntime) -> (DeviceHost, H),
    ) -> (Stage<R, S>, H) {
        let mmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("memory");
        let (memory, runtime) = (TestMemory::over(&mmap), InlineRuntime::new());
        let (host, handle) = build(&memory, &runtime);
        let stage = Stage {
            host,
            runtime,
            memory,
            mmap,
            before: Vec::new(),
            after: Vec::new(),
            rings,
            lanes: Vec::new(),
            negotiated: Features::NONE,
            hostile: false,
            wild: false,
            paused: false,
            lifecycle: Lifecycle::default(),
        };
        (stage, handle)
    }

    /// Negotiates these features of the device, and those of rings, of what is offered; or else `all` of the device, which go
    /// together.
    pub(crate) fn negotiate(&mut self, own: Features, all: Features) {
        let (offered, ring) = (self.host.offered(), self.rings.features());
        if !self.ask_for(offered & (own | ring)) {
            self.host.write_status(0);
            assert!(self.ask_for(offered & (all | ring)), "all that is offered can be taken");
        }
    }

    fn ask_for(&mut self, features: Features) -> bool {
        self.host.write_status(ACKNOWLEDGE);
        self.host.write_status(ACKNOWLEDGE | DRIVER);
        (0..4).for_each(|word| self.host.write_features(word, features.word(word)));
        self.host.write_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.negotiated = features;
        self.host.status() & FEATURES_OK != 0
    }

    /// Starts the device with so many queues.
    pub(crate) fn go(&mut self, queues: u16) {
        self.lanes = (0..queues).map(|index| Some(self.enable(index))).collect();
        self.host.write_status(self.host.status() | DRIVER_OK);
        self.runtime.poll();
    }

    pub(super) fn enable(&self, index: u16) -> Lane<R, S> {
        let size = self.rings.size();
        let driver = R::new(&self.memory, size, self.negotiated);
        self.host.configure_queue(index, |config| {
            config.size = size;
            (config.descriptor_area, config.driver_area, config.device_area) = driver.areas();
        });
        self.host.enable_queue(index);
        assert!(self.host.queue(index).is_some_and(|queue| queue.is_enabled()), "queue {index} is enabled");
        Lane { driver, out: HashMap::new() }
    }

    pub(crate) fn lane(&mut self, index: usize) -> Option<&mut Lane<R, S>> {
        self.lanes.get_mut(index).and_then(Option::as_mut)
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

    /// All chains that are with the device.
    pub(super) fn out(&self) -> Vec<&S> {
        self.lanes.iter().flatten().flat_map(|lane| lane.out.values()).collect()
    }

    /// Adds a chain, if there is room for it in the ring.
    pub(crate) fn add(&mut self, lane: usize, indirect: bool, chain: &[Buffer], sent: S, hostile: bool) -> bool {
        let size = usize::from(self.rings.size());
        let indirect = indirect && self.negotiated.contains(Features::INDIRECT_DESC) && chain.len() <= size;
        let wild = self.wild;
        let Some(lane) = self.lane(lane) else { return false };
        let added = match indirect {
            true => lane.driver.add_indirect(chain),
            false => lane.driver.add(chain),
        };
        let Some(id) = added else { return false };
        let before = lane.out.insert(id.into(), sent);
        assert!(before.is_none() || wild, "the driver has one chain of each name");
        self.hostile |= hostile;
        true
    }

    /// What came back in a lane, with the lengths of the answers; nothing of what a wild driver finds there.
    pub(crate) fn collect(&mut self, lane: usize) -> Vec<(S, u32)> {
        let wild = self.wild;
        let mut back = Vec::new();
        let Some(lane) = self.lane(lane) else { return back };
        // A driver that has written into its rings may find anything there.
        for _ in 0..256 {
            let Some(Used { id, len }) = lane.driver.used() else { break };
            let sent = lane.out.remove(&id);
            if wild {
                continue;
            }
            let sent = sent.expect("what comes back is with the device");
            assert!(u64::from(len) <= sent.room(), "{sent:?} was answered with a length of {len}");
            back.push((sent, len));
        }
        back
    }

    /// Keeps in mind what memory is now.
    pub(super) fn remember(&mut self) {
        let (top, mut before) = (self.top() as usize, std::mem::take(&mut self.before));
        self.copy(top, &mut before);
        self.before = before;
    }

    /// Memory is what it was, but for what the device may write.
    pub(super) fn compare(&mut self) {
        if self.wild {
            return;
        }
        let mut after = std::mem::take(&mut self.after);
        self.copy(self.before.len(), &mut after);
        self.after = after;
        if self.before == self.after {
            return;
        }
        let allowed: Vec<_> = self.lanes.iter().flatten().flat_map(Lane::allowed).collect();
        const STEP: usize = 64;
        for (block, (old, new)) in self.before.chunks(STEP).zip(self.after.chunks(STEP)).enumerate() {
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

    /// Copies memory up to `top`.
    fn copy(&self, top: usize, bytes: &mut Vec<u8>) {
        bytes.resize(top, 0);
        self.mmap.read_slice(bytes, GuestAddress(0)).expect("memory");
    }
}
