#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::host::DeviceHost;
use crate::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use crate::interrupt::{Interrupt, Interrupts};
use crate::task::{Command, Next, Outcome, Ready, Source, TaskControl};
use crate::testing::suite::USUAL;
use crate::testing::{Buffer, SplitDriver, TestDevice, TestHandle, TestMemory};
use crate::{Event, Features, QueueTask, Sources, TaskContext, Virtqueue};

/// Interrupts as events that a driver thread can wait for.
struct Events(Event);

impl Interrupts for Events {
    fn queue(&self, _index: u16) -> Arc<dyn Interrupt> {
        Arc::new(self.0.clone())
    }

    fn config(&self) {}

    fn reset(&self) {
        self.0.take();
    }
}

fn live(runtime: Arc<dyn Runtime>, features: Features) -> (DeviceHost, TestHandle, SplitDriver, TestMemory, Event) {
    let memory = TestMemory::new(1 << 20);
    let (device, handle) = TestDevice::new(1);
    let interrupt = Event::new().unwrap();
    let builder = DeviceHost::builder(device).memory(memory.ram().clone()).runtime(runtime);
    let host = builder.reset_wait(Duration::from_secs(60)).build(Arc::new(Events(interrupt.clone()))).unwrap();
    host.write_status(ACKNOWLEDGE | DRIVER);
    for word in 0..4 {
        host.write_features(word, features.word(word));
    }
    host.write_status(FEATURES_OK);
    let driver = SplitDriver::new(&memory, 64, features);
    host.configure_queue(0, |queue| {
        queue.size = 64;
        (queue.descriptor_area, queue.driver_area, queue.device_area) = driver.areas();
    });
    host.enable_queue(0);
    host.write_status(DRIVER_OK);
    (host, handle, driver, memory, interrupt)
}

/// Waits for an event without sleeping on time: until it comes, or for a minute.
fn wait(event: &Event) -> bool {
    use std::os::fd::AsRawFd;

    use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
    let epoll = Epoll::new().unwrap();
    epoll.ctl(ControlOperation::Add, event.as_raw_fd(), EpollEvent::new(EventSet::IN, 0)).unwrap();
    let count = epoll.wait(60_000, &mut [EpollEvent::default()]).unwrap();
    event.take();
    count == 1
}

/// No wake-up is lost between a driver and a device on different threads, which suppress and ask for notifications all
/// the time.
#[test]
fn threads_lose_no_wake_up() {
    for features in [USUAL, USUAL - Features::EVENT_IDX] {
        let runtime = Arc::new(ThreadRuntime::named("test"));
        let (host, _, mut driver, memory, interrupt) = live(runtime, features);
        let (from, to) = (memory.place(b"12345678"), memory.alloc(8, 8));
        let (mut sent, mut received) = (0u32, 0u32);
        while received < 20_000 {
            while sent < 20_000 && driver.add(&[Buffer::readable(from, 8), Buffer::writable(to, 8)]).is_some() {
                sent += 1;
                // Batches of changing size.
                if sent.is_multiple_of(1 + sent % 7) && driver.publish() {
                    host.notify(0);
                }
            }
            if driver.publish() {
                host.notify(0);
            }
            let before = received;
            while let Some(used) = driver.used() {
                assert_eq!(used.len, 8);
                received += 1;
            }
            // Asking for an interrupt and looking again is what `used` did last; now it is safe to sleep.
            std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            if received == before && driver.used_index() == received as u16 {
                assert!(wait(&interrupt), "an interrupt comes");
            }
        }
        assert_eq!(memory.bytes(to, 8), b"12345678");
        host.write_status(0);
        assert_eq!(host.status(), 0);
    }
}

