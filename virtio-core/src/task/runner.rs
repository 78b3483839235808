//! A task together with what its host wants of it: what a runtime runs.

use std::sync::Arc;

use super::control::{Command, Orders, Outcome, TaskControl};
use super::{CHAINS_PER_RUN, Next, QueueTask, Quiesce, Source, Sources, TaskContext, bit};
use crate::event::Event;
use crate::ring::Virtqueue;

/// A task in the hands of a [`Runtime`](crate::Runtime).
///
/// The runtime waits for [`wake`](Self::wake), which is signalled when the runner is new, and for
/// [`sources`](Self::sources), calls [`step`](Self::step) with what is ready, always on the same thread, and obeys what that
/// returns. After [`Next::Done`], after a panic, or whenever it wants to get rid of it, it drops the runner; the device asks
/// for a reset then, unless it was told to end. A runner that is kept keeps its device from ending a reset.
///
/// Send, not Sync: it belongs to one thread at a time. No call blocks, if the task keeps to its contract.
pub struct TaskRunner {
    task: Box<dyn QueueTask>,
    control: Arc<TaskControl>,
    /// Told when the task ends without having been asked to.
    on_lost: Option<Box<dyn FnOnce() + Send>>,
    sources: Vec<Source>,
    /// The bits of their tokens.
    tokens: Vec<u64>,
    version: u64,
    phase: Phase,
    /// The queues that are being stopped: something may be in flight in them.
    draining: Vec<(u16, Quiesce)>,
    /// What the task said last.
    next: Next,
    /// All sources are to be taken as having something.
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Quiescing(Quiesce),
    Paused,
    Stopped,
}

/// Which of a runner's sources are ready, by their places in [`TaskRunner::sources`], and whether it was
/// [woken](TaskRunner::wake).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    sources: u64,
    woken: bool,
}

impl Ready {
    /// None is known to be.
    pub const NONE: Ready = Ready { sources: 0, woken: false };
    /// Each of them may be.
    pub const ALL: Ready = Ready { sources: u64::MAX, woken: true };

    /// With the source at `index`.
    #[must_use]
    pub fn with(self, index: usize) -> Ready {
        Ready { sources: self.sources | bit(index), ..self }
    }

    /// With the event that wakes the runner.
    #[must_use]
    pub fn woken(self) -> Ready {
        Ready { woken: true, ..self }
    }

    /// With the source at this place, or the event that wakes the runner where there is none.
    #[cfg(all(feature = "eventfd", target_os = "linux"))]
    pub(crate) fn and(self, place: Option<usize>) -> Ready {
        place.map_or(self.woken(), |place| self.with(place))
    }
}

impl TaskRunner {
    pub(crate) fn new(
        task: Box<dyn QueueTask>,
        control: Arc<TaskControl>,
        on_lost: impl FnOnce() + Send + 'static,
        paused: bool,
    ) -> TaskRunner {
        let phase = if paused { Phase::Paused } else { Phase::Running };
        control.wake.signal();
        let mut runner = TaskRunner {
            task,
            control,
            on_lost: Some(Box::new(on_lost)),
            sources: Vec::new(),
            tokens: Vec::new(),
            version: 0,
            phase,
            draining: Vec::new(),
            next: Next::Again,
            all: true,
        };
        if paused {
            runner.stop_queues();
        }
        runner.ask_sources();
        runner
    }

    /// Signalled when the runner has to be stepped whatever its sources say; taken by a step that is told of it.
    pub fn wake(&self) -> &Event {
        &self.control.wake
    }

    /// What the task is run for. Files are not among them while it is paused: they stay ready while nobody reads them.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Moves when [`sources`](Self::sources) has changed.
    pub fn sources_version(&self) -> u64 {
        self.version
    }

