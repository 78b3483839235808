//! Queues that are reset and enabled again under load, between threads.
#![cfg(all(feature = "eventfd", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use virtio_core::host::QueueActivity;
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::testing::suite::USUAL;
use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestDevice, TestMemory};
use virtio_core::{DeviceHost, Features, HostBuilder, Runtime, SharedRuntime, ThreadRuntime};

const FEATURES: Features = Features::from_bits(USUAL.bits() | Features::RING_RESET.bits());
const IN_ORDER: Features = Features::from_bits(FEATURES.bits() | Features::IN_ORDER.bits());
const ROUNDS: u32 = 3000;

/// Memory for the data of a queue's requests, used over and over.
struct Place {
    memory: TestMemory,
    from: u64,
    to: u64,
}

impl Place {
    fn new(memory: &TestMemory) -> Place {
        let memory = memory.clone();
        Place { from: memory.alloc(8 * 64, 8), to: memory.alloc(8 * 64, 8), memory }
    }

    /// Request `number` of a ring, which has eight bytes of its own.
    fn add(&self, driver: &mut impl RingDriver, number: u16, data: u64) -> bool {
        let at = 8 * u64::from(number);
        self.memory.write(self.from + at, &data.to_le_bytes());
        self.memory.write(self.to + at, &[0; 8]);
        let buffers = [Buffer::readable(self.from + at, 8), Buffer::writable(self.to + at, 8)];
        driver.add(&buffers).is_some()
    }

    fn answer(&self, number: u16) -> u64 {
        let bytes = self.memory.bytes(self.to + 8 * u64::from(number), 8);
        u64::from_le_bytes(bytes.try_into().unwrap())
    }
}

/// A device that agrees on features, and waits for its queues.
fn live(queues: usize, memory: &TestMemory, runtime: Arc<dyn Runtime>, features: Features) -> DeviceHost {
    let (device, _) = TestDevice::new(queues);
    let builder = DeviceHost::builder(device, memory.ram().clone(), runtime).with(features - FEATURES);
    let host = builder.reset_wait(Duration::from_secs(60)).build(HostBuilder::OF_TRANSPORTS, Arc::new(())).unwrap();
    host.write_status(ACKNOWLEDGE | DRIVER);
    for word in 0..4 {
        host.write_features(word, features.word(word));
    }
    host.write_status(FEATURES_OK);
    assert_eq!(host.status() & FEATURES_OK, FEATURES_OK);
    host
}

/// Sets up a queue and enables it.
fn enable(host: &DeviceHost, queue: u16, driver: &impl RingDriver) {
    host.configure_queue(queue, |config| {
        config.size = driver.size();
        (config.descriptor_area, config.driver_area, config.device_area) = driver.areas();
    });
    host.enable_queue(queue);
    assert!(host.queue(queue).unwrap().is_enabled());
}

/// Makes so many requests available.
fn submit(host: &DeviceHost, queue: u16, place: &Place, driver: &mut impl RingDriver, count: u16, data: u64) {
    for number in 0..count {
        assert!(place.add(driver, number, data + u64::from(number)));
    }
    if driver.publish() {
        host.notify(queue);
    }
}

/// Waits for as many answers, which all have to be right.
fn receive(host: &DeviceHost, place: &Place, driver: &mut impl RingDriver, count: u16, data: u64) {
    let mut received = 0;
    while received < count {
        match driver.used() {
            Some(used) => {
                assert_eq!(used.len, 8);
                received += 1;
            }
            None => {
                assert_eq!(host.status() & NEEDS_RESET, 0);
                std::thread::yield_now();
            }
        }
    }
    for number in 0..count {
        assert_eq!(place.answer(number), data + u64::from(number));
    }
}

/// Has the other threads end, also where this one fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

// spec: BASIC-VQRESET-02 BASIC-VQRESET-03 DRV-VQRESET-01
#[test]
fn basic_vqreset_01_split_queues_are_reset_under_load() {
    under_load::<SplitDriver>(Arc::new(ThreadRuntime::new()), FEATURES);
    under_load::<SplitDriver>(Arc::new(SharedRuntime::new(1).unwrap()), IN_ORDER);
}

// spec: BASIC-VQRESET-02 BASIC-VQRESET-03 DRV-VQRESET-01
#[test]
fn basic_vqreset_01_packed_queues_are_reset_under_load() {
    under_load::<PackedDriver>(Arc::new(ThreadRuntime::new()), IN_ORDER);
    under_load::<PackedDriver>(Arc::new(SharedRuntime::new(1).unwrap()), FEATURES);
}

