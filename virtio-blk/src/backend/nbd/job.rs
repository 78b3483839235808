//! An operation on its way to the server, and the requests that it is cut into.

use std::io;
use std::time::Instant;

use super::protocol::{Command, Export};
use crate::backend::{Operation, OperationError, OperationKind};

/// The most bytes that a request without data concerns, so that none takes very long.
const EFFECT_MAX: u32 = 256 << 20;

/// A request: some bytes of an operation, or its flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Of the operation.
    pub(super) tag: u16,
    pub(super) command: Command,
    /// Where on the disk, and how many bytes.
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Where in the operation's memory its data belongs.
    pub(super) at: u64,
    /// Bytes at its start that nobody wants, and how many behind them are wanted: a server with large blocks is asked
    /// for whole ones.
    pub(super) lead: u32,
    pub(super) wanted: u32,
    /// Of a flush: the [changes that it covers](super::cache::Cache::mark).
    pub(super) mark: u64,
}

impl Part {
    /// Whether it changes bytes that `len` bytes from `offset` on are among.
    pub(super) fn changes(&self, offset: u64, len: u32) -> bool {
        let end = |offset: u64, len: u32| offset.saturating_add(len.into());
        self.command.changes() && self.offset < end(offset, len) && offset < end(self.offset, self.len)
    }
}

/// An operation on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) operation: Box<Operation>,
    command: Command,
    /// What the server is asked for: a trim only for whole blocks.
    offset: u64,
    len: u64,
    /// Bytes of it that are cut into requests.
    issued: u64,
    /// It is flushed afterwards, because the server cannot write durably.
    sync: bool,
    /// It is in that flush.
    syncing: bool,
    /// It has to be done again from its start on.
    again: bool,
    /// Requests that were taken and are not done.
    pub(super) outstanding: u32,
    pub(super) failed: Option<OperationError>,
    /// Since when it waits for a server that is gone, or was sent to one that then went.
    pub(super) trouble: Option<Instant>,
}

/// What comes after the requests of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for others of its requests.
    Wait,
    /// There are more.
    More,
    Done,
}

impl Job {
    /// What `operation` means for a server with this export; none where there is nothing to do.
    ///
    /// # Errors
    /// With the operation, if it cannot be done.
    pub(super) fn new(operation: Box<Operation>, export: &Export, read_only: bool) -> Result<Job, Refused> {
        let kind = operation.kind();
        if kind.changes() && read_only {
            return Err(Refused::error(operation, io::ErrorKind::PermissionDenied));
        }
        let (command, durable) = match kind {
            OperationKind::Read => (Command::Read, false),
            OperationKind::Write { durable } => (Command::Write { fua: durable && export.fua() }, durable),
            // Without a cache that could be flushed all that was written is durable.
            OperationKind::Flush if !export.flush() => return Err(Refused { operation, result: Ok(0) }),
            OperationKind::Flush => (Command::Flush, false),
            OperationKind::Discard if export.trim() => (Command::Trim, false),
            OperationKind::WriteZeroes { unmap, durable } if export.write_zeroes() => {
                (Command::WriteZeroes { no_hole: !unmap, fua: durable && export.fua() }, durable)
            }
            _ => return Err(Refused { operation, result: Err(OperationError::Unsupported) }),
        };
        let (mut offset, mut len) = (operation.offset(), operation.len());
        let block = u64::from(export.blocks.min);
        let Some(end) = offset.checked_add(len).filter(|end| end.checked_add(block).is_some()) else {
            return Err(Refused::error(operation, io::ErrorKind::InvalidInput));
        };
        let aligned = offset.is_multiple_of(block) && len.is_multiple_of(block);
        match command {
            Command::Trim => {
                // What is in part of a block is kept.
                let start = offset.next_multiple_of(block);
                (offset, len) = (start, (end - end % block).saturating_sub(start));
            }
            Command::Write { .. } | Command::WriteZeroes { .. } if !aligned => {
                return Err(Refused::error(operation, io::ErrorKind::InvalidInput));
            }
            _ => {}
        }
        if len == 0 && command != Command::Flush {
            let result = Ok(operation.len());
            return Err(Refused { operation, result });
        }
        let sync = durable && !export.fua() && export.flush();
        Ok(Job {
            operation,
            command,
            offset,
            len,
            issued: 0,
            sync,
            syncing: false,
            again: false,
            outstanding: 0,
            failed: None,
            trouble: None,
        })
    }

