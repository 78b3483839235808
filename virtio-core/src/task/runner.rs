//! A task together with what its host wants of it: what a runtime runs.

use std::sync::Arc;

use super::control::{Command, Orders, Outcome, TaskControl};
use super::{CHAINS_PER_RUN, Events, Next, QueueTask, Quiesce, Source, Sources, TaskContext, place};
use crate::event::Event;
use crate::ring::Virtqueue;

/// A task in the hands of a [`Runtime`](crate::Runtime).
///
/// The runtime waits for [`wake`](Self::wake) and for [`sources`](Self::sources), calls [`step`](Self::step) with what
/// is ready, and obeys what that returns. After [`Next::Done`], after a panic, or whenever it wants to get rid of it, it
/// drops the runner; the device asks for a reset then, unless it was told to end.
///
/// Send, not Sync: it belongs to one thread at a time. No call blocks, if the task keeps to its contract.
pub struct TaskRunner {
    task: Box<dyn QueueTask>,
    control: Arc<TaskControl>,
    /// Told when the task ends without having been asked to.
    on_lost: Arc<dyn Fn() + Send + Sync>,
    sources: Vec<Source>,
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

/// Which of a runner's sources are ready, by their places in [`TaskRunner::sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u64);

impl Ready {
    /// None is known to be.
    pub const NONE: Ready = Ready(0);
    /// Each of them may be.
    pub const ALL: Ready = Ready(u64::MAX);

    /// With the source at `index`.
    #[must_use]
    pub fn with(self, index: usize) -> Ready {
        Ready(self.0 | 1 << place(index))
    }
}

impl TaskRunner {
    pub(crate) fn new(
        task: Box<dyn QueueTask>,
        control: Arc<TaskControl>,
        on_lost: Arc<dyn Fn() + Send + Sync>,
        paused: bool,
    ) -> TaskRunner {
        let phase = if paused { Phase::Paused } else { Phase::Running };
        let mut runner = TaskRunner {
            task,
            control,
            on_lost,
            sources: Vec::new(),
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

    /// Signalled when the runner has to be stepped whatever its sources say.
    pub fn wake(&self) -> &Event {
        &self.control.wake
    }

    /// What the task is run for.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Moves when [`sources`](Self::sources) has changed.
    pub fn sources_version(&self) -> u64 {
        self.version
    }

    /// Runs the task once if there is a reason to: bounded work, then what it wants next.
    pub fn step(&mut self, ready: Ready) -> Next {
        self.control.wake.take();
        let events = self.collect(ready);
        if let Some(Orders { command, stops, starts }) = self.control.take() {
            self.drain(stops);
            self.restart(starts);
            if let Some(command) = command {
                self.obey(command);
            }
        }
        let next = self.proceed(events);
        self.check_stopped();
        next
    }

    fn proceed(&mut self, events: Events) -> Next {
        match self.phase {
            Phase::Stopped => Next::Done,
            Phase::Paused => {
                self.task.queues(&mut |queue| {
                    queue.refresh_memory();
                });
                Next::Wait
            }
            Phase::Running => self.run(events),
            Phase::Quiescing(how) => {
                let next = self.run(events);
                if next != Next::Done && !self.task.quiesce(how) {
                    return next;
                }
                self.rest(how, next)
            }
        }
    }

    fn run(&mut self, events: Events) -> Next {
        let events = if std::mem::take(&mut self.all) { Events::ALL } else { events };
        let due = match self.next {
            Next::Again => true,
            Next::WaitUntil(time) => std::time::Instant::now() >= time,
            Next::Wait | Next::Done => false,
        };
        if events == Events::NONE && !due {
            return self.next;
        }
        // No driver keeps its device in one run for long, or others from theirs.
        self.task.queues(&mut |queue| queue.grant(CHAINS_PER_RUN));
        let mut cx = TaskContext::default();
        self.next = self.task.run(events, &mut cx);
        if cx.sources_changed {
            self.ask_sources();
        }
        self.next
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Resume => {
                let draining = &self.draining;
                self.task.queues(&mut |queue| {
                    if !draining.iter().any(|(number, _)| *number == queue.index()) {
                        queue.start();
                    }
                });
                self.all = true;
                self.phase = Phase::Running;
                self.ask_sources();
                self.control.report(Outcome::Running);
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
                    self.task.queues(&mut |queue| {
                        if queue.index() == number {
                            queue.stop();
                        }
                    });
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
            let mut new = Some(new);
            self.task.queues(&mut |queue| {
                if queue.index() == number
                    && let Some(new) = new.take()
                {
                    *queue = new;
                }
            });
            self.task.queue_restarted(number);
            // What was made available before is found now, whether it was announced or not.
            self.all = true;
            self.ask_sources();
        }
    }

    fn stop_queues(&mut self) {
        self.task.queues(&mut |queue| queue.stop());
    }

    /// Nothing is in flight.
    fn rest(&mut self, how: Quiesce, next: Next) -> Next {
        self.task.queues(&mut |queue| queue.publish());
        self.check_stopped();
        match how {
            Quiesce::Drain if next == Next::Done => next,
            Quiesce::Drain => {
                self.phase = Phase::Paused;
                self.ask_sources();
                self.control.report(Outcome::Paused(self.task.positions()));
                Next::Wait
            }
            Quiesce::Cancel => {
                self.phase = Phase::Stopped;
                Next::Done
            }
        }
    }

    /// Lets go of queues that have come to rest.
    fn check_stopped(&mut self) {
        for (number, how) in std::mem::take(&mut self.draining) {
            let done = self.task.quiesce_queue(number, how);
            self.task.queues(&mut |queue| {
                if queue.index() == number {
                    queue.publish();
                    if done {
                        queue.retire();
                    }
                }
            });
            if done {
                self.control.stopped(number);
            } else {
                self.draining.push((number, how));
            }
        }
    }

    /// Takes what the ready events were signalled with.
    fn collect(&self, ready: Ready) -> Events {
        let mut events = 0;
        for (index, source) in self.sources.iter().enumerate() {
            let bit = 1 << place(index);
            if ready.0 & bit == 0 {
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
                events |= bit;
            }
        }
        Events(events)
    }

    fn ask_sources(&mut self) {
        let mut sources = Sources::default();
        self.task.sources(&mut sources);
        self.sources = sources.0;
        if self.phase == Phase::Paused {
            // A file stays ready while nobody reads it.
            self.sources.retain(|source| matches!(source, Source::Doorbell(..) | Source::Event(_)));
        }
        self.version += 1;
    }
}

impl Drop for TaskRunner {
    fn drop(&mut self) {
        if self.phase != Phase::Stopped {
            (self.on_lost)();
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
    fn sources(&self, _sources: &mut Sources) {}

    fn run(&mut self, _events: Events, _cx: &mut TaskContext) -> Next {
        Next::Done
    }

    fn queues(&mut self, _each: &mut dyn FnMut(&mut Virtqueue)) {}
}