#[test]
fn threads_pause_resume_and_reset() {
    let (host, handle, mut driver, memory, interrupt) = live(Arc::new(ThreadRuntime::new()), USUAL);
    let limit = Duration::from_secs(60);
    let to = memory.alloc(4, 1);
    let from = memory.place(b"data");
    handle.hold(true);
    driver.add(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]);
    driver.publish();
    host.notify(0);
    while host.queue_counts(0).unwrap().chains == 0 {
        std::thread::yield_now();
    }
    assert_eq!(host.pause(Duration::from_millis(1)), Err(crate::host::PauseError::InFlight));
    handle.hold(false);
    assert!(wait(&interrupt));
    assert_eq!(host.pause(limit).unwrap().len(), 1);
    // What comes during the pause is found after it.
    assert_eq!(driver.used().map(|used| used.len), Some(4));
    driver.add(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]);
    driver.publish();
    host.notify(0);
    let unmapped = memory.ram().set_log(None);
    assert!(unmapped.wait(limit), "a paused task takes over changes of memory");
    assert_eq!(driver.used(), None);
    host.resume();
    assert!(wait(&interrupt));
    assert_eq!(driver.used().map(|used| used.len), Some(4));
    handle.hold(true);
    driver.add(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]);
    driver.publish();
    host.notify(0);
    host.write_status(0);
    assert_eq!((host.status(), handle.resets()), (0, 1));
    assert_eq!(driver.used(), None);
}

#[test]
fn threads_that_are_idle_take_over_changes_of_memory() {
    let (host, _, _driver, memory, _) = live(Arc::new(ThreadRuntime::new()), USUAL);
    let more = TestMemory::with_regions(&[(0, 1 << 20), (1 << 32, 1 << 16)]);
    for address in (0..1 << 20).step_by(4096) {
        more.write(address, &memory.bytes(address, 4096));
    }
    let barrier = memory.ram().replace_with(more.ram());
    assert!(barrier.wait(Duration::from_secs(60)), "nobody uses the old mapping");
    host.write_status(0);
}

#[test]
fn a_runtime_that_takes_no_task_leaves_a_device_that_can_be_reset() {
    struct Full;
    impl Runtime for Full {
        fn spawn(&self, _runner: crate::TaskRunner) -> io::Result<()> {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }
    let (host, handle, ..) = live(Arc::new(Full), USUAL);
    assert_eq!((host.status() & 64, host.counts().needs_reset), (64, 1));
    host.write_status(0);
    assert_eq!((host.status(), handle.resets()), (0, 1));
}

#[test]
fn a_task_that_is_lost_asks_for_a_reset() {
    /// Loses every task at once.
    struct Careless;
    impl Runtime for Careless {
        fn spawn(&self, runner: crate::TaskRunner) -> io::Result<()> {
            drop(runner);
            Ok(())
        }
    }
    let (host, ..) = live(Arc::new(Careless), USUAL);
    assert_eq!(host.status() & 64, 64);
    assert_eq!(host.pause(Duration::ZERO), Err(crate::host::PauseError::PositionUnknown));
    host.write_status(0);
    assert_eq!(host.status(), 0);
}

#[test]
fn inline_tasks_have_deadlines() {
    use crate::Events;

    struct Timer {
        due: Instant,
        fired: u32,
    }
    impl QueueTask for Timer {
        fn sources(&self, _sources: &mut Sources) {}
        fn run(&mut self, _events: Events, _cx: &mut TaskContext) -> Next {
            if Instant::now() < self.due {
                return Next::WaitUntil(self.due);
            }
            self.fired += 1;
            if self.fired == 3 { Next::Wait } else { Next::Again }
        }
        fn queues(&mut self, _each: &mut dyn FnMut(&mut Virtqueue)) {}
    }
    let runtime = InlineRuntime::new();
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let due = Instant::now() + Duration::from_millis(20);
    let lost = Arc::new(|| panic!("it was told to end"));
    let task = Box::new(Timer { due, fired: 0 });
    runtime.spawn(TaskRunner::new(task, control.clone(), lost, false)).unwrap();
    assert!(!runtime.poll());
    assert_eq!(runtime.next_deadline(), Some(due));
    while Instant::now() < due {
        std::hint::spin_loop();
    }
    assert!(!runtime.poll());
    assert_eq!(runtime.next_deadline(), None);
    control.request(Command::Stop);
    runtime.poll();
    assert_eq!(control.outcome(), Some(Outcome::Gone));
}

/// Waits for what is read from and written to one stream, and says which of the two it was run for alone.
struct Duplex {
    stream: Arc<UnixStream>,
    writes: bool,
    seen: [Event; 2],
}

impl QueueTask for Duplex {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Readable(self.stream.clone()));
        if self.writes {
            sources.add(Source::Writable(self.stream.clone()));
        }
    }

    fn run(&mut self, events: crate::Events, cx: &mut TaskContext) -> Next {
        match [0, 1].map(|place| events.contains(place)) {
            [false, true] if self.writes => {
                self.writes = false;
                cx.sources_changed();
                self.seen[1].signal();
            }
            [true, false] => {
                let _ = std::io::Read::read(&mut &*self.stream, &mut [0; 8]);
                self.seen[0].signal();
            }
            _ => {}
        }
        Next::Wait
    }

    fn queues(&mut self, _each: &mut dyn FnMut(&mut Virtqueue)) {}
}