    fn is_flush(&self) -> bool {
        self.syncing || self.command == Command::Flush
    }

    /// Whether it is a flush that the driver asked for.
    pub(super) fn promises_all(&self) -> bool {
        self.command == Command::Flush
    }

    /// Whether what a request of it has changed may be lost with the server. What is flushed behind it is done again in
    /// full if its connection breaks before, and has failed if it cannot be.
    pub(super) fn leaves_unflushed(&self, part: &Part) -> bool {
        use Command::{Trim, Write, WriteZeroes};
        !self.sync && matches!(part.command, Write { fua: false } | WriteZeroes { fua: false, .. } | Trim)
    }

    /// The next request of it, with a `mark` for a flush.
    pub(super) fn next(&self, export: &Export, mark: u64) -> Part {
        let tag = self.operation.tag();
        if self.is_flush() {
            return Part { tag, command: Command::Flush, offset: 0, len: 0, at: 0, lead: 0, wanted: 0, mark };
        }
        let (from, left) = (self.offset + self.issued, self.len - self.issued);
        let block = u64::from(export.blocks.min);
        let max = match self.command {
            Command::Read | Command::Write { .. } => export.blocks.max,
            _ => EFFECT_MAX,
        };
        // Whole blocks; only a read may have others. Neither lead nor length are more than `max`.
        let start = from - from % block;
        let len = ((from + left).next_multiple_of(block) - start).min(max.into());
        let lead = from - start;
        let wanted = (len - lead).min(left);
        let (len, lead, wanted) = (len as u32, lead as u32, wanted as u32);
        Part { tag, command: self.command, offset: start, len, at: self.issued, lead, wanted, mark }
    }

    /// The next request was taken. Says whether that was all of them for now.
    pub(super) fn took(&mut self, part: &Part) -> bool {
        self.outstanding += 1;
        self.issued += u64::from(part.wanted);
        self.is_flush() || self.issued >= self.len
    }

    /// A request is done, or of no interest any more.
    pub(super) fn after(&mut self) -> After {
        if self.outstanding > 0 {
            return After::Wait;
        }
        if self.failed.is_some() {
            return After::Done;
        }
        if !self.is_flush() && self.issued < self.len {
            // The queue has it.
            return After::Wait;
        }
        if std::mem::take(&mut self.again) {
            (self.issued, self.syncing) = (0, false);
            return After::More;
        }
        if self.sync && !self.syncing {
            self.syncing = true;
            return After::More;
        }
        After::Done
    }

    /// A connection broke. What was written over it and not flushed may be lost, so that a durable write begins again.
    pub(super) fn disturbed(&mut self) {
        if !self.sync || self.issued == 0 {
            return;
        }
        if self.syncing && self.outstanding == 0 {
            // Its flush was not sent.
            (self.issued, self.syncing) = (0, false);
        } else {
            self.again = true;
        }
    }

    /// Whether a request of it that was lost has to be sent again by itself.
    pub(super) fn redo_parts(&self) -> bool {
        !self.sync
    }
}

/// An operation that needs no server.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) operation: Box<Operation>,
    pub(super) result: Result<u64, OperationError>,
}

impl Refused {
    fn error(operation: Box<Operation>, kind: io::ErrorKind) -> Refused {
        Refused { operation, result: Err(io::Error::from(kind).into()) }
    }
}
