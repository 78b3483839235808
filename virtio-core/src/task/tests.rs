//! What the runner does so that tasks need not: showing what is complete, asking for doorbells, bounding runs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::*;
use crate::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory};
use crate::{Features, Ticket};

/// A task that puts what arrives into the driver's buffers, and leaves those alone until something does.
struct Receive {
    queue: Virtqueue,
    arrived: Event,
    waiting: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
}

impl QueueTask for Receive {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.arrived.clone()), 0);
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        self.runs.fetch_add(1, SeqCst);
        while self.waiting.load(SeqCst) > 0
            && let Some(chain) = self.queue.pop()
        {
            chain.complete(1);
            self.waiting.fetch_sub(1, SeqCst);
        }
        Next::Wait
    }
}

struct Rig<D> {
    driver: D,
    doorbell: Event,
    buffer: Buffer,
    arrived: Event,
    waiting: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
    runner: TaskRunner,
}

impl<D: RingDriver> Rig<D> {
    fn new(features: Features) -> Rig<D> {
        let memory = TestMemory::new(1 << 20);
        let driver = D::new(&memory, 8, features);
        let setup = driver.setup();
        let doorbell = setup.doorbell.clone();
        let (waiting, runs) = (Arc::default(), Arc::default());
        let arrived = Event::new().unwrap();
        let queue = Virtqueue::new(setup).unwrap();
        let task = Receive { queue, arrived: arrived.clone(), waiting: Arc::clone(&waiting), runs: Arc::clone(&runs) };
        let control = Arc::new(TaskControl::new(Event::new().unwrap()));
        let runner = TaskRunner::new(Box::new(task), control, || (), false);
        Rig { driver, doorbell, buffer: Buffer::writable(memory.alloc(8, 8), 8), arrived, waiting, runs, runner }
    }

    /// Makes buffers available; whether the device wanted to hear of it, and so did.
    fn offer(&mut self, buffers: usize) -> bool {
        for _ in 0..buffers {
            self.driver.add(&[self.buffer]).unwrap();
        }
        let wanted = self.driver.publish();
        if wanted {
            self.doorbell.signal();
        }
        wanted
    }

    fn arrive(&self, messages: usize) {
        self.waiting.fetch_add(messages, SeqCst);
        self.arrived.signal();
    }

    /// Steps the task for as long as it wants that, and then once more, for nothing; how often it has run.
    fn settle(&mut self) -> usize {
        self.runs.store(0, SeqCst);
        while self.runner.step(Ready::ALL) == Next::Again {
            assert!(self.runs.load(SeqCst) < 10, "it comes to rest");
        }
        let runs = self.runs.load(SeqCst);
        assert_eq!(self.runner.step(Ready::ALL), Next::Wait);
        assert_eq!(self.runs.load(SeqCst), runs, "a task at rest is not run");
        runs
    }

    fn used(&mut self) -> usize {
        std::iter::from_fn(|| self.driver.used()).count()
    }
}

fn each(test: fn(Features)) {
    [Features::NONE, Features::EVENT_IDX].into_iter().for_each(test);
}

fn buffers_that_are_left<D: RingDriver>(features: Features) {
    let mut rig = Rig::<D>::new(features);
    rig.offer(4);
    assert!(rig.settle() <= 3, "what is available is no reason to run");
    for _ in 0..100 {
        rig.arrive(6);
        rig.settle();
        assert_eq!(rig.used(), 4, "all there were");
        assert!(rig.offer(3), "it wants to hear of more");
        rig.settle();
        assert_eq!(rig.used(), 2, "what did not fit before");
        rig.arrive(1);
        assert!(rig.settle() <= 2);
        assert_eq!(rig.used(), 1);
        rig.offer(4);
        assert!(rig.settle() <= 3, "what is available is no reason to run");
    }
}

