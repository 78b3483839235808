#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod ends;
mod idle;
mod inline;
mod lifecycle;
mod panics;
mod sources;
mod wake_ups;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::*;
use crate::host::DeviceHost;
use crate::host::TransportHooks;
use crate::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use crate::interrupt::Interrupt;
use crate::task::{Next, Source, TaskControl};
use crate::testing::{Buffer, RingDriver, SplitDriver, TestDevice, TestHandle, TestMemory};
use crate::{Event, Features, QueueTask, Sources, TaskContext, VirtioDevice, Virtqueue};

/// Longer than anything takes.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The runtimes that have threads, and one in a loop on a thread of the test's.
fn runtimes() -> [Arc<dyn Runtime>; 4] {
    [Arc::new(ThreadRuntime::named("test")), shared(1), shared(2), Arc::new(Looped::new())]
}

/// A loop as a VMM may have one.
struct Looped {
    runtime: LoopRuntime,
    quit: Event,
}

impl Looped {
    fn new() -> Looped {
        let (runtime, quit) = (LoopRuntime::new().unwrap(), event());
        let epoll = epoll_of(&[&runtime, &quit]);
        let (mine, quits) = (runtime.clone(), quit.clone());
        std::thread::spawn(move || {
            while quits.take() == 0 {
                epoll.wait(-1, &mut [EpollEvent::default()]).unwrap();
                mine.turn();
            }
        });
        Looped { runtime, quit }
    }
}

impl Runtime for Looped {
    fn spawn(&self, runner: crate::TaskRunner) -> io::Result<()> {
        self.runtime.spawn(runner)
    }

    fn assist(&self) {
        self.runtime.assist();
    }
}

impl Drop for Looped {
    fn drop(&mut self) {
        self.quit.signal();
    }
}

fn shared(threads: usize) -> Arc<SharedRuntime> {
    Arc::new(SharedRuntime::named("test", threads).unwrap())
}

/// Interrupts as events that a driver thread can wait for.
struct Interrupted(Event);

impl TransportHooks for Interrupted {
    fn queue_interrupt(&self, _index: u16) -> Arc<dyn Interrupt> {
        Arc::new(self.0.clone())
    }

    fn config_interrupt(&self) {}

    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {
        self.0.take();
    }
}

/// A device and its driver.
pub(super) struct Live {
    pub(super) host: DeviceHost,
    driver: SplitDriver,
    memory: TestMemory,
    interrupt: Event,
}

impl Live {
    /// A live device of one queue.
    fn new(
        device: impl VirtioDevice + 'static,
        runtime: Arc<dyn Runtime>,
        features: Features,
        memory: TestMemory,
    ) -> Live {
        let interrupt = Event::new().unwrap();
        let builder = DeviceHost::builder(device, memory.ram().clone(), runtime);
        let host = builder.reset_wait(LIMIT).build(Features::NONE, Arc::new(Interrupted(interrupt.clone()))).unwrap();
        let driver = SplitDriver::new(&memory, 64, features);
        let mut live = Live { host, driver, memory, interrupt };
        live.start(features);
        live
    }

    /// From reset to DRIVER_OK, with new rings.
    fn start(&mut self, features: Features) {
        let Live { host, driver, memory, .. } = self;
        host.write_status(ACKNOWLEDGE | DRIVER);
        for word in 0..4 {
            host.write_features(word, features.word(word));
        }
        host.write_status(FEATURES_OK);
        *driver = SplitDriver::new(memory, 64, features);
        host.configure_queue(0, |queue| {
            queue.size = 64;
            (queue.descriptor_area, queue.driver_area, queue.device_area) = driver.areas();
        });
        host.enable_queue(0);
        host.write_status(DRIVER_OK);
    }

    /// Sends four bytes, with four to be written.
    pub(super) fn send(&mut self) {
        let (from, to) = (self.memory.place(b"data"), self.memory.alloc(4, 1));
        self.driver.add(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]);
        self.driver.kick(|| self.host.notify(0));
    }

    /// Waits for the answer to what was sent.
    pub(super) fn answer(&mut self) {
        assert!(wait(&self.interrupt), "an interrupt comes");
        assert_eq!(self.driver.used().map(|used| used.len), Some(4));
    }
}

pub(super) fn live(runtime: Arc<dyn Runtime>, features: Features) -> (Live, TestHandle) {
    let (device, handle) = TestDevice::new(1);
    (Live::new(device, runtime, features, TestMemory::new(1 << 20)), handle)
}

/// What waits until one of the files is readable.
pub(super) fn epoll_of(files: &[&dyn AsRawFd]) -> Epoll {
    let epoll = Epoll::new().unwrap();
    for file in files {
        epoll.ctl(ControlOperation::Add, file.as_raw_fd(), EpollEvent::new(EventSet::IN, 0)).unwrap();
    }
    epoll
}

/// Waits for an event without sleeping on time: until it comes, or for a minute.
fn wait(event: &Event) -> bool {
    let count = epoll_of(&[event]).wait(60_000, &mut [EpollEvent::default()]).unwrap();
    event.take();
    count == 1
}

/// Looks until it is true.
fn until(mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "it happens within a minute");
        std::thread::yield_now();
    }
}

/// A task without queues that does what a test says.
pub(super) struct Script<R> {
    pub(super) sources: Vec<Source>,
    pub(super) run: R,
}

impl<R: FnMut(&mut TaskContext) -> Next + Send> QueueTask for Script<R> {
    fn sources(&self, sources: &mut Sources) {
        for (token, source) in (0..).zip(&self.sources) {
            sources.add(source.clone(), token);
        }
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        (self.run)(cx)
    }

    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut []
    }
}

/// Whether a task is run because it starts: for whatever there could be.
pub(super) fn starts(cx: &TaskContext) -> bool {
    cx.is_ready(60) // of no source
}

/// A task in the hands of a runtime, and the host's end of it; `lost` is signalled where it ends unasked.
pub(super) fn runner(task: impl QueueTask + 'static) -> (crate::TaskRunner, Arc<TaskControl>, Event) {
    let (control, lost) = (Arc::new(TaskControl::new(Event::new().unwrap())), Event::new().unwrap());
    let told = lost.clone();
    (crate::TaskRunner::new(Box::new(task), control.clone(), move || told.signal(), false), control, lost)
}

/// Such a task, spawned.
fn spawn(
    runtime: &dyn Runtime,
    sources: Vec<Source>,
    run: impl FnMut(&mut TaskContext) -> Next + Send + 'static,
) -> (Arc<TaskControl>, Event) {
    let (runner, control, lost) = runner(Script { sources, run });
    runtime.spawn(runner).unwrap();
    (control, lost)
}

pub(super) fn event() -> Event {
    Event::new().unwrap()
}
