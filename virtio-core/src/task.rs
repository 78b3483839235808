//! The work of a device, without threads.
//!
//! A device makes [`QueueTask`]s when it is activated. Its host wraps each in a [`TaskRunner`], which does for all of them
//! what no device should have to think of: it waits for doorbells, bounds the work of a run, shows the driver what is
//! complete, asks for the next doorbell, and stops, pauses and starts queues. A [`Runtime`](crate::Runtime) runs the runner.

mod control;
mod runner;
#[cfg(test)]
mod tests;

#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use crate::event::Event;
use crate::ring::{QueueCounters, Virtqueue};

pub(crate) use control::{Command, Outcome, TaskControl};
pub use runner::{Ready, TaskRunner};

/// A piece of a device that owns queues and serves them.
///
/// A [`Runtime`](crate::Runtime) runs it: always on one thread at a time, and on the same one from its first run on if
/// the runtime has threads. It never blocks and never waits for its host: what waits in a run holds up whatever else its
/// thread serves, and a reset.
pub trait QueueTask: Send {
    /// Its queues, always the same ones in the same order. Empty where its queues are served elsewhere.
    fn queues(&mut self) -> &mut [Virtqueue];

    /// Does a bounded amount of work: takes chains ([`Virtqueue::pop`]) and completes them, now or in a later run. It is run
    /// when a doorbell has rung or another of its [sources](Self::sources) has something, at the start, after a pause, and
    /// whenever it asked for it; now and then without a reason.
    ///
    /// Each of its queues gives it [`CHAINS_PER_RUN`] chains in a run: however fast a driver is, `pop` ends. A task that
    /// stops at less, for requests that take long or move much, bounds that by itself, and says [`Next::Again`].
    ///
    /// What it has completed is published after the run, and where `pop` found nothing more, the driver is asked for a
    /// doorbell. A task that leaves chains in a ring, because it has nothing to put into them yet, is not run for those: it
    /// names a source, or a time, at which it can go on.
    fn run(&mut self, cx: &mut TaskContext) -> Next;

    /// Names what the task wants to be run for besides the doorbells of its queues. Asked again after
    /// [`TaskContext::sources_changed`].
    fn sources(&self, sources: &mut Sources) {
        let _ = sources;
    }

    /// Asked again and again, while runs go on, about a queue that is to come to rest: for a pause, or because the driver
    /// resets it or the device. The queue takes nothing new meanwhile. With [`Quiesce::Cancel`] its work is not wanted any
    /// more, and a task whose work may take long, or for ever, gives it up: the reset waits for that. Never waits.
    ///
    /// [`Next::Done`] when nothing is in flight in the queue: from then on nothing of its work may touch guest memory.
    /// Otherwise what the task waits for: it is run, and asked again, when a source has something, or at the time it says.
    /// A run before this has said what *it* waits for, which may be something else.
    fn quiesce(&mut self, queue: u16, how: Quiesce) -> Next {
        let _ = how;
        let idle = self.queues().iter().all(|other| other.index() != queue || other.in_flight() == 0);
        if idle { Next::Done } else { Next::Wait }
    }

    /// The driver has enabled a queue again that it had reset: among [`queues`](Self::queues) it has been replaced by
    /// one with the new configuration. For tasks that keep something for each queue; the sources are asked again
    /// afterwards.
    fn queue_restarted(&mut self, queue: u16) {
        let _ = queue;
    }
}

/// Chains that each queue gives its task in one run.
pub const CHAINS_PER_RUN: u32 = 256;

/// Why a task comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiesce {
    /// Finish what is in flight: it will go on later, here or elsewhere.
    Drain,
    /// Give up what is in flight, or finish it if that is quicker: nobody waits for it any more.
    Cancel,
}

/// What a task wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a task that is not run when it wants to be stands still, and so does the reset of its device"]
pub enum Next {
    /// To be run again soon: its budget ran out before its work did.
    Again,
    /// To be run when a source has something.
    Wait,
    /// The same, or at this time if that comes first.
    WaitUntil(Instant),
    /// Never again: it cannot go on. The device asks for a reset.
    Done,
}

impl Next {
    /// What comes first of two things to wait for; the other one where one is done.
    pub(crate) fn or_sooner(self, other: Next) -> Next {
        match (self, other) {
            (Next::Done, next) | (next, Next::Done) => next,
            (Next::Again, _) | (_, Next::Again) => Next::Again,
            (Next::Wait, next) | (next, Next::Wait) => next,
            (Next::WaitUntil(one), Next::WaitUntil(other)) => Next::WaitUntil(one.min(other)),
        }
    }
}

/// What a task is told in a run, and what it can say besides what it wants next.
///
/// Send and Sync; lent for one run. No call blocks.
#[derive(Debug)]
pub struct TaskContext {
    ready: u64,
    sources_changed: bool,
}

impl Default for TaskContext {
    /// All sources may have something.
    fn default() -> TaskContext {
        TaskContext { ready: u64::MAX, sources_changed: false }
    }
}

impl TaskContext {
    /// Whether a source with this token may have something. At the start, and after a pause, all of them do; a source
    /// may be named although it has nothing.
    pub fn is_ready(&self, token: u8) -> bool {
        self.ready & bit(token.into()) != 0
    }

    /// Has [`QueueTask::sources`] asked again.
    pub fn sources_changed(&mut self) {
        self.sources_changed = true;
    }
}

/// One thing that a task is run for.
///
/// Send and Sync, and so are [`Sources`].
#[derive(Clone)]
#[non_exhaustive]
pub enum Source {
    /// A queue's doorbell. The runner takes what was signalled, and counts it.
    Doorbell(Event, Arc<QueueCounters>),
    /// An event of this task alone. The runner takes what was signalled.
    Event(Event),
    /// A file that has something to read, for as long as it has: the task reads it until it would block, or names it no
    /// more. Other tasks may name it too. Stays open while it is named. Regular files cannot be waited for.
    #[cfg(unix)]
    Readable(Arc<dyn AsRawFd + Send + Sync>),
    /// A file that takes something; named only while there is something to write.
    #[cfg(unix)]
    Writable(Arc<dyn AsRawFd + Send + Sync>),
}

/// The sources of one task besides its queues' doorbells.
///
/// Send and Sync. No call blocks.
#[derive(Default)]
pub struct Sources(Vec<(Source, u8)>);

impl Sources {
    /// Adds a source. By `token` the task knows it again, see [`TaskContext::is_ready`]; several sources may share one,
    /// and those from 63 on are one token.
    pub fn add(&mut self, source: Source, token: u8) {
        self.0.push((source, token));
    }

    /// What was added, in that order.
    pub fn iter(&self) -> impl Iterator<Item = (&Source, u8)> {
        self.0.iter().map(|(source, token)| (source, *token))
    }
}

/// The bit that stands for a number; from 63 on they share the last one.
fn bit(number: usize) -> u64 {
    1 << number.min(63)
}
