//! From the backend to the driver.

use std::io;

use log::Level;
use virtio_core::{MemoryError, Ticket, Virtqueue};

use super::Work;
use super::take::used;
use crate::backend::{Completion, Operation, OperationError, OperationKind, OperationResult, ZoneError};
use crate::policy::{Reaction, Stopped, is_full};
use crate::wire::{APPEND_SECTOR_LEN, SECTOR, STATUS_LEN, Status};

impl Work {
    /// Takes what has come back from the backend.
    pub(super) fn finish(&mut self, queue: &mut Virtqueue, completion: Completion) {
        let Completion { operation, result } = completion;
        if operation.merged.is_empty() {
            self.settle(queue, operation, result);
        } else {
            self.take_apart(queue, operation, result);
        }
    }

    /// Settles each of several that were merged. Where not all went well, which of them it concerns is found by doing them
    /// again one by one.
    fn take_apart(&mut self, queue: &mut Virtqueue, mut operation: Box<Operation>, result: OperationResult) {
        let all = operation.len();
        let mut parts = std::mem::take(&mut operation.merged);
        let own = all.saturating_sub(parts.iter().map(|part| part.len()).sum());
        operation.buffers.truncate(usize::try_from(own).unwrap_or(0));
        let well = matches!(result, Ok(done) if done == all);
        for part in parts.drain(..) {
            self.settle_part(queue, part, well);
        }
        // For its room.
        operation.merged = parts;
        self.settle_part(queue, operation, well);
    }

    fn settle_part(&mut self, queue: &mut Virtqueue, part: Box<Operation>, well: bool) {
        if well {
            let len = part.len();
            self.settle(queue, part, Ok(len));
        } else if self.cancelled {
            self.settle(queue, part, Err(OperationError::Io(io::ErrorKind::Interrupted.into())));
        } else {
            self.again.push(part);
        }
    }

    /// Answers a request, has its next range done, or keeps it.
    fn settle(&mut self, queue: &mut Virtqueue, mut operation: Box<Operation>, result: OperationResult) {
        let Some(slot) = self.slots.get(operation.tag()) else {
            log::error!("the block backend gave back an operation that it did not have: {operation:?}");
            return;
        };
        let (kind, asked) = (operation.kind(), slot.asked);
        // Most operations go well, and are all that there is to their request.
        if matches!(result, Ok(done) if done == asked) && slot.begun >= slot.ranges.len() {
            return match kind {
                OperationKind::Read | OperationKind::Write { .. } => self.answer_plain(queue, operation),
                _ => self.answer(queue, operation, Status::Ok, asked),
            };
        }
        let next = slot.ranges.get(slot.begun).copied();
        let (mut status, mut value) = (Status::Ok, 0);
        match whole(kind, asked, slot.overdue, result) {
            Ok(done) => value = done,
            Err(OperationError::Unsupported) => status = Status::Unsupported,
            Err(OperationError::Zone(error)) => status = Status::from(error),
            Err(OperationError::Io(error)) => {
                self.shared.log.log(Level::Warn, format_args!("{operation:?} failed: {error}"));
                match self.react(kind, &error) {
                    Reaction::Report => status = Status::IoErr,
                    Reaction::Ignore => value = self.pretend(&operation),
                    Reaction::Stop => return self.hold(operation, &error),
                }
            }
        }
        if let (Status::Ok, Some(range)) = (status, next) {
            // Not for a request that nobody waits for: the rest of it need not be done.
            if self.cancelled {
                status = Status::IoErr;
            } else {
                if let Some(slot) = self.slots.get(operation.tag()) {
                    slot.begun += 1;
                    slot.asked = range.len;
                }
                (operation.offset, operation.range) = (range.offset, range.len);
                self.again.push(operation);
                return;
            }
        }
        self.answer(queue, operation, status, value);
    }

    /// What the embedder wants done about an error of the storage.
    fn react(&self, kind: OperationKind, error: &io::Error) -> Reaction {
        if self.cancelled {
            return Reaction::Report;
        }
        let options = &self.shared.options;
        let reads = matches!(kind, OperationKind::Read | OperationKind::ZoneReport);
        let reaction = if reads { options.on_read_error } else { options.on_write_error }.answer(error);
        match (reaction, kind) {
            // Nobody knows where the data would be.
            (Reaction::Ignore, OperationKind::ZoneAppend { .. }) => Reaction::Report,
            _ => reaction,
        }
    }

    /// Makes a failure look as if all had gone well.
    fn pretend(&mut self, operation: &Operation) -> u64 {
        // The memory was checked when it was taken hold of.
        let _ = operation.fill_with_zeros();
        self.count(|counters| counters.ignored.add(1));
        operation.len()
    }

    /// Keeps an operation until the embedder has the device go on.
    fn hold(&mut self, operation: Box<Operation>, error: &io::Error) {
        if let Some(slot) = self.slots.get(operation.tag()) {
            slot.since = None;
        }
        self.held.push(operation);
        self.count(|counters| counters.held.add(1));
        let queue = u16::try_from(self.place).unwrap_or(u16::MAX);
        self.shared.stop(Stopped { queue, full: is_full(error), error: error.to_string() });
    }

    /// Nobody waits for what is in flight any more. What the backend does not have is answered at once.
    pub(super) fn cancel(&mut self, queue: &mut Virtqueue) {
        self.cancelled = true;
        for operation in std::mem::take(&mut self.held) {
            self.answer(queue, operation, Status::IoErr, 0);
        }
    }