fn under_load<D: RingDriver>(runtime: Arc<dyn Runtime>, features: Features) {
    let features = features | D::LAYOUT;
    let memory = TestMemory::new(64 << 20);
    let host = live(2, &memory, runtime, features);
    let places = [Place::new(&memory), Place::new(&memory)];
    let [first, mut steady] = [0, 1].map(|_| D::new(&memory, 64, features));
    enable(&host, 0, &first);
    enable(&host, 1, &steady);
    host.write_status(DRIVER_OK);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        // The other queue of the same task goes on all the time, and loses nothing.
        scope.spawn(|| {
            let mut data = 1 << 40;
            while !done.load(SeqCst) {
                submit(&host, 1, &places[1], &mut steady, 16, data);
                receive(&host, &places[1], &mut steady, 16, data);
                data += 16;
            }
        });
        // Another processor, which rings and reads, and writes what has no effect.
        scope.spawn(|| {
            while !done.load(SeqCst) {
                host.notify(0);
                assert!(host.queue(0).is_some());
                host.reset_queue(7);
                host.enable_queue(7);
                host.notify(1);
                std::thread::yield_now();
            }
        });
        load(&host, &memory, &places[0], first, features);
    });
    assert_eq!(host.status() & NEEDS_RESET, 0);
    host.write_status(0);
    assert_eq!(host.status(), 0);
    assert!(memory.ram().set_log(None).wait(Duration::from_secs(60)), "nobody holds on to guest memory");
}

/// Resets queue 0 again and again, with requests in flight, and enables it in other places at other sizes.
fn load<D: RingDriver>(host: &DeviceHost, memory: &TestMemory, place: &Place, mut driver: D, features: Features) {
    for round in 0..ROUNDS {
        let data = u64::from(round) << 20;
        let count = (driver.size() / 2).min(32);
        submit(host, 0, place, &mut driver, count, data);
        // In two of three rounds the reset comes at any point of the work.
        if round % 3 == 0 {
            receive(host, place, &mut driver, count, data);
        }
        host.reset_queue(0);
        assert_eq!(host.queue(0).unwrap().activity, QueueActivity::Off);
        let before = contents(memory, &driver);
        let next = D::new(memory, [64, 4, 256, 2, 128, 16][round as usize % 6], features);
        enable(host, 0, &next);
        let mut old = std::mem::replace(&mut driver, next);
        assert_eq!(contents(memory, &old), before, "round {round}: nothing of the old ring was written");
        // What the driver does with the old ring is nobody's business.
        old.break_ring();
        let broken = contents(memory, &old);
        host.notify(0);
        submit(host, 0, place, &mut driver, 1, data);
        receive(host, place, &mut driver, 1, data);
        assert_eq!(contents(memory, &old), broken, "round {round}: nor after that");
    }
}

/// All that is in the ring's three areas.
fn contents<D: RingDriver>(memory: &TestMemory, driver: &D) -> [Vec<u8>; 3] {
    let (descriptors, driver_area, device_area) = driver.areas();
    let size = usize::from(driver.size());
    let (driver_len, device_len) =
        if D::LAYOUT.contains(Features::RING_PACKED) { (4, 4) } else { (6 + 2 * size, 6 + 8 * size) };
    [(descriptors, 16 * size), (driver_area, driver_len), (device_area, device_len)]
        .map(|(area, len)| memory.bytes(area, len))
}

/// Two processors that reset and enable one queue against each other: whoever comes second is ignored, and nothing
/// hangs.
#[test]
fn drv_pci_11_processors_that_get_in_each_others_way_do_no_harm() {
    against_each_other::<SplitDriver>();
    against_each_other::<PackedDriver>();
}

fn against_each_other<D: RingDriver>() {
    let features = FEATURES | D::LAYOUT;
    let memory = TestMemory::new(1 << 20);
    let host = live(1, &memory, Arc::new(ThreadRuntime::new()), features);
    let rings = [0, 1].map(|_| D::new(&memory, 16, features));
    enable(&host, 0, &rings[0]);
    host.write_status(DRIVER_OK);
    std::thread::scope(|scope| {
        for areas in rings.each_ref().map(D::areas) {
            let host = &host;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    host.reset_queue(0);
                    host.configure_queue(0, |config| {
                        config.size = 16;
                        (config.descriptor_area, config.driver_area, config.device_area) = areas;
                    });
                    host.enable_queue(0);
                    host.notify(0);
                }
            });
        }
    });
    host.reset_queue(0);
    let place = Place::new(&memory);
    let mut driver = D::new(&memory, 16, features);
    enable(&host, 0, &driver);
    submit(&host, 0, &place, &mut driver, 8, 77);
    receive(&host, &place, &mut driver, 8, 77);
}
