//! From the ring to the backend.

use log::Level;
use virtio_core::{Chain, Virtqueue};

use super::{Work, merge};
use crate::backend::{BlockQueue, OperationKind};
use crate::request::{Demand, Problem, Range, Request};
use crate::wire::{ID_LEN, LIFETIME_LEN, STATUS_LEN, Status};

/// What becomes of a chain.
enum Step {
    /// It was answered, with so many bytes written from its start on.
    Answered { written: usize },
    /// The same, and it was the driver's fault.
    Refused { written: usize },
    /// The operation in the free slot answers it.
    Submit { bytes: u64 },
    /// Nothing can be said to the driver.
    Mute,
    /// There is no slot, for now.
    Full,
}

impl Work {
    /// Takes one request, and answers it or hands it on. Says how many bytes it moves; none where there is no request.
    pub(super) fn take(&mut self, queue: &mut Virtqueue, engine: &mut dyn BlockQueue) -> Option<u64> {
        let chain = queue.pop()?;
        match self.prepare(&chain) {
            Step::Answered { written } => chain.complete(used(written)),
            Step::Refused { written } => chain.complete_bad_request(used(written)),
            Step::Submit { bytes } => {
                if let Some(operation) = self.slots.take(chain.into_ticket()) {
                    if self.shared.options.merge && merge::may_be(operation.kind) {
                        self.batch.push(operation);
                    } else {
                        self.submit(engine, operation);
                    }
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
        let Some(slot) = self.slots.free() else {
            return Step::Full;
        };
        let Some(operation) = &mut slot.operation else {
            return Step::Full;
        };
        // Left by a request that was refused.
        slot.ranges.clear();
        slot.begun = 0;
        let parsed = Request::parse(chain, &self.shared, self.negotiated, &mut slot.ranges);
        let Some((demand, mut request)) = parsed else {
            return Step::Mute;
        };
        let demand = match demand {
            Ok(demand) => demand,
            Err(problem) => return self.refuse(&mut request, problem),
        };
        let mut range = Range { offset: 0, len: 0 };
        let kind = match demand {
            Demand::Read { offset } => {
                range.offset = offset;
                OperationKind::Read
            }
            Demand::Write { offset } => {
                range.offset = offset;
                // BLK-STABLE-01: what counts is a cache mode that was there all the time, so that of now will do.
                OperationKind::Write { durable: !self.shared.writeback() }
            }
            Demand::Append { offset } => {
                range.offset = offset;
                OperationKind::ZoneAppend { durable: !self.shared.writeback() }
            }
            Demand::Zone { kind, offset } => {
                range.offset = offset;
                kind
            }
            Demand::Ranges(kind) => {
                let Some(first) = slot.ranges.first() else {
                    return request.answer(Status::Ok, 0);
                };
                range = *first;
                slot.begun = 1;
                kind
            }
            Demand::Flush => OperationKind::Flush,
            Demand::Id => return self.identify(&mut request),
            Demand::Lifetime => return self.tell_lifetime(&mut request),
        };
        let data = match kind {
            OperationKind::Read | OperationKind::ZoneReport => request.answer.remaining(),
            OperationKind::Write { .. } | OperationKind::ZoneAppend { .. } => request.payload.remaining(),
            _ => 0,
        };
        if data == 0 && matches!(kind, OperationKind::Read | OperationKind::Write { .. }) {
            return request.answer(Status::Ok, 0);
        }
        (operation.kind, operation.offset, operation.range) = (kind, range.offset, range.len);
        let held = match kind {
            OperationKind::Read | OperationKind::ZoneReport => operation.buffers.hold_writable(&request.answer),
            OperationKind::Write { .. } | OperationKind::ZoneAppend { .. } => {
                operation.buffers.hold_readable(&request.payload)
            }
            _ => {
                operation.buffers.clear();
                Ok(())
            }
        };
        // The status goes along with the data, in the same hold on memory. The chain has no fault, so all of it can be held.
        if held.and_then(|()| operation.buffers.hold_trailer(&request.status)).is_err() {
            operation.buffers.clear();
            return Step::Mute;
        }
        slot.asked = operation.len();
        Step::Submit { bytes: data as u64 }
    }

    #[cold]
    fn refuse(&mut self, request: &mut Request<'_>, problem: Problem) -> Step {
        let status = problem.status();
        self.count(|counters| match status {
            Status::Unsupported => counters.unsupported.add(1),
            Status::IoErr => counters.refused.add(1),
            _ => counters.zone_errors.add(1),
        });
        self.shared.log.log(Level::Debug, format_args!("a request was refused: {problem}"));
        match request.answer(status, 0) {
            Step::Answered { written } => Step::Refused { written },
            step => step,
        }
    }

    /// BLK-OP-14, DRV-BLK-08: as much of the name as there is room for.
    fn identify(&mut self, request: &mut Request<'_>) -> Step {
        let len = request.answer.remaining().min(ID_LEN);
        let name = self.shared.id.get(..len).unwrap_or_default();
        if request.answer.write(name).is_err() {
            return Step::Mute;
        }
        self.count(|counters| counters.ids.add(1));
        request.answer(Status::Ok, len)
    }

    fn tell_lifetime(&mut self, request: &mut Request<'_>) -> Step {
        let lifetime = match self.shared.backend.lifetime() {
            Ok(lifetime) => lifetime.unwrap_or_default().meaningful(),
            Err(error) => {
                let line = format_args!("the storage does not say how much of its life is left: {error}");
                self.shared.log.log(Level::Warn, line);
                self.count(|counters| counters.failed.add(1));
                return request.answer(Status::IoErr, 0);
            }
        };
        let values = [lifetime.pre_eol_info, lifetime.type_a, lifetime.type_b].map(u16::to_le_bytes);
        if request.answer.write(values.as_flattened()).is_err() {
            return Step::Mute;
        }
        self.count(|counters| counters.lifetimes.add(1));
        request.answer(Status::Ok, LIFETIME_LEN)
    }
}

impl Request<'_> {
    /// Writes the status of a request that ends here, `written` bytes of whose data part were written.
    ///
    /// BLK-OP-15, RING-SPLIT-07: the used length promises bytes from the start of the writable part on, and the status
    /// is at its end. So the status only counts where all data before it was written; a failed read has nothing to
    /// promise. Filling its data part with zeros would make the length come out whole, but let a driver have memory
    /// written at no cost of its own, and drivers go by the status.
    fn answer(&mut self, status: Status, written: usize) -> Step {
        if self.status.write(&[status as u8]).is_err() {
            return Step::Mute;
        }
        let all = self.answer.remaining() == 0;
        Step::Answered { written: if all { written + STATUS_LEN } else { written } }
    }
}

/// The used length; a chain has no more bytes than fit it.
pub(super) fn used(written: usize) -> u32 {
    u32::try_from(written).unwrap_or(0)
}
