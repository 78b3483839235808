#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::*;
use crate::runtime::tests::{Script, event, runner, starts};
use crate::task::{CHAINS_PER_RUN, Command, Next, Outcome, Source, TaskControl};
use crate::testing::suite::USUAL;
use crate::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use crate::{Event, QueueTask, TaskContext, Virtqueue};

/// A worker that runs in the test.
struct Bench {
    worker: Worker,
    inbox: Arc<Inbox>,
    /// The names of the tasks that were run.
    log: Arc<Mutex<Vec<usize>>>,
}

impl Bench {
    fn new() -> Bench {
        let inbox = Arc::new(Inbox::new().unwrap());
        Bench { worker: Worker::new(inbox.clone(), Poll::new().unwrap()).unwrap(), inbox, log: Arc::default() }
    }

    /// A task that says what it wants next.
    fn add(
        &self,
        name: usize,
        sources: Vec<Source>,
        mut next: impl FnMut(&TaskContext) -> Next + Send + 'static,
    ) -> Arc<TaskControl> {
        let log = self.log.clone();
        let run = move |cx: &mut TaskContext| {
            log.lock().unwrap().push(name);
            next(cx)
        };
        let (runner, control, _) = runner(Script { sources, run });
        self.inbox.put(runner).unwrap();
        control
    }

    /// A task that waits for an event.
    fn add_waiting(&self, name: usize) -> (Event, Arc<TaskControl>) {
        let bell = event();
        let control = self.add(name, vec![Source::Event(bell.clone())], |_| Next::Wait);
        (bell, control)
    }

    /// One round: how many tasks were stepped, and the names of those that were run.
    fn round(&mut self) -> (usize, Vec<usize>) {
        self.worker.look(self.worker.patience()).unwrap();
        let count = self.worker.ready.len() + self.worker.again.len();
        assert_eq!(self.worker.run_listed(), count != 0);
        (count, std::mem::take(&mut self.log.lock().unwrap()))
    }
}

#[test]
fn one_that_always_has_work_takes_turns_with_the_others() {
    let mut bench = Bench::new();
    bench.add(0, Vec::new(), |_| Next::Again);
    let (bell, _) = bench.add_waiting(1);
    assert_eq!(bench.round(), (2, vec![0, 1]));
    for _ in 0..100 {
        assert_eq!(bench.round(), (1, vec![0]), "nothing has come for the other");
        bell.signal();
        assert_eq!(bench.round(), (2, vec![1, 0]));
    }
}

#[test]
fn those_that_always_have_work_are_served_in_turn() {
    let mut bench = Bench::new();
    let bell = event();
    for name in 0..3 {
        let sources = if name == 2 { vec![Source::Event(bell.clone())] } else { Vec::new() };
        bench.add(name, sources, |_| Next::Again);
    }
    for _ in 0..100 {
        // What comes for one of them gives it no second run.
        bell.signal();
        assert_eq!(bench.round(), (3, vec![0, 1, 2]));
    }
}

/// A device whose driver makes a chain available for each that was answered.
struct Bottomless {
    queue: Virtqueue,
    driver: SplitDriver,
    taken: Arc<AtomicU32>,
}

impl QueueTask for Bottomless {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        let end = self.taken.load(Relaxed) + CHAINS_PER_RUN;
        loop {
            let Some(chain) = self.queue.pop() else { break };
            assert_ne!(self.taken.fetch_add(1, Relaxed), end, "a run ends");
            chain.complete(0);
            self.queue.publish();
            while self.driver.used().is_some() {}
            self.driver.add(&[Buffer::readable(4096, 4)]);
            self.driver.show();
        }
        Next::Wait
    }
}

/// The bound is the runner's: these tasks have none.
#[test]
fn queues_that_are_always_full_are_served_in_turn() {
    let mut bench = Bench::new();
    let memory = TestMemory::new(1 << 20);
    let counts = [0, 1].map(|_| {
        let mut driver = SplitDriver::new(&memory, 16, USUAL);
        while driver.add(&[Buffer::readable(4096, 4)]).is_some() {}
        driver.show();
        let (queue, taken) = (Virtqueue::new(driver.setup()).unwrap(), Arc::new(AtomicU32::new(0)));
        let (runner, ..) = runner(Bottomless { queue, driver, taken: taken.clone() });
        bench.inbox.put(runner).unwrap();
        taken
    });
    for rounds in 1..100 {
        assert_eq!(bench.round().0, 2);
        for taken in &counts {
            assert_eq!(taken.load(Relaxed), rounds * CHAINS_PER_RUN);
        }
    }
}

#[test]
fn one_that_does_not_read_its_file_takes_turns_with_the_others() {
    let mut bench = Bench::new();
    let (stream, peer) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &peer, b"data").unwrap();
    bench.add(0, vec![Source::Readable(Arc::new(stream))], |_| Next::Wait);
    bench.add(1, Vec::new(), |_| Next::Again);
    let (bell, _) = bench.add_waiting(2);
    bench.round();
    for _ in 0..100 {
        assert_eq!(bench.round(), (2, vec![0, 1]));
        bell.signal();
        let (count, mut names) = bench.round();
        names.sort_unstable();
        assert_eq!((count, names), (3, vec![0, 1, 2]));
    }
}