fn duplex(paused: bool) -> (TaskRunner, Arc<TaskControl>, UnixStream, [Event; 2]) {
    let (stream, peer) = UnixStream::pair().unwrap();
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let seen = [Event::new().unwrap(), Event::new().unwrap()];
    let task = Duplex { stream: Arc::new(stream), writes: true, seen: seen.clone() };
    (TaskRunner::new(Box::new(task), control.clone(), Arc::new(|| ()), paused), control, peer, seen)
}

#[test]
fn threads_read_and_write_one_file() {
    let (runner, control, mut peer, [read, written]) = duplex(false);
    ThreadRuntime::new().spawn(runner).unwrap();
    assert!(wait(&written), "it can be written");
    std::io::Write::write_all(&mut peer, b"data").unwrap();
    assert!(wait(&read), "it can be read");
    control.request(Command::Stop);
    assert_eq!(control.wait(Duration::from_secs(60)), Some(Outcome::Gone));
}

/// A file that has something would have the runtime spin until the task reads it.
#[test]
fn a_task_that_begins_paused_waits_for_no_file() {
    let (mut runner, control, ..) = duplex(true);
    assert_eq!(runner.sources().len(), 0);
    control.request(Command::Resume);
    runner.step(Ready::NONE);
    assert_eq!(runner.sources().len(), 2);
}

#[test]
fn whoever_assists_does_not_wait_for_whoever_polls() {
    use std::sync::mpsc;
    struct Slow(mpsc::Sender<()>, mpsc::Receiver<()>);
    impl QueueTask for Slow {
        fn sources(&self, _sources: &mut Sources) {}
        fn run(&mut self, _events: crate::Events, _cx: &mut TaskContext) -> Next {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            Next::Wait
        }
        fn queues(&mut self, _each: &mut dyn FnMut(&mut Virtqueue)) {}
    }
    let ((entered, wait_entered), (go, wait_go)) = (mpsc::channel(), mpsc::channel());
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let runtime = InlineRuntime::new();
    let task = Box::new(Slow(entered, wait_go));
    runtime.spawn(TaskRunner::new(task, control, Arc::new(|| ()), false)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.poll());
        wait_entered.recv().unwrap();
        let (done, wait_done) = mpsc::channel();
        let runtime = &runtime;
        scope.spawn(move || {
            runtime.assist();
            done.send(()).unwrap();
        });
        let assisted = wait_done.recv_timeout(Duration::from_secs(10));
        go.send(()).unwrap();
        assert_eq!(assisted, Ok(()));
    });
}

#[test]
fn time_limits_may_be_as_long_as_there_are() {
    let (host, _, mut driver, memory, _) = live(Arc::new(ThreadRuntime::new()), USUAL);
    driver.add(&[Buffer::readable(memory.place(b"data"), 4)]);
    assert!(host.pause(Duration::MAX).is_ok());
    assert!(memory.ram().set_log(None).wait(Duration::MAX));
}