    /// Runs the task once if there is a reason to: bounded work, then what it wants next. Takes what the ready sources, and
    /// `wake` where that is, were signalled with. Whoever does not know what is ready says [`Ready::ALL`], which costs a read
    /// for each.
    pub fn step(&mut self, ready: Ready) -> Next {
        if ready.woken {
            self.control.wake.take();
        }
        let ready = self.collect(ready);
        if let Some(Orders { command, stops, starts }) = self.control.take() {
            self.drain(stops);
            self.restart(starts);
            if let Some(command) = command {
                self.obey(command);
            }
        }
        let next = self.proceed(ready);
        let rest = self.check_stopped();
        if next == Next::Done { next } else { self.or_sooner(next, rest) }
    }

    /// Has the task run at the time that it named when it was asked to come to rest, too.
    fn or_sooner(&mut self, next: Next, rest: Next) -> Next {
        self.next = self.next.or_sooner(rest);
        next.or_sooner(rest)
    }

    fn proceed(&mut self, ready: u64) -> Next {
        match self.phase {
            Phase::Stopped => Next::Done,
            Phase::Paused => {
                for queue in self.task.queues() {
                    queue.refresh_memory();
                }
                Next::Wait
            }
            Phase::Running => self.run(ready),
            Phase::Quiescing(how) => {
                let next = self.run(ready);
                let rest = if next == Next::Done { next } else { self.quiesce(how) };
                if rest != Next::Done {
                    return self.or_sooner(next, rest);
                }
                self.rest(how, next)
            }
        }
    }

    fn run(&mut self, ready: u64) -> Next {
        let ready = if std::mem::take(&mut self.all) { u64::MAX } else { ready };
        let due = match self.next {
            Next::Again => true,
            Next::WaitUntil(time) => std::time::Instant::now() >= time,
            Next::Wait | Next::Done => false,
        };
        if ready == 0 && !due {
            return self.next;
        }
        // No driver keeps its device in one run for long, or others from theirs.
        for queue in self.task.queues() {
            queue.begin_run(CHAINS_PER_RUN);
        }
        let mut cx = TaskContext { ready, sources_changed: false };
        self.next = self.task.run(&mut cx);
        self.end_run();
        if cx.sources_changed {
            self.ask_sources();
        }
        self.next
    }

    /// Shows the driver what the run has completed, and sees to it that it rings for what it makes available next.
    fn end_run(&mut self) {
        let mut more = false;
        for queue in self.task.queues() {
            match self.next {
                Next::Wait | Next::WaitUntil(_) => more |= queue.end_run(),
                Next::Again | Next::Done => queue.publish(),
            }
        }
        if more {
            self.next = Next::Again;
        }
    }

