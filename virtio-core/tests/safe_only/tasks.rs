//! Devices and tasks that break their contracts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtio_core::device::ActivateError;
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver};
use virtio_core::{
    Activation, ConfigSpace, DeviceHost, DeviceType, Event, Features, InlineRuntime, Next, QueueTask, Quiesce, Runtime,
    Source, Sources, TaskContext, VirtioDevice, Virtqueue,
};

use crate::rig::{Memory, PLUGGED};

/// What a task does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    PanicsAtActivation,
    PanicsInSources,
    PanicsInRun,
    PanicsInQueues,
    PanicsInQuiesce,
    PanicsInDrop,
    /// The queue is nobody's business.
    HidesItsQueue,
    /// Nothing ever comes to rest.
    NeverRests,
    /// The queue lives on after the task.
    KeepsItsQueue,
    /// Waits for files that are none.
    WaitsForAnything,
    /// Has more sources than are told apart.
    HasManySources,
}

const ALL: [Wrong; 11] = [
    Wrong::PanicsAtActivation,
    Wrong::PanicsInSources,
    Wrong::PanicsInRun,
    Wrong::PanicsInQueues,
    Wrong::PanicsInQuiesce,
    Wrong::PanicsInDrop,
    Wrong::HidesItsQueue,
    Wrong::NeverRests,
    Wrong::KeepsItsQueue,
    Wrong::WaitsForAnything,
    Wrong::HasManySources,
];

type Kept = Arc<Mutex<Vec<Virtqueue>>>;

struct Device {
    wrong: Wrong,
    kept: Kept,
}

struct Task {
    wrong: Wrong,
    queue: Option<Virtqueue>,
    kept: Kept,
}

impl VirtioDevice for Device {
    fn device_type(&self) -> DeviceType {
        DeviceType::ENTROPY
    }

    fn features(&self) -> Features {
        Features::NONE
    }

    fn queue_sizes(&self) -> &[u16] {
        &[16]
    }

    fn config(&self) -> ConfigSpace {
        ConfigSpace::new(Vec::new())
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        assert_ne!(self.wrong, Wrong::PanicsAtActivation, "on purpose");
        let queue = |setup| Some(Virtqueue::new(setup).unwrap());
        let task = |setup| Box::new(Task { wrong: self.wrong, queue: queue(setup), kept: self.kept.clone() });
        Ok(activation.queues.into_iter().map(|setup| task(setup) as Box<dyn QueueTask>).collect())
    }

    fn reset(&mut self) {}
}

/// Says that it is a file, and may be another one the next time.
#[cfg(unix)]
struct Liar(std::sync::atomic::AtomicI32);

#[cfg(unix)]
impl std::os::fd::AsRawFd for Liar {
    fn as_raw_fd(&self) -> i32 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }
}

impl QueueTask for Task {
    fn sources(&self, sources: &mut Sources) {
        assert_ne!(self.wrong, Wrong::PanicsInSources, "on purpose");
        #[cfg(unix)]
        if self.wrong == Wrong::WaitsForAnything {
            for file in [-1, 1_000_000, i32::MIN] {
                sources.add(Source::Readable(Arc::new(Liar(file.into()))), 0);
            }
        }
        if self.wrong == Wrong::HasManySources {
            for token in 0..=u8::MAX {
                sources.add(Source::Event(Event::new().unwrap()), token);
            }
        }
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        let _ = (cx.is_ready(63), cx.is_ready(64), cx.is_ready(u8::MAX));
        let Some(queue) = &mut self.queue else { return Next::Done };
        while let Some(chain) = queue.pop() {
            assert_ne!(self.wrong, Wrong::PanicsInRun, "on purpose");
            let len = chain.writer().remaining();
            let _ = chain.writer().write(&vec![1; len]);
            chain.complete(len as u32);
        }
        cx.sources_changed();
        Next::Wait
    }

    fn queues(&mut self) -> &mut [Virtqueue] {
        assert_ne!(self.wrong, Wrong::PanicsInQueues, "on purpose");
        if self.wrong == Wrong::HidesItsQueue { &mut [] } else { self.queue.as_mut_slice() }
    }

