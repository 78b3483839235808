//! Queues that are reset by themselves: what only the embedder, or a device, can see.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::io;
use std::sync::{Arc, Mutex};

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use virtio_core::host::{HostError, QueueActivity};
use virtio_core::ring::WrongQueue;
use virtio_core::task::Ready;
use virtio_core::testing::suite::USUAL;
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestDevice, TestMemory};
use virtio_core::{DeviceHost, Features, HostBuilder, InlineRuntime, Runtime, TaskRunner};
use virtio_core::{QueueSetup, Virtqueue};

#[macro_use]
mod both_layouts;

both_layouts! {
    basic_vqreset_02_tickets_from_before_are_refused,
    basic_vqreset_01_an_idle_queue_has_no_ring,
}

fn builder(memory: &TestMemory, runtime: Arc<dyn Runtime>) -> HostBuilder {
    let (device, _) = TestDevice::new(1);
    DeviceHost::builder(device, memory.ram().clone(), runtime)
}

fn enable(host: &DeviceHost, driver: &SplitDriver) -> bool {
    host.configure_queue(0, |config| {
        config.size = driver.size();
        (config.descriptor_area, config.driver_area, config.device_area) = driver.areas();
    });
    host.enable_queue(0);
    host.queue(0).unwrap().is_enabled()
}

/// The device may keep tickets longer than the queue lives; what they stand for is not the new queue's.
fn basic_vqreset_02_tickets_from_before_are_refused<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 16, Features::NONE);
    let mut queue = Virtqueue::new(driver.setup()).unwrap();
    driver.add(&[Buffer::writable(memory.alloc(4, 1), 4)]).unwrap();
    driver.show();
    let ticket = queue.pop().unwrap().into_ticket();
    let next = D::new(&memory, 16, Features::NONE);
    queue = Virtqueue::new(next.setup()).unwrap();
    let WrongQueue(_ticket) = queue.complete(ticket, 4).unwrap_err();
    queue.publish();
    assert_eq!((queue.in_flight(), driver.waiting(), next.waiting()), (0, 0, 0));
    assert_eq!(queue.position(), next.position(false));
}

/// What a restored device gets for a queue that was reset and not enabled since.
fn basic_vqreset_01_an_idle_queue_has_no_ring<D: RingDriver>() {
    let memory = TestMemory::new(1 << 16);
    let mut driver = D::new(&memory, 16, USUAL);
    driver.add(&[Buffer::writable(memory.alloc(4, 1), 4)]).unwrap();
    driver.show();
    let (_, _, device_area) = driver.areas();
    let before = memory.bytes(device_area, 4);
    for features in [USUAL | D::LAYOUT, D::LAYOUT] {
        let mut setup: QueueSetup = driver.setup();
        (setup.awaits_enable, setup.features) = (true, features);
        // No place at all, and one that there is.
        for area in [u64::MAX, setup.device_area] {
            setup.device_area = area;
            let mut queue = Virtqueue::new(setup.clone()).unwrap();
            queue.start();
            assert!(queue.pop().is_none() && !queue.arm());
            queue.disarm();
            queue.publish();
            assert_eq!(queue.fault(), None);
            let barrier = memory.ram().set_log(None);
            assert!(!queue.refresh_memory() && barrier.is_complete());
        }
    }
    assert_eq!((driver.waiting(), memory.bytes(device_area, 4)), (0, before));
}

