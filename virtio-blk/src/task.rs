//! The task that serves one queue.

use std::io;
use std::sync::Arc;

use log::Level;
use virtio_core::{Chain, Next, QueueTask, Quiesce, Sources, TaskContext, Virtqueue};

use crate::backend::{BlockQueue, Completion, OperationKind};
use crate::counters::Counters;
use crate::request::{Demand, Problem, Request};
use crate::shared::Shared;
use crate::slots::Slots;
use crate::wire::{ID_LEN, Status};

/// Requests that are handed to the backend at once. The driver sees their answers together, too, where the backend is
/// a synchronous one.
const BATCH: u32 = 32;
/// Bytes after which a batch ends early, so that no request waits long for others.
const BATCH_BYTES: usize = 1 << 20;
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
struct Work {
    slots: Slots,
    shared: Arc<Shared>,
    /// Which of the device's counters are this queue's.
    place: usize,
}

impl BlockTask {
    pub(crate) fn new(queue: Virtqueue, shared: Arc<Shared>) -> BlockTask {
        let place = usize::from(queue.index());
        let slots = Slots::new(queue.setup().size);
        BlockTask { engine: None, version: 0, work: Work { slots, shared, place }, queue }
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

    /// A bounded number of batches; says whether there may be more.
    fn serve(&mut self) -> bool {
        for _ in 0..BATCHES {
            self.finish();
            let taken = self.batch();
            if let (Some(engine), true) = (&mut self.engine, taken > 0) {
                engine.kick();
            }
            self.finish();
            self.queue.publish();
            if taken == 0 {
                return false;
            }
        }
        true
    }

    /// Takes requests; says how many.
    fn batch(&mut self) -> u32 {
        let Some(engine) = &mut self.engine else {
            return 0;
        };
        let (mut taken, mut bytes) = (0, 0);
        while taken < BATCH && bytes < BATCH_BYTES {
            let Some(len) = self.work.take(&mut self.queue, &mut **engine) else {
                break;
            };
            taken += 1;
            bytes += len;
        }
        taken
    }

    /// Answers what has come back from the backend.
    fn finish(&mut self) {
        let BlockTask { engine: Some(engine), version: _, queue, work } = self else {
            return;
        };
        let most = usize::from(queue.in_flight());
        engine.completions(most, &mut |completion| work.finish(queue, completion));
    }
}

/// What becomes of a chain.
enum Step {
    /// It was answered, with so many bytes written from its start on.
    Answered { written: usize },
    /// The same, and it was the driver's fault.
    Refused { written: usize },
    /// The operation in the free slot answers it.
    Submit { bytes: usize },
    /// Nothing can be said to the driver.
    Mute,
    /// There is no slot, for now.
    Full,
}

impl Work {
    fn count(&self, count: impl FnOnce(&Counters)) {
        self.shared.counters.get(self.place).map(count);
    }

    /// Takes one request, and answers it or hands it to the engine. Says how many bytes it moves; none where there is
    /// no request.
    fn take(&mut self, queue: &mut Virtqueue, engine: &mut dyn BlockQueue) -> Option<usize> {
        let chain = queue.pop()?;
        match self.prepare(&chain) {
            Step::Answered { written } => chain.complete(used(written)),
            Step::Refused { written } => chain.complete_bad_request(used(written)),
            Step::Submit { bytes } => {
                if let Some(operation) = self.slots.take(chain.into_ticket()) {
                    engine.submit(operation);
                }
                return Some(bytes);
            }
            Step::Mute => {
                self.shared.log.log(Level::Debug, format_args!("a request without a status byte"));
                chain.break_ring();
            }
            Step::Full => {
                chain.put_back();
                return None;
            }
        }
        Some(0)
    }

    fn prepare(&mut self, chain: &Chain<'_>) -> Step {
        let Some(request) = Request::parse(chain, &self.shared) else {
            return Step::Mute;
        };
        let (kind, offset, bytes) = match request.demand {
            Ok(Demand::Read { offset }) => (OperationKind::Read, offset, request.answer.remaining()),
            Ok(Demand::Write { offset }) => {
                // BLK-STABLE-01: what counts is a cache mode that was there all the time, so that of now will do.
                let durable = !self.shared.writeback();
                (OperationKind::Write { durable }, offset, request.payload.remaining())
            }
            Ok(Demand::Flush) => (OperationKind::Flush, 0, 0),
            Ok(Demand::Id) => return self.identify(request),
            Err(problem) => return self.refuse(request, problem),
        };
        if bytes == 0 && kind != OperationKind::Flush {
            return request.answer(Status::Ok, 0);
        }
        let Some(slot) = self.slots.free() else {
            return Step::Full;
        };
        let Some(operation) = &mut slot.operation else {
            return Step::Full;
        };
        (operation.kind, operation.offset) = (kind, offset);
        let held = match kind {
            OperationKind::Read => operation.buffers.hold_writable(&request.answer),
            _ => operation.buffers.hold_readable(&request.payload),
        };
        // The chain has no fault, so all of it can be held.
        if held.and_then(|()| slot.status.hold_writable(&request.status)).is_err() {
            operation.buffers.clear();
            return Step::Mute;
        }
        Step::Submit { bytes }
    }