    fn quiesce(&mut self, _queue: u16, _how: Quiesce) -> Next {
        assert_ne!(self.wrong, Wrong::PanicsInQuiesce, "on purpose");
        if self.wrong == Wrong::NeverRests { Next::Wait } else { Next::Done }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.wrong == Wrong::KeepsItsQueue {
            self.kept.lock().unwrap().extend(self.queue.take());
        }
        if self.wrong == Wrong::PanicsInDrop && !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

/// Brings a device to life again and again, has it work, and takes it away while its task lives.
fn run(wrong: Wrong, runtime: Arc<dyn Runtime>, poll: impl Fn()) {
    let (memory, kept) = (Memory::new(), Kept::default());
    memory.plug();
    let builder = DeviceHost::builder(Device { wrong, kept: kept.clone() }, memory.ram().clone(), runtime);
    let builder = builder.reset_wait(Duration::from_millis(1)).reset_limit(Duration::from_millis(2));
    let host = builder.build(Features::NONE, Arc::new(())).unwrap();
    // What a task panics with reaches the caller of a runtime that runs in its callers.
    let quietly = |call: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(call)));
    for round in 0..3 {
        let mut driver = SplitDriver::new(&memory.test, 16, Features::NONE);
        driver.add(&[Buffer::writable(PLUGGED, 0x400)]);
        let _ = driver.publish();
        quietly(&|| live(&host, &driver));
        quietly(&poll);
        host.notify(0);
        quietly(&poll);
        if wrong == Wrong::HasManySources {
            // One of them does its work all the same. A reset before that may have taken longer than a write waits.
            assert!(round > 0 || host.status() & DRIVER_OK != 0);
            while host.status() & DRIVER_OK != 0 && driver.used().is_none() {
                poll();
            }
        }
        quietly(&|| drop(host.pause(Duration::from_millis(1))));
        quietly(&poll);
        quietly(&|| host.resume());
        quietly(&|| host.reset_queue(0));
        quietly(&poll);
        quietly(&|| host.write_status(0));
        // A control write that comes before the end of the reset may be dropped.
        while wrong == Wrong::HasManySources && host.status() != 0 {
            poll();
            std::thread::yield_now();
        }
    }
    quietly(&|| drop(host.save()));
    let host = Mutex::new(Some(host));
    quietly(&|| drop(host.lock().unwrap().take()));
    let barrier = memory.unplug();
    quietly(&poll);
    for queue in kept.lock().unwrap().iter_mut() {
        assert_eq!(wrong, Wrong::KeepsItsQueue);
        let _ = (queue.arm(), queue.pop().map(|chain| chain.complete(1)));
        queue.start();
        queue.publish();
    }
    if !matches!(wrong, Wrong::NeverRests | Wrong::HidesItsQueue) {
        assert!(barrier.wait(Duration::from_secs(60)), "{wrong:?}: nothing is left that holds memory");
    }
}

fn live(host: &DeviceHost, driver: &SplitDriver) {
    host.write_status(ACKNOWLEDGE | DRIVER);
    host.write_features(1, Features::VERSION_1.word(1));
    host.write_status(FEATURES_OK);
    host.configure_queue(0, |registers| {
        registers.size = driver.size();
        (registers.descriptor_area, registers.driver_area, registers.device_area) = driver.areas();
    });
    host.enable_queue(0);
    host.write_status(DRIVER_OK);
}

#[test]
fn wrong_tasks_in_their_caller() {
    for wrong in ALL {
        let runtime = InlineRuntime::new();
        run(wrong, Arc::new(runtime.clone()), || {
            runtime.poll();
        });
    }
}

#[test]
#[cfg(all(feature = "eventfd", target_os = "linux"))]
fn wrong_tasks_on_threads() {
    for wrong in ALL {
        run(wrong, Arc::new(virtio_core::ThreadRuntime::new()), || {});
        run(wrong, Arc::new(virtio_core::SharedRuntime::new(1).unwrap()), || {});
    }
}
