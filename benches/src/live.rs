//! Devices that are driven: behind a host, stepped as a runtime does.

use std::io;
use std::sync::{Arc, Mutex};

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use virtio_core::task::{Ready, TaskRunner};
use virtio_core::testing::TestMemory;
use virtio_core::{DeviceHost, Features, Runtime, Source, VirtioDevice};

use crate::queues::{Layout, SIZE};

/// A queue that the driver enables.
pub(crate) struct Enabled {
    /// Its number.
    pub(crate) index: u16,
    /// Its descriptor, driver and device areas.
    pub(crate) areas: (u64, u64, u64),
}

/// What drivers negotiate of rings.
pub(crate) fn ring_features(layout: Layout) -> Features {
    let features = Features::VERSION_1 | Features::INDIRECT_DESC | Features::EVENT_IDX;
    match layout {
        Layout::Split => features,
        Layout::Packed => features | Features::RING_PACKED,
    }
}

/// A live device with these queues, and the tasks that serve them. `own`: what its driver negotiates besides what is of rings.
pub(crate) fn live(
    device: impl VirtioDevice + 'static,
    layout: Layout,
    own: Features,
    memory: &TestMemory,
    queues: &[Enabled],
) -> (DeviceHost, Vec<TaskRunner>) {
    let hand = Arc::new(ByHand::default());
    let host = DeviceHost::builder(device, memory.ram().clone(), hand.clone())
        .with(ring_features(layout) & Features::RING_PACKED)
        .build(Features::NONE, Arc::new(()))
        .expect("a host");
    host.write_status(ACKNOWLEDGE | DRIVER);
    let wanted = ring_features(layout) | own;
    for word in 0..2 {
        host.write_features(word, wanted.word(word));
    }
    host.write_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    for Enabled { index, areas } in queues {
        host.configure_queue(*index, |config| {
            config.size = SIZE;
            (config.descriptor_area, config.driver_area, config.device_area) = *areas;
        });
        host.enable_queue(*index);
    }
    host.write_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    let runners = std::mem::take(&mut *hand.0.lock().expect("nobody panics with it"));
    (host, runners)
}

/// Runs a task once, as a runtime does that was woken by the doorbell at first, and later by anything.
#[inline(never)]
pub(crate) fn step(runner: &mut TaskRunner, first: bool) {
    let _ = runner.step(if first { Ready::NONE.with(0) } else { Ready::ALL });
}

/// The same, where files are among what woke the runtime at first.
#[inline(never)]
pub(crate) fn step_with_files(runner: &mut TaskRunner, first: bool) {
    let mut ready = Ready::ALL;
    if first {
        let files = runner.sources().iter().enumerate().filter(|(_, source)| matches!(source, Source::Readable(_)));
        ready = files.fold(Ready::NONE.with(0), |ready, (place, _)| ready.with(place));
    }
    let _ = runner.step(ready);
}

/// A device and its task, which goes first: the device would wait for it.
pub(crate) struct Alive {
    pub(crate) runner: TaskRunner,
    pub(crate) host: DeviceHost,
}

/// Hands out the tasks, to be run by whoever measures.
#[derive(Default)]
struct ByHand(Mutex<Vec<TaskRunner>>);

impl Runtime for ByHand {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        self.0.lock().expect("nobody panics with it").push(runner);
        Ok(())
    }

    fn assist(&self) {}
}
