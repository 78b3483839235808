//! What becomes of an operation, request by request.

use std::io;

use super::super::file::Disk;
use super::super::{Operation, OperationError, OperationKind, OperationResult};
use super::sys::{Request, Target};

/// How often a request is repeated that the kernel broke off.
const TRIES: u32 = 1000;

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    stage: Stage,
    /// Bytes moved, or dealt with otherwise.
    done: u64,
    tries: u32,
    /// Direct I/O did not take all of it: the rest may not be aligned.
    buffered: bool,
    /// Nobody waits for it any more.
    pub(super) cancelled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Transfer,
    Allocate,
    /// BLK-STABLE-01. A request of its own behind a write, made when all of that is written: one that is linked to the
    /// write would also follow a short one, and the kernel's flag for durable writes would not tell a write that failed
    /// from a sync that did, after which nothing can be promised any more.
    Sync,
}

/// What is next for an operation.
#[derive(Debug)]
pub(super) enum Step {
    /// A request for the kernel.
    Request(Request),
    /// No request does it.
    Perform,
    /// It has ended.
    Done(OperationResult),
}

impl Progress {
    /// Where an operation starts; `None` for one that a ring cannot do.
    pub(super) fn start(kind: OperationKind, disk: &Disk, allocates: bool) -> Option<Progress> {
        let stage = match kind {
            OperationKind::Read | OperationKind::Write { .. } => Stage::Transfer,
            OperationKind::Flush => Stage::Sync,
            // What block devices take for the hint that it is has no request, and `fallocate` writes zeros to them instead.
            OperationKind::Discard if !disk.is_regular() => return None,
            _ if allocates && Disk::fallocate_mode(kind).is_some() => Stage::Allocate,
            _ => return None,
        };
        Some(Progress { stage, ..Progress::default() })
    }

    /// The next request. `has` says whether the disk still has all bytes before an offset.
    pub(super) fn next(&self, operation: &Operation, disk: &Disk, has: impl FnOnce(u64) -> io::Result<bool>) -> Step {
        if self.cancelled {
            return Step::Done(Err(cancelled()));
        }
        let asks = match self.stage {
            // A block device takes no more than it has, and says how much that was.
            Stage::Transfer => disk.is_regular() && operation.kind().changes(),
            // It does not say so here.
            Stage::Allocate => true,
            Stage::Sync => false,
        };
        if asks {
            match has(operation.offset().saturating_add(operation.len())) {
                Ok(true) => {}
                Ok(false) => return Step::Done(Ok(self.done)),
                Err(error) => return Step::Done(Err(error.into())),
            }
        }
        match self.stage {
            Stage::Transfer if operation.is_empty() => Step::Done(Ok(0)),
            Stage::Transfer => {
                let direct = !self.buffered && disk.takes_direct(operation);
                let target = if direct { Target::Main } else { Target::Buffered };
                Step::Request(Request::Transfer { target, done: self.done })
            }
            Stage::Sync => Step::Request(Request::Sync),
            Stage::Allocate => match Disk::fallocate_mode(operation.kind()) {
                Some(mode) => Step::Request(Request::Allocate { mode }),
                None => Step::Perform,
            },
        }
    }

    /// A request has ended with this result, as a system call's. None where there is a next one.
    pub(super) fn advance(&mut self, operation: &Operation, disk: &Disk, result: i32) -> Option<Step> {
        // Mostly one request is all.
        let all = u64::try_from(result).is_ok_and(|moved| moved == operation.len());
        if all && self.done == 0 && self.stage == Stage::Transfer {
            self.done = operation.len();
            return self.written(operation);
        }
        let error = match result {
            ..0 => result.checked_neg().unwrap_or(libc::EIO),
            _ => 0,
        };
        match error {
            // Broken off: by the cancellation, by a signal, because the kernel had no memory, or because a thread that
            // submitted it ended.
            libc::EINTR | libc::EAGAIN | libc::ECANCELED if !self.cancelled && self.tries < TRIES => {
                self.tries += 1;
                return None;
            }
            libc::EINTR | libc::EAGAIN | libc::ECANCELED if self.cancelled => {
                return Some(Step::Done(Err(cancelled())));
            }
            _ => {}
        }
        let outcome = if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) };
        match self.stage {
            Stage::Transfer => self.transferred(operation, disk, outcome.map(|()| u64::from(result.unsigned_abs()))),
            Stage::Sync => Some(Step::Done(match disk.synced(outcome) {
                Ok(()) => Ok(self.done),
                Err(error) => Err(error.into()),
            })),
            Stage::Allocate => match outcome {
                Ok(()) => {
                    self.done = operation.len();
                    self.written(operation)
                }
                // `perform` knows whether there is another way.
                Err(_) if matches!(error, libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ENODEV) => {
                    Some(Step::Perform)
                }
                Err(error) => Some(Step::Done(Err(error.into()))),
            },
        }
    }

    fn transferred(&mut self, operation: &Operation, disk: &Disk, moved: io::Result<u64>) -> Option<Step> {
        match moved {
            Ok(0) => Some(Step::Done(Ok(self.done))),
            Ok(moved) => {
                (self.done, self.tries) = (self.done.saturating_add(moved), 0);
                if self.done >= operation.len() {
                    return self.written(operation);
                }
                self.buffered = true;
                None
            }
            // Stricter than it said.
            Err(error)
                if error.raw_os_error() == Some(libc::EINVAL) && !self.buffered && disk.takes_direct(operation) =>
            {
                self.buffered = true;
                None
            }
            Err(error) => Some(Step::Done(Err(error.into()))),
        }
    }

    /// All of the data, or of the range, is done.
    fn written(&mut self, operation: &Operation) -> Option<Step> {
        match operation.kind() {
            OperationKind::Write { durable: true } | OperationKind::WriteZeroes { durable: true, .. } => {
                self.stage = Stage::Sync;
                None
            }
            _ => Some(Step::Done(Ok(self.done))),
        }
    }
}

/// What a cancelled operation ends with.
pub(super) fn cancelled() -> OperationError {
    OperationError::Io(io::Error::from_raw_os_error(libc::ECANCELED))
}