    /// Answers a read or a write that went well.
    fn answer_plain(&mut self, queue: &mut Virtqueue, operation: Box<Operation>) {
        let Some(ticket) = self.slots.get(operation.tag()).and_then(|slot| slot.ticket.take()) else {
            return;
        };
        let (kind, buffers) = (operation.kind(), &operation.buffers);
        let len = buffers.len();
        buffers.mark_written(queue.view(), len);
        let told = buffers.write_trailer(queue.view(), &[Status::Ok as u8]);
        let written = if kind == OperationKind::Read { len + STATUS_LEN } else { STATUS_LEN };
        give_back(queue, ticket, told, written);
        self.slots.give_back(operation);
        self.count_answer(kind, Status::Ok, len as u64);
    }

    /// Writes the status, gives the buffers back to the driver, and the slot to whoever comes next. `value` is what the
    /// backend said of an operation that went well.
    fn answer(&mut self, queue: &mut Virtqueue, operation: Box<Operation>, status: Status, value: u64) {
        let Some(slot) = self.slots.get(operation.tag()) else {
            return;
        };
        let Some(ticket) = slot.ticket.take() else {
            return;
        };
        let kind = operation.kind();
        let room = operation.buffers.len();
        let reads = matches!(kind, OperationKind::Read | OperationKind::ZoneReport);
        // What was written of the data part, in full where it failed: some of it may have been.
        let data = match (kind, status) {
            _ if !reads => 0,
            (OperationKind::ZoneReport, Status::Ok) => usize::try_from(value).unwrap_or(room).min(room),
            _ => room,
        };
        if reads {
            operation.buffers.mark_written(queue.view(), data);
        }
        let (told, tail) = if let OperationKind::ZoneAppend { .. } = kind {
            // BLK-ZONE-13
            let mut tail = [status as u8; APPEND_SECTOR_LEN + STATUS_LEN];
            tail[..APPEND_SECTOR_LEN].copy_from_slice(&(value / SECTOR).to_le_bytes());
            (operation.buffers.write_trailer(queue.view(), &tail), tail.len())
        } else {
            (operation.buffers.write_trailer(queue.view(), &[status as u8]), STATUS_LEN)
        };
        // See `Request::answer` for what the length promises.
        let written = match status {
            _ if !reads => tail,
            Status::Ok if data == room => room + STATUS_LEN,
            Status::Ok => data,
            _ => 0,
        };
        give_back(queue, ticket, told, written);
        let bytes = if room != 0 { room as u64 } else { slot.ranges.iter().map(|range| range.len).sum() };
        self.slots.give_back(operation);
        self.count_answer(kind, status, bytes);
    }

    fn count_answer(&self, kind: OperationKind, status: Status, bytes: u64) {
        self.count(|counters| {
            match status {
                Status::Ok => {}
                Status::Unsupported => return counters.unsupported.add(1),
                Status::IoErr => return counters.failed.add(1),
                _ => return counters.zone_errors.add(1),
            }
            match kind {
                OperationKind::Read => {
                    counters.reads.add(1);
                    counters.read_bytes.add(bytes);
                }
                OperationKind::Write { .. } => {
                    counters.writes.add(1);
                    counters.written_bytes.add(bytes);
                }
                OperationKind::Flush => counters.flushes.add(1),
                OperationKind::Discard => {
                    counters.discards.add(1);
                    counters.discarded_bytes.add(bytes);
                }
                OperationKind::WriteZeroes { .. } => {
                    counters.write_zeroes.add(1);
                    counters.zeroed_bytes.add(bytes);
                }
                OperationKind::SecureErase => {
                    counters.secure_erases.add(1);
                    counters.erased_bytes.add(bytes);
                }
                OperationKind::ZoneReport => counters.zone_reports.add(1),
                OperationKind::ZoneOpen
                | OperationKind::ZoneClose
                | OperationKind::ZoneFinish
                | OperationKind::ZoneReset
                | OperationKind::ZoneResetAll => counters.zone_commands.add(1),
                OperationKind::ZoneAppend { .. } => {
                    counters.zone_appends.add(1);
                    counters.written_bytes.add(bytes);
                }
            }
        });
    }
}

/// Gives the chain of a request back, where the driver was told its status: `written` bytes of it. The place for it was there
/// when it was taken hold of.
fn give_back(queue: &mut Virtqueue, ticket: Ticket, told: Result<(), MemoryError>, written: usize) {
    if queue.complete(ticket, used(if told.is_ok() { written } else { 0 })).is_err() {
        log::error!("a block request of another queue was completed");
    }
}

/// A short transfer is a failure, and never passes for a success.
fn whole(kind: OperationKind, asked: u64, overdue: bool, result: OperationResult) -> OperationResult {
    match result {
        Ok(done) if done != asked && !matches!(kind, OperationKind::ZoneReport | OperationKind::ZoneAppend { .. }) => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ended after {done} bytes")).into())
        }
        Err(OperationError::Io(_)) if overdue => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        result => result,
    }
}

impl From<ZoneError> for Status {
    fn from(error: ZoneError) -> Status {
        match error {
            ZoneError::InvalidCommand => Status::ZoneInvalidCommand,
            ZoneError::UnalignedWritePointer => Status::ZoneUnalignedWritePointer,
            ZoneError::OpenResource => Status::ZoneOpenResource,
            ZoneError::ActiveResource => Status::ZoneActiveResource,
        }
    }
}