#[test]
fn drv_vqreset_02_a_queue_whose_task_is_lost_is_reset_but_not_enabled_again() {
    /// Loses every task at once.
    struct Careless;
    impl Runtime for Careless {
        fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
            drop(runner);
            Ok(())
        }

        fn assist(&self) {}
    }
    let memory = TestMemory::new(1 << 16);
    let host = builder(&memory, Arc::new(Careless)).build(HostBuilder::OF_TRANSPORTS, Arc::new(())).unwrap();
    host.write_status(ACKNOWLEDGE | DRIVER);
    host.write_features(1, 1 | 1 << 8);
    host.write_status(FEATURES_OK);
    assert!(enable(&host, &SplitDriver::new(&memory, 16, Features::NONE)));
    host.write_status(DRIVER_OK);
    assert_eq!(host.status() & NEEDS_RESET, NEEDS_RESET);
    for _ in 0..2 {
        host.reset_queue(0);
        assert_eq!(host.queue(0).unwrap().activity, QueueActivity::Off);
        assert!(!enable(&host, &SplitDriver::new(&memory, 16, Features::NONE)));
    }
    assert!(memory.ram().set_log(None).is_complete(), "nobody holds on to guest memory");
    host.write_status(0);
    assert_eq!(host.status(), 0);
}

#[test]
fn a_task_that_is_lost_takes_a_queue_with_it_that_it_has_not_seen() {
    /// Runs its task when somebody waits, until it is taken away.
    #[derive(Clone, Default)]
    struct Fragile(Arc<Mutex<Option<TaskRunner>>>);
    impl Runtime for Fragile {
        fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
            *self.0.lock().unwrap() = Some(runner);
            Ok(())
        }

        fn assist(&self) {
            if let Some(runner) = &mut *self.0.lock().unwrap() {
                let _ = runner.step(Ready::ALL);
            }
        }
    }
    let memory = TestMemory::new(1 << 16);
    let runtime = Fragile::default();
    let host = builder(&memory, Arc::new(runtime.clone())).build(HostBuilder::OF_TRANSPORTS, Arc::new(())).unwrap();
    host.write_status(ACKNOWLEDGE | DRIVER);
    host.write_features(1, 1 | 1 << 8);
    host.write_status(FEATURES_OK);
    let driver = SplitDriver::new(&memory, 16, Features::NONE);
    assert!(enable(&host, &driver));
    host.write_status(DRIVER_OK);
    host.reset_queue(0);
    assert!(enable(&host, &driver));
    drop(runtime.0.lock().unwrap().take());
    assert_eq!(host.status() & NEEDS_RESET, NEEDS_RESET);
    assert!(memory.ram().set_log(None).is_complete(), "nobody holds on to guest memory");
}

// spec: BASIC-FEAT-01
#[test]
fn basic_feat_04_only_what_queues_understand_is_offered() {
    let memory = TestMemory::new(1 << 16);
    let builder = || builder(&memory, Arc::new(InlineRuntime::new()));
    let rings = Features::INDIRECT_DESC | Features::EVENT_IDX | Features::RING_RESET;
    let offered = |builder: HostBuilder| builder.build(HostBuilder::OF_TRANSPORTS, Arc::new(())).unwrap().offered();
    let usual = offered(builder());
    assert_eq!(usual - TestDevice::ALPHA - TestDevice::BETA, Features::VERSION_1 | rings);
    let more = Features::NOTIFICATION_DATA | Features::NOTIF_CONFIG_DATA;
    assert_eq!(offered(builder().with(more)), usual | more);
    assert_eq!(offered(builder().with(more).without(more | Features::RING_RESET)), usual - Features::RING_RESET);
    assert_eq!(offered(builder().with(TestDevice::ALPHA | rings)), usual, "they are anyway");
    for bad in [Features::bit(5), Features::SUSPEND, Features::ADMIN_VQ, Features::ACCESS_PLATFORM] {
        let refused = builder().with(bad | more).build(HostBuilder::OF_TRANSPORTS, Arc::new(()));
        assert!(matches!(refused, Err(HostError::Features(features)) if features == bad));
    }
    let refused = builder().with(more).build(Features::RING_RESET, Arc::new(()));
    assert!(matches!(refused, Err(HostError::Features(features)) if features == more));
    let unable = builder().build(Features::NONE, Arc::new(())).unwrap().offered();
    assert_eq!(unable, usual - Features::RING_RESET);
    assert_eq!(offered(builder().without(TestDevice::ALPHA)) & (TestDevice::ALPHA | TestDevice::BETA), Features::NONE);
}