    /// Has all queues come to rest; done when nothing is in flight in any.
    fn quiesce(&mut self, how: Quiesce) -> Next {
        let numbers: Vec<u16> = self.task.queues().iter().map(Virtqueue::index).collect();
        // Each is asked, also behind one that is busy.
        numbers.into_iter().fold(Next::Done, |next, queue| next.or_sooner(self.task.quiesce(queue, how)))
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Resume => {
                for queue in self.task.queues() {
                    if !self.draining.iter().any(|(number, _)| *number == queue.index()) {
                        queue.start();
                    }
                }
                self.all = true;
                self.phase = Phase::Running;
                self.ask_sources();
            }
            Command::Pause => {
                self.stop_queues();
                self.phase = Phase::Quiescing(Quiesce::Drain);
            }
            Command::Stop => {
                self.stop_queues();
                self.phase = Phase::Quiescing(Quiesce::Cancel);
            }
        }
    }

    /// Begins to stop queues, whatever the task is at.
    fn drain(&mut self, stops: Vec<(u16, Quiesce)>) {
        for (number, how) in stops {
            match self.draining.iter_mut().find(|(other, _)| *other == number) {
                Some(known) => known.1 = how,
                None => {
                    self.draining.push((number, how));
                    queue(&mut *self.task, number).into_iter().for_each(Virtqueue::stop);
                }
            }
        }
    }

    /// Puts queues into the places of those that were stopped.
    fn restart(&mut self, starts: Vec<Virtqueue>) {
        for mut new in starts {
            if self.phase != Phase::Running {
                new.stop(); // the next command to go on starts it, too
            }
            let number = new.index();
            if let Some(queue) = queue(&mut *self.task, number) {
                *queue = new;
            }
            self.task.queue_restarted(number);
            // What was made available before is found now, whether it was announced or not.
            self.all = true;
            self.ask_sources();
        }
    }

    fn stop_queues(&mut self) {
        self.task.queues().iter_mut().for_each(Virtqueue::stop);
    }

    /// Nothing is in flight.
    fn rest(&mut self, how: Quiesce, next: Next) -> Next {
        self.task.queues().iter_mut().for_each(Virtqueue::publish);
        // All of them have come to rest.
        let _ = self.check_stopped();
        match how {
            Quiesce::Drain if next == Next::Done => next,
            Quiesce::Drain => {
                self.phase = Phase::Paused;
                self.ask_sources();
                let queues = self.task.queues().iter();
                let positions = queues.map(|queue| (queue.index(), queue.position())).collect();
                self.control.report(Outcome::Paused(positions));
                Next::Wait
            }
            Quiesce::Cancel => {
                self.phase = Phase::Stopped;
                Next::Done
            }
        }
    }

    /// Lets go of queues that have come to rest; says what the others wait for.
    fn check_stopped(&mut self) -> Next {
        let mut next = Next::Done;
        for (number, how) in std::mem::take(&mut self.draining) {
            let rest = self.task.quiesce(number, how);
            let done = rest == Next::Done;
            next = next.or_sooner(rest);
            if let Some(queue) = queue(&mut *self.task, number) {
                queue.publish();
                if done {
                    queue.retire();
                }
            }
            if done {
                self.control.stopped(number);
            } else {
                self.draining.push((number, how));
            }
        }
        next
    }

    /// Takes what the ready events were signalled with.
    fn collect(&self, ready: Ready) -> u64 {
        let mut tokens = 0;
        for (index, (source, token)) in self.sources.iter().zip(&self.tokens).enumerate() {
            if ready.sources & bit(index) == 0 {
                continue;
            }
            let has = match source {
                Source::Doorbell(event, counters) => {
                    let rung = event.take();
                    counters.doorbells(rung);
                    rung != 0
                }
                Source::Event(event) => event.take() != 0,
                #[cfg(unix)]
                Source::Readable(_) | Source::Writable(_) => true,
            };
            if has {
                tokens |= token;
            }
        }
        tokens
    }

    /// The doorbells of the task's queues, and what it names.
    fn ask_sources(&mut self) {
        let mut others = Sources::default();
        self.task.sources(&mut others);
        if self.phase == Phase::Paused {
            // A file stays ready while nobody reads it.
            others.0.retain(|(source, _)| matches!(source, Source::Event(_)));
        }
        let setups = self.task.queues().iter().map(Virtqueue::setup);
        let doorbells = setups.map(|setup| Source::Doorbell(setup.doorbell.clone(), setup.counters.clone()));
        let others = others.0.into_iter().map(|(source, token)| (source, bit(token.into())));
        (self.sources, self.tokens) = doorbells.map(|doorbell| (doorbell, DOORBELLS)).chain(others).unzip();
        self.version += 1;
    }
}

/// The bit of all doorbells, the last one.
const DOORBELLS: u64 = 1 << 63;

/// A task's queue of this number.
fn queue(task: &mut dyn QueueTask, number: u16) -> Option<&mut Virtqueue> {
    task.queues().iter_mut().find(|queue| queue.index() == number)
}

impl Drop for TaskRunner {
    fn drop(&mut self) {
        if let (Some(on_lost), true) = (self.on_lost.take(), self.phase != Phase::Stopped) {
            on_lost();
        }
        // The task and its files go before its end is reported: then nothing of it touches guest memory any more, and
        // what it had open can be opened again.
        let _end = End(&self.control);
        self.sources.clear();
        self.task = Box::new(Ended);
    }
}

/// Reports the end of a task, even of one that panics while it is dropped.
struct End<'a>(&'a TaskControl);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.report(Outcome::Gone);
    }
}

/// What is left of a task that has ended.
struct Ended;

impl QueueTask for Ended {
    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut []
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        Next::Done
    }
}
