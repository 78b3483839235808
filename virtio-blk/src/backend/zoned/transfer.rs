//! Reads and writes.

use std::io;
use std::ops::Range;

use virtio_core::GuestBuffers;

use super::disk::{Admitted, Verdict};
use super::queue::{Asked, Job, ZonedQueue, join, put_back};
use super::shared::Keep;
use crate::backend::{Operation, OperationError, OperationKind, OperationResult};

impl Operation {
    /// Its range of the disk.
    fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len())
    }
}

impl ZonedQueue {
    pub(super) fn read(&mut self, operation: Box<Operation>, job: Job) {
        let range = operation.range();
        if range.is_empty() {
            return self.end(operation, Ok(0), Keep::Nothing);
        }
        if let Job::Read { start, done, rest } = job {
            return self.read_piece(operation, start, done, rest);
        }
        match self.decide(|disk| disk.read(&range)) {
            Ok(Verdict::Go(())) => {}
            Ok(Verdict::Wait) => return self.park(operation, Job::None),
            Err(error) => return self.end(operation, Err(error), Keep::Nothing),
        }
        self.read_piece(operation, range.start, GuestBuffers::new(), GuestBuffers::new());
    }

    /// Reads what comes next: the operation's memory, which begins behind what is done already. What was never written
    /// is not asked for: zeros it is (BLK-ZONE-22).
    fn read_piece(&mut self, mut operation: Box<Operation>, start: u64, mut done: GuestBuffers, rest: GuestBuffers) {
        if !join(&mut operation.buffers, rest) {
            return self.end(operation, Err(io::Error::other("pieces of memory do not fit").into()), Keep::Nothing);
        }
        loop {
            operation.offset = start.saturating_add(done.len() as u64);
            let range = operation.range();
            if range.is_empty() {
                break;
            }
            let piece = self.decide(|disk| match disk.read(&range)? {
                Verdict::Go(()) => Ok(Verdict::Go(disk.alike(&range))),
                Verdict::Wait => Ok::<_, OperationError>(Verdict::Wait),
            });
            let (len, there) = match piece {
                Ok(Verdict::Go(piece)) => piece,
                Ok(Verdict::Wait) => {
                    return self.park(operation, Job::Read { start, done, rest: GuestBuffers::new() });
                }
                Err(error) => return self.read_ended(operation, start, done, GuestBuffers::new(), Err(error)),
            };
            if there && done.is_empty() && len == operation.len() {
                return self.pass(operation, Job::Passed);
            }
            let rest = operation.buffers.split_off(usize::try_from(len).unwrap_or(usize::MAX));
            if there {
                return self.pass(operation, Job::Read { start, done, rest });
            }
            if let Err(error) = operation.fill_with_zeros() {
                return self.read_ended(operation, start, done, rest, Err(error.into()));
            }
            if !join(&mut done, std::mem::replace(&mut operation.buffers, rest)) {
                return self.end(operation, Err(io::Error::other("pieces of memory do not fit").into()), Keep::Nothing);
            }
        }
        let len = done.len() as u64;
        self.read_ended(operation, start, done, GuestBuffers::new(), Ok(len));
    }

    pub(super) fn piece_read(
        &mut self,
        mut operation: Box<Operation>,
        result: OperationResult,
        start: u64,
        mut done: GuestBuffers,
        rest: GuestBuffers,
    ) {
        match result {
            Ok(read) if read == operation.len() => {
                let piece = std::mem::replace(&mut operation.buffers, rest);
                let _ = join(&mut done, piece);
                self.read_piece(operation, start, done, GuestBuffers::new());
            }
            Ok(read) => {
                let read = read.saturating_add(done.len() as u64);
                self.read_ended(operation, start, done, rest, Ok(read));
            }
            Err(error) => self.read_ended(operation, start, done, rest, Err(error)),
        }
    }

    fn read_ended(
        &mut self,
        mut operation: Box<Operation>,
        start: u64,
        done: GuestBuffers,
        rest: GuestBuffers,
        result: OperationResult,
    ) {
        operation.offset = start;
        let whole = put_back(&mut operation, done, rest);
        let result = if whole { result } else { Err(io::Error::other("pieces of memory do not fit").into()) };
        self.end(operation, result, Keep::Nothing);
    }

    pub(super) fn write(&mut self, operation: Box<Operation>) {
        let range = operation.range();
        if range.is_empty() {
            return self.end(operation, Ok(0), Keep::Nothing);
        }
        match self.decide(|disk| disk.write(range)) {
            Ok(Verdict::Go(admitted)) => self.admitted(operation, admitted),
            Ok(Verdict::Wait) => self.park(operation, Job::None),
            Err(error) => self.end(operation, Err(error.into()), Keep::Nothing),
        }
    }

