//! An entropy device with a driver's side in front of it.

use std::sync::Arc;

use custom_device::Entropy;
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{DeviceHost, Features, InlineRuntime, Runtime};

use crate::front::Front;
use crate::source::Script;

/// The device and all that is around it.
pub(crate) struct Rig<F, D> {
    pub(crate) front: F,
    pub(crate) driver: D,
    pub(crate) memory: TestMemory,
    pub(crate) runtime: InlineRuntime,
}

/// A device on `source` behind a front.
pub(crate) fn connect<F: Front, D: RingDriver>(
    source: &Script,
    memory: &TestMemory,
    runtime: impl Runtime + 'static,
) -> F {
    let device = Entropy::new(source.clone());
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime));
    F::connect(host.with(D::LAYOUT | Features::IN_ORDER))
}

/// What a driver does, up to DRIVER_OK, with its queue.
pub(crate) fn start<F: Front, D: RingDriver>(front: &F, memory: &TestMemory) -> D {
    start_with(front, memory, F::RINGS)
}

/// The same, with these features of rings.
pub(crate) fn start_with<F: Front, D: RingDriver>(front: &F, memory: &TestMemory, features: Features) -> D {
    let features = Features::VERSION_1 | D::LAYOUT | features;
    front.set_status(ACKNOWLEDGE | DRIVER);
    for word in 0..4 {
        front.accept(word, features.word(word));
    }
    front.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    let driver = D::new(memory, front.host().queue_max_size(0), features);
    front.enable(driver.size(), driver.areas());
    front.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_eq!(front.status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    driver
}

impl<F: Front, D: RingDriver> Rig<F, D> {
    /// A live device.
    pub(crate) fn new(source: &Script) -> Rig<F, D> {
        let (memory, runtime) = (TestMemory::new(32 << 20), InlineRuntime::new());
        let front = connect::<F, D>(source, &memory, runtime.clone());
        let driver = start(&front, &memory);
        runtime.poll();
        Rig { front, driver, memory, runtime }
    }

    /// Room for `len` bytes, in new memory.
    pub(crate) fn room(&self, len: u32) -> Buffer {
        Buffer::writable(self.memory.alloc(len.into(), 1), len)
    }

    /// Makes a chain available, and rings if the device wants that.
    pub(crate) fn ask(&mut self, chain: &[Buffer]) {
        self.driver.add(chain).expect("room in the ring");
        self.kick();
    }

    pub(crate) fn kick(&mut self) {
        self.driver.kick(|| self.front.notify());
        self.runtime.poll();
    }

    /// Rings whatever the device wants.
    pub(crate) fn ring(&mut self) {
        self.front.notify();
        self.runtime.poll();
    }

    /// The length of the next chain that came back.
    pub(crate) fn used(&mut self) -> Option<u32> {
        self.driver.used().map(|used| used.len)
    }

    pub(crate) fn answer(&mut self, chain: &[Buffer]) -> Option<u32> {
        self.ask(chain);
        self.used()
    }

    pub(crate) fn bytes(&self, buffer: &Buffer) -> Vec<u8> {
        self.memory.bytes(buffer.address, buffer.len as usize)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.front.status() & NEEDS_RESET != 0
    }
}