/// As a device does whose input comes from elsewhere: it waits for that without running all the time, and hears of new
/// buffers when it has none left.
#[test]
fn a_task_that_leaves_buffers_alone_comes_to_rest() {
    each(buffers_that_are_left::<SplitDriver>);
    each(buffers_that_are_left::<PackedDriver>);
}

fn a_busy_driver<D: RingDriver>(features: Features) {
    let mut rig = Rig::<D>::new(features);
    rig.settle();
    rig.arrive(1000);
    let (mut taken, mut rung) = (0, 0);
    while taken < 1000 {
        rung += usize::from(rig.offer(8));
        // Not before it was rung for, or still at it.
        rig.settle();
        let now = rig.used();
        assert_ne!(now, 0, "it misses none");
        taken += now;
    }
    assert!(rung <= 125 + 1, "one doorbell for each batch at most");
}

#[test]
fn a_doorbell_is_asked_for_when_nothing_is_left() {
    each(a_busy_driver::<SplitDriver>);
    each(a_busy_driver::<PackedDriver>);
}

/// A task that is through with its work some time after it was told to give it up, and hears of that from nobody.
struct Slow {
    queue: Virtqueue,
    taken: Vec<Ticket>,
    until: Option<Instant>,
}

const SLOW: Duration = Duration::from_millis(5);

impl QueueTask for Slow {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        if self.until.is_some_and(|time| Instant::now() >= time) {
            self.taken.drain(..).for_each(|ticket| _ = self.queue.complete(ticket, 0));
        }
        while let Some(chain) = self.queue.pop() {
            self.taken.push(chain.into_ticket());
        }
        Next::Wait
    }

    fn quiesce(&mut self, _queue: u16, _how: Quiesce) -> Next {
        if self.queue.in_flight() == 0 {
            return Next::Done;
        }
        Next::WaitUntil(*self.until.get_or_insert_with(|| Instant::now() + SLOW))
    }
}

/// What a task waits for once it was told to come to rest counts, and not only what its run has said before.
fn a_task_that_rests_later(order: impl Fn(&TaskControl), end: impl Fn(&TaskControl) -> bool) {
    let memory = TestMemory::new(1 << 20);
    let mut driver = SplitDriver::new(&memory, 8, Features::NONE);
    let queue = Virtqueue::new(driver.setup()).unwrap();
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let task = Slow { queue, taken: Vec::new(), until: None };
    let mut runner = TaskRunner::new(Box::new(task), control.clone(), || (), false);
    driver.add(&[Buffer::writable(memory.alloc(8, 8), 8)]).unwrap();
    assert!(driver.publish());
    while runner.step(Ready::ALL) == Next::Again {}
    order(&control);
    // As a runtime does it: it steps the runner when it says so, and not without a reason.
    let mut next = runner.step(Ready::ALL);
    let mut steps = 0;
    while !end(&control) && next != Next::Done {
        assert!(steps < 10, "it comes to rest");
        steps += 1;
        match next {
            Next::Again => {}
            Next::WaitUntil(time) => std::thread::sleep(time.saturating_duration_since(Instant::now())),
            Next::Wait | Next::Done => panic!("nobody wakes it"),
        }
        next = runner.step(Ready::NONE);
    }
    assert!(driver.used().is_some());
}

#[test]
fn a_task_that_is_stopped_says_what_it_waits_for() {
    a_task_that_rests_later(|control| control.request(Command::Stop), |_| false);
}

#[test]
fn a_task_that_is_paused_says_what_it_waits_for() {
    let paused = |control: &TaskControl| matches!(control.outcome(), Some(Outcome::Paused(_)));
    a_task_that_rests_later(|control| control.request(Command::Pause), paused);
}

#[test]
fn a_task_whose_queue_is_reset_says_what_it_waits_for() {
    let stopped = |control: &TaskControl| control.has_stopped(0) == Some(true);
    a_task_that_rests_later(|control| control.stop_queue(0, Quiesce::Cancel), stopped);
}
