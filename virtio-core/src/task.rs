//! The work of a device, without threads.

mod control;
mod runner;

#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use crate::event::Event;
use crate::ring::{QueueCounters, QueuePosition, Virtqueue};

pub(crate) use control::{Command, Outcome, TaskControl};
pub use runner::{Ready, TaskRunner};

/// A piece of a device that owns queues and serves them.
///
/// A [`Runtime`](crate::Runtime) runs it: always on one thread at a time, and on the same one from its first run on if
/// the runtime has threads. It never blocks and never waits for its host.
pub trait QueueTask: Send {
    /// Names what the task wants to be run for. Asked again after [`TaskContext::sources_changed`].
    fn sources(&self, sources: &mut Sources);

    /// Does a bounded amount of work. `events` says which sources have something; at the start, and after a pause, all
    /// of them do. A source may be named although it has nothing.
    ///
    /// Before each run the runner [grants](Virtqueue::grant) each of its queues [`CHAINS_PER_RUN`] chains: however fast a
    /// driver is, `pop` ends, and `arm` says that there is more. A task that stops at less, for requests that take long
    /// or move much, bounds that by itself.
    fn run(&mut self, events: Events, cx: &mut TaskContext) -> Next;

    /// Calls `each` with each of its queues. None where the queues are served elsewhere.
    fn queues(&mut self, each: &mut dyn FnMut(&mut Virtqueue));

    /// Asked again and again, while events go on, until nothing is in flight; the queues take nothing new meanwhile.
    /// With [`Quiesce::Cancel`] the work is not wanted any more. Never waits. True when nothing is in flight.
    fn quiesce(&mut self, how: Quiesce) -> bool {
        let _ = how;
        let mut idle = true;
        self.queues(&mut |queue| idle &= queue.in_flight() == 0);
        idle
    }

    /// Asked again and again, while events go on, about a queue that the driver resets or stops; the queue takes
    /// nothing new meanwhile, and the others go on. With [`Quiesce::Cancel`] its work is not wanted any more. Never
    /// waits. True when nothing is in flight in it: from then on nothing of its work may touch guest memory.
    fn quiesce_queue(&mut self, number: u16, how: Quiesce) -> bool {
        let _ = how;
        let mut idle = true;
        self.queues(&mut |queue| idle &= queue.index() != number || queue.in_flight() == 0);
        idle
    }

    /// The driver has enabled a queue again that it had reset: among [`queues`](Self::queues) it has been replaced by
    /// one with the new configuration. For tasks that keep something for each queue; the sources are asked again
    /// afterwards.
    fn queue_restarted(&mut self, number: u16) {
        let _ = number;
    }

    /// The numbers and positions of its queues, once quiesced.
    fn positions(&mut self) -> Vec<(u16, QueuePosition)> {
        let mut positions = Vec::new();
        self.queues(&mut |queue| positions.push((queue.index(), queue.position())));
        positions
    }

    /// The numbers of its queues.
    fn queue_numbers(&mut self) -> Vec<u16> {
        let mut numbers = Vec::new();
        self.queues(&mut |queue| numbers.push(queue.index()));
        numbers
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
pub enum Next {
    /// To be run again soon: its budget ran out before its work did.
    Again,
    /// To be run when a source has something.
    Wait,
    /// The same, or at this time.
    WaitUntil(Instant),
    /// Never again: it cannot go on. The device asks for a reset.
    Done,
}

/// What a task can say while it runs, besides what it wants next.
///
/// Send and Sync; lent for one run. No call blocks.
#[derive(Debug, Default)]
pub struct TaskContext {
    sources_changed: bool,
}

impl TaskContext {
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
    /// A file that has something to read; the task reads it. Other tasks may name it too. Stays open while it is named.
    #[cfg(unix)]
    Readable(Arc<dyn AsRawFd + Send + Sync>),
    /// A file that takes something; named only while there is something to write.
    #[cfg(unix)]
    Writable(Arc<dyn AsRawFd + Send + Sync>),
}

/// The sources of one task. At most 64.
///
/// Send and Sync. No call blocks.
#[derive(Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds the doorbell of a queue; returns the source's place.
    pub fn queue(&mut self, queue: &Virtqueue) -> u32 {
        let setup = queue.setup();
        self.add(Source::Doorbell(setup.doorbell.clone(), setup.counters.clone()))
    }

    /// Adds a source; returns its place. From the 64th on they share the last place.
    pub fn add(&mut self, source: Source) -> u32 {
        self.0.push(source);
        place(self.0.len() - 1)
    }
}

fn place(index: usize) -> u32 {
    index.min(63) as u32
}

/// The sources that have something, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u64);

impl Events {
    /// All sources.
    pub const ALL: Events = Events(u64::MAX);
    /// None.
    pub const NONE: Events = Events(0);

    /// Whether the source at `place` may have something.
    pub fn contains(self, place: u32) -> bool {
        self.0.checked_shr(place).unwrap_or(0) & 1 == 1
    }
}