    fn refuse(&mut self, request: Request<'_>, problem: Problem) -> Step {
        let status = problem.status();
        self.count(|counters| match status {
            Status::Unsupported => counters.unsupported.add(1),
            _ => counters.refused.add(1),
        });
        self.shared.log.log(Level::Debug, format_args!("a request was refused: {problem}"));
        match request.answer(status, 0) {
            Step::Answered { written } => Step::Refused { written },
            step => step,
        }
    }

    /// BLK-OP-14, DRV-BLK-08: as much of the name as there is room for.
    fn identify(&mut self, mut request: Request<'_>) -> Step {
        let len = request.answer.remaining().min(ID_LEN);
        let name = self.shared.id.get(..len).unwrap_or_default();
        if request.answer.write(name).is_err() {
            return Step::Mute;
        }
        self.count(|counters| counters.ids.add(1));
        request.answer(Status::Ok, len)
    }

    /// Answers a request that has come back from the backend.
    fn finish(&mut self, queue: &mut Virtqueue, completion: Completion) {
        let Completion { operation, result } = completion;
        let Some((slot, ticket)) = self.slots.taken(operation.tag()) else {
            log::error!("the block backend gave back an operation that it did not have: {operation:?}");
            return;
        };
        let (kind, asked) = (operation.kind(), operation.buffers.len());
        if kind == OperationKind::Read {
            // Also where it failed: some of it may have been written.
            operation.buffers.mark_written(queue.view(), asked);
        }
        // A short transfer is a failure, and never passes for a success.
        let status = match result {
            Ok(moved) if moved == asked as u64 => Status::Ok,
            Ok(moved) => {
                self.shared.log.log(Level::Warn, format_args!("{operation:?} ended after {moved} bytes"));
                Status::IoErr
            }
            Err(error) => {
                self.shared.log.log(Level::Warn, format_args!("{operation:?} failed: {error}"));
                Status::IoErr
            }
        };
        let written = match (kind, status) {
            (OperationKind::Read, Status::Ok) => asked + STATUS_LEN,
            (OperationKind::Read, _) => 0,
            _ => STATUS_LEN,
        };
        let written = match slot.status.writer(queue.view()).write(&[status as u8]) {
            Ok(()) => written,
            // It was there when it was taken hold of.
            Err(_) => 0,
        };
        if queue.complete(ticket, used(written)).is_err() {
            log::error!("a block request of another queue was completed");
        }
        self.slots.give_back(operation);
        self.count(|counters| match (status, kind) {
            (Status::Ok, OperationKind::Read) => {
                counters.reads.add(1);
                counters.read_bytes.add(asked as u64);
            }
            (Status::Ok, OperationKind::Write { .. }) => {
                counters.writes.add(1);
                counters.written_bytes.add(asked as u64);
            }
            (Status::Ok, OperationKind::Flush) => counters.flushes.add(1),
            _ => counters.failed.add(1),
        });
    }
}

/// Bytes of the status.
const STATUS_LEN: usize = 1;

impl Request<'_> {
    /// Writes the status of a request that ends here, `written` bytes of whose data part were written.
    ///
    /// BLK-OP-15, RING-SPLIT-07: the used length promises bytes from the start of the writable part on, and the status
    /// is at its end. So the status only counts where all data before it was written; a failed read has nothing to
    /// promise. Filling its data part with zeros would make the length come out whole, but let a driver have memory
    /// written at no cost of its own, and drivers go by the status.
    fn answer(mut self, status: Status, written: usize) -> Step {
        if self.status.write(&[status as u8]).is_err() {
            return Step::Mute;
        }
        let all = self.answer.remaining() == 0;
        Step::Answered { written: if all { written + STATUS_LEN } else { written } }
    }
}

/// The used length; a chain has no more bytes than fit it.
fn used(written: usize) -> u32 {
    u32::try_from(written).unwrap_or(0)
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
        let more = self.serve();
        let Some(engine) = &self.engine else {
            return Next::Done;
        };
        if self.version != engine.sources_version() {
            self.version = engine.sources_version();
            cx.sources_changed();
        }
        if more {
            return Next::Again;
        }
        engine.deadline().map_or(Next::Wait, Next::WaitUntil)
    }

    fn quiesce(&mut self, _queue: u16, how: Quiesce) -> bool {
        if let (Some(engine), Quiesce::Cancel, 1..) = (&mut self.engine, how, self.queue.in_flight()) {
            engine.cancel();
        }
        self.finish();
        self.queue.in_flight() == 0
    }

    /// Both are as deep as the queue. Nothing is in flight, so none of them has anything to lose; the backend's queue is
    /// opened again by the next run.
    fn queue_restarted(&mut self, _queue: u16) {
        self.engine = None;
        self.work.slots = Slots::new(self.queue.setup().size);
    }
}
