//! The task that serves one queue.
//!
//! A request goes from [`take`] to the backend, by way of [`merge`] where that pays, and comes back in [`finish`], which
//! answers it, has the rest of it done, or keeps it while the device has stopped.

mod finish;
mod merge;
mod overdue;
mod take;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use log::Level;
use virtio_core::{Features, Next, QueueTask, Quiesce, Sources, TaskContext, Virtqueue};

use crate::backend::{BlockQueue, Operation};
use crate::counters::Counters;
use crate::shared::Shared;
use crate::slots::Slots;

/// Requests that are handed to the backend at once. The driver sees their answers together, too, where the backend is
/// a synchronous one.
const BATCH: u32 = 32;
/// Bytes after which a batch ends early, so that no request waits long for others.
const BATCH_BYTES: u64 = 1 << 20;
/// Batches in one run of the task.
const BATCHES: u32 = 4;

/// Serves one queue: takes requests, hands them to the backend, and answers those that have come back.
pub(crate) struct BlockTask {
    /// Goes first when the task goes: nothing of it touches guest memory afterwards. None before the first run.
    engine: Option<Box<dyn BlockQueue>>,
    /// Of the engine's sources.
    version: u64,
    queue: Virtqueue,
    work: Work,
}

/// All but the queue and the engine.
#[allow(clippy::vec_box)] // an operation stays in its box from submission to completion
struct Work {
    slots: Slots,
    shared: Arc<Shared>,
    /// Which of the device's counters are this queue's.
    place: usize,
    negotiated: Features,
    /// Reads and writes of the batch that is being taken, where they may be merged.
    batch: Vec<Box<Operation>>,
    sort: merge::Sort,
    /// What has come back and has to go to the backend again: with the next range of its request, or alone after it failed
    /// together with others.
    again: Vec<Box<Operation>>,
    /// What has failed, while the device has stopped.
    held: Vec<Box<Operation>>,
    /// Nobody waits for what is in flight.
    cancelled: bool,
    /// When to look for operations that take too long.
    next_look: Option<Instant>,
}

/// What a run of the task came to.
struct Served {
    /// There may be more to do at once.
    more: bool,
    /// When the rate limit lets more through, if it holds something back.
    until: Option<Instant>,
}

impl BlockTask {
    pub(crate) fn new(queue: Virtqueue, shared: Arc<Shared>, negotiated: Features) -> BlockTask {
        let place = usize::from(queue.index());
        let slots = Slots::new(queue.setup().size);
        shared.enter_task(queue.setup().doorbell.clone());
        let work = Work {
            slots,
            shared,
            place,
            negotiated,
            batch: Vec::with_capacity(BATCH as usize),
            sort: merge::Sort::default(),
            again: Vec::new(),
            held: Vec::new(),
            cancelled: false,
            next_look: None,
        };
        BlockTask { engine: None, version: 0, work, queue }
    }

    /// Opens the backend's queue on the thread that is to use it.
    fn open(&mut self, cx: &mut TaskContext) -> io::Result<()> {
        if self.engine.is_none() {
            let engine = self.work.shared.backend.open_queue(self.queue.setup().size)?;
            self.version = engine.sources_version();
            self.engine = Some(engine);
            cx.sources_changed();
        }
        Ok(())
    }

    /// A bounded number of batches.
    fn serve(&mut self) -> Served {
        let mut more = self.go_on();
        for _ in 0..BATCHES {
            more |= self.finish();
            let (taken, until) = self.batch();
            more |= self.finish();
            self.queue.publish();
            if taken == 0 {
                return Served { more, until };
            }
        }
        Served { more: true, until: None }
    }