    pub(super) fn discard(&mut self, operation: Box<Operation>) {
        let range = operation.range();
        if range.is_empty() {
            return self.end(operation, Ok(0), Keep::Nothing);
        }
        match self.decide(|disk| disk.discard(range)) {
            Ok(Verdict::Go(admitted)) => self.admitted(operation, admitted),
            Ok(Verdict::Wait) => self.park(operation, Job::None),
            Err(error) => self.end(operation, Err(error.into()), Keep::Nothing),
        }
    }

    /// An append is a write at the pointer.
    pub(super) fn append(&mut self, mut operation: Box<Operation>, durable: bool) {
        let (offset, len) = (operation.offset, operation.len());
        let most = self.shared.characteristics.max_append_len;
        let admitted = self.decide(|disk| {
            let at = disk.append_to(offset, len, most)?;
            if len == 0 {
                return Ok(Verdict::Go((at, None)));
            }
            Ok::<_, OperationError>(match disk.write(at..at.saturating_add(len))? {
                Verdict::Go(admitted) => Verdict::Go((at, Some(admitted))),
                Verdict::Wait => Verdict::Wait,
            })
        });
        match admitted {
            Ok(Verdict::Go((at, Some(Admitted { flight: Some(flight), .. })))) => {
                let asked = Asked { kind: operation.kind, offset };
                (operation.kind, operation.offset) = (OperationKind::Write { durable }, at);
                self.pass(operation, Job::Write { flight, asked });
            }
            Ok(Verdict::Go((at, _))) => self.end(operation, Ok(at), Keep::Nothing),
            Ok(Verdict::Wait) => self.park(operation, Job::None),
            Err(error) => self.end(operation, Err(error), Keep::Nothing),
        }
    }

    fn admitted(&mut self, operation: Box<Operation>, admitted: Admitted) {
        let Admitted { flight, gap } = admitted;
        let Some(flight) = flight else {
            return self.pass(operation, Job::Passed);
        };
        if !gap.is_empty() {
            return self.zero_gap(flight, gap, operation);
        }
        let asked = Asked { kind: operation.kind, offset: operation.offset };
        self.pass(operation, Job::Write { flight, asked });
    }

    /// Has zeros written to a range, or to the start of it, ahead of a write that waits for that.
    fn zero_gap(&mut self, flight: u64, gap: Range<u64>, held: Box<Operation>) {
        let mut operation = Box::new(Operation::new(held.tag));
        let durable = matches!(
            held.kind,
            OperationKind::Write { durable: true } | OperationKind::WriteZeroes { durable: true, .. }
        );
        // The pointer that is kept for a durable write is behind them.
        operation.kind = OperationKind::WriteZeroes { unmap: true, durable };
        operation.offset = gap.start;
        operation.range = gap.end.saturating_sub(gap.start).min(self.shared.most_zeroes);
        self.pass(operation, Job::Gap { flight, gap, held });
    }

    pub(super) fn gap_zeroed(
        &mut self,
        operation: &Operation,
        result: OperationResult,
        flight: u64,
        gap: Range<u64>,
        held: Box<Operation>,
    ) {
        let error = match result {
            Ok(zeroed) if zeroed == operation.len() => {
                let gap = gap.start.saturating_add(zeroed)..gap.end;
                return self.admitted(held, Admitted { flight: Some(flight), gap });
            }
            Ok(_) => io::Error::from(io::ErrorKind::WriteZero).into(),
            Err(error) => error,
        };
        self.shared.ended(flight, false);
        self.end(held, Err(error), Keep::Nothing);
    }

    pub(super) fn written(
        &mut self,
        mut operation: Box<Operation>,
        result: OperationResult,
        flight: u64,
        asked: Asked,
    ) {
        let well = matches!(result, Ok(len) if len == operation.len());
        self.shared.ended(flight, well);
        let at = operation.offset;
        (operation.kind, operation.offset) = (asked.kind, asked.offset);
        let result = match (result, &self.shared.host) {
            // BLK-ZONE-10
            (Err(OperationError::Io(error)), Some(host)) => Err(host.explain(error)),
            (result, _) => result,
        };
        let (result, durable) = match asked.kind {
            // BLK-ZONE-13
            OperationKind::ZoneAppend { durable } => match result {
                Ok(_) if !well => (Err(io::Error::from(io::ErrorKind::WriteZero).into()), durable),
                result => (result.map(|_| at), durable),
            },
            OperationKind::Write { durable } | OperationKind::WriteZeroes { durable, .. } => (result, durable),
            _ => (result, false),
        };
        self.end(operation, result, if durable { Keep::All } else { Keep::Nothing });
    }
}