/// Not even looked at: a round is over those that are ready.
#[test]
fn one_that_is_idle_is_never_stepped() {
    let mut bench = Bench::new();
    let tasks: Vec<_> = (0..100).map(|name| bench.add_waiting(name)).collect();
    assert_eq!(bench.round().0, 100);
    for name in [3, 0, 99, 77, 3] {
        tasks[name].0.signal();
        assert_eq!(bench.round(), (1, vec![name]));
    }
    // All at once are found by one look.
    tasks.iter().for_each(|(bell, _)| bell.signal());
    let (count, mut names) = bench.round();
    names.sort_unstable();
    assert_eq!((count, names), (100, (0..100).collect()));
}

#[test]
fn deadlines_come_in_their_order() {
    let mut bench = Bench::new();
    let start = Instant::now();
    for (name, after) in [(0, 6), (1, 2), (2, 4), (3, 8), (4, 1000 * 3600)] {
        let due = start + Duration::from_millis(after);
        bench.add(name, Vec::new(), move |cx| if starts(cx) { Next::WaitUntil(due) } else { Next::Wait });
    }
    assert_eq!(bench.round(), (5, vec![0, 1, 2, 3, 4]));
    let mut due = Vec::new();
    while due.len() < 4 {
        due.extend(bench.round().1);
    }
    assert_eq!((due, bench.worker.deadlines.len()), (vec![1, 2, 0, 3], 1));
}

#[test]
fn a_task_has_one_deadline() {
    let mut bench = Bench::new();
    let bell = event();
    let mut times = 0;
    let control = bench.add(0, vec![Source::Event(bell.clone())], move |_| {
        times += 1;
        Next::WaitUntil(Instant::now() + Duration::from_secs(3600 + times))
    });
    for _ in 0..100 {
        bell.signal();
        bench.round();
        assert_eq!(bench.worker.deadlines.len(), 1);
    }
    control.request(Command::Stop);
    bench.round();
    assert_eq!((bench.worker.deadlines.len(), control.outcome()), (0, Some(Outcome::Gone)));
}

#[test]
fn several_tasks_may_wait_for_one_file() {
    let mut bench = Bench::new();
    let (stream, peer) = UnixStream::pair().unwrap();
    let stream = Arc::new(stream);
    let sources = |which: usize| match which {
        0 => vec![Source::Readable(stream.clone())],
        1 => vec![Source::Readable(stream.clone()), Source::Readable(stream.clone())],
        _ => vec![Source::Writable(stream.clone())],
    };
    let controls: Vec<_> = (0..3).map(|name| bench.add(name, sources(name), |_| Next::Wait)).collect();
    assert_eq!(bench.round().0, 3);
    assert_eq!(bench.round(), (1, vec![2]), "it can be written, and not be read");
    controls[2].request(Command::Stop);
    bench.round();
    std::io::Write::write_all(&mut &peer, b"data").unwrap();
    assert_eq!(bench.round(), (2, vec![0, 1]));
    controls[0].request(Command::Stop);
    bench.round();
    assert_eq!(bench.round(), (1, vec![1]));
    controls[1].request(Command::Stop);
    bench.round();
    assert_eq!((bench.worker.poll.watches.len(), Arc::strong_count(&stream)), (1, 1), "the inbox alone is left");
}

#[test]
fn places_of_tasks_that_ended_are_used_again() {
    let mut bench = Bench::new();
    for round in 0..50 {
        let (_, one) = bench.add_waiting(round);
        let (_, other) = bench.add_waiting(round);
        bench.round();
        assert_eq!((bench.inbox.tasks(), bench.worker.slots.len()), (2, 2));
        one.request(Command::Stop);
        other.request(Command::Stop);
        bench.round();
        assert_eq!((one.outcome(), other.outcome()), (Some(Outcome::Gone), Some(Outcome::Gone)));
        assert_eq!((bench.inbox.tasks(), bench.worker.poll.watches.len()), (0, 1));
    }
}

#[test]
fn a_thread_that_fails_loses_its_tasks_and_takes_no_more() {
    let mut bench = Bench::new();
    let (_, running) = bench.add_waiting(0);
    bench.round();
    let (_, waiting) = bench.add_waiting(1);
    drop(bench.worker);
    assert_eq!((running.outcome(), waiting.outcome()), (Some(Outcome::Gone), Some(Outcome::Gone)));
    assert_eq!(bench.inbox.tasks(), 0);
    let (runner, control, lost) = runner(Script { sources: Vec::new(), run: |_: &mut TaskContext| Next::Wait });
    assert!(bench.inbox.put(runner).is_err());
    assert_eq!((control.outcome(), lost.take()), (Some(Outcome::Gone), 1));
}