    /// Takes requests, and hands them to the backend; says how many, and until when the rate limit holds back more.
    fn batch(&mut self) -> (u32, Option<Instant>) {
        let BlockTask { engine: Some(engine), version: _, queue, work } = self else {
            return (0, None);
        };
        if work.shared.is_stopped() {
            return (0, None);
        }
        let rate = work.shared.options.rate.clone().map(|limit| (limit, Instant::now()));
        let (mut taken, mut bytes, mut until) = (0, 0, None);
        while taken < BATCH && bytes < BATCH_BYTES {
            until = rate.as_ref().and_then(|(limit, now)| limit.wait(*now));
            if until.is_some() {
                break;
            }
            let Some(len) = work.take(queue, &mut **engine) else {
                break;
            };
            if let Some((limit, _)) = &rate {
                limit.take(len);
            }
            taken += 1;
            bytes += len;
        }
        if until.is_some() {
            work.count(|counters| counters.throttled.add(1));
        }
        if taken > 0 {
            work.hand_over(&mut **engine);
            engine.kick();
        }
        (taken, until)
    }

    /// Does again what failed, where the device has been resumed.
    fn go_on(&mut self) -> bool {
        let BlockTask { engine: Some(engine), version: _, queue: _, work } = self else {
            return false;
        };
        if work.held.is_empty() || work.shared.is_stopped() {
            return false;
        }
        for operation in std::mem::take(&mut work.held) {
            work.submit(&mut **engine, operation);
        }
        engine.kick();
        true
    }

    /// Answers what has come back from the backend. Says whether something went to the backend again.
    fn finish(&mut self) -> bool {
        let BlockTask { engine: Some(engine), version: _, queue, work } = self else {
            return false;
        };
        let most = usize::from(queue.in_flight());
        engine.completions(most, &mut |completion| work.finish(queue, completion));
        if work.again.is_empty() {
            return false;
        }
        let mut again = std::mem::take(&mut work.again);
        for operation in again.drain(..) {
            work.submit(&mut **engine, operation);
        }
        work.again = again;
        engine.kick();
        true
    }
}

impl Work {
    fn count(&self, count: impl FnOnce(&Counters)) {
        self.shared.counters.get(self.place).map(count);
    }

    /// What the task waits for: `more` is there at once, or there is something at these times.
    fn next(&self, more: bool, times: [Option<Instant>; 2]) -> Next {
        if more {
            return Next::Again;
        }
        let times = times.into_iter().chain([self.next_look]).flatten();
        times.min().map_or(Next::Wait, Next::WaitUntil)
    }

    /// Hands an operation to the backend.
    fn submit(&mut self, engine: &mut dyn BlockQueue, operation: Box<Operation>) {
        self.watch(operation.tag);
        engine.submit(operation);
    }
}

impl QueueTask for BlockTask {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn sources(&self, sources: &mut Sources) {
        if let Some(engine) = &self.engine {
            engine.sources(sources);
        }
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        if let Err(error) = self.open(cx) {
            let line = format_args!("the block backend cannot serve queue {}: {error}", self.queue.index());
            self.work.shared.log.log(Level::Error, line);
            return Next::Done;
        }
        let Served { more, until } = self.serve();
        let Some(engine) = &mut self.engine else {
            return Next::Done;
        };
        self.work.look_for_overdue(&mut **engine);
        if self.version != engine.sources_version() {
            self.version = engine.sources_version();
            cx.sources_changed();
        }
        let deadline = engine.deadline();
        self.work.next(more, [deadline, until])
    }

    fn quiesce(&mut self, _queue: u16, how: Quiesce) -> Next {
        if let (Some(engine), Quiesce::Cancel, 1..) = (&mut self.engine, how, self.queue.in_flight()) {
            self.work.cancel(&mut self.queue);
            engine.cancel();
        }
        let more = self.finish();
        match &self.engine {
            Some(engine) if self.queue.in_flight() > 0 => {
                // Sources are looked at in a run.
                let more = more || self.version != engine.sources_version();
                self.work.next(more, [engine.deadline(), None])
            }
            _ => Next::Done,
        }
    }

    /// Both are as deep as the queue. Nothing is in flight, so none of them has anything to lose; the backend's queue is
    /// opened again by the next run.
    fn queue_restarted(&mut self, _queue: u16) {
        self.engine = None;
        self.work.slots = Slots::new(self.queue.setup().size);
        self.work.cancelled = false;
        self.work.next_look = None;
    }
}
