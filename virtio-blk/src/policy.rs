//! What happens when storage fails.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What a device does when its storage fails an operation, or does less than was asked.
///
/// It is about the storage: what the driver asks for in vain, bad ranges or rules of zones, is always its own fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// The driver gets an I/O error.
    #[default]
    Report,
    /// The driver is told that all went well: for those who know what they do. What could not be read is zeros.
    Ignore,
    /// The device stops: the request stays where it is, none that follows is taken, and the embedder is told. The request is
    /// done again when the embedder [resumes](crate::BlockHandle::resume) the device.
    Stop,
    /// Stops where the storage is full (ENOSPC or EDQUOT), and reports everything else.
    StopWhenFull,
}

impl OnError {
    /// What to do about this error.
    pub(crate) fn answer(self, error: &io::Error) -> Reaction {
        match self {
            OnError::Report => Reaction::Report,
            OnError::Ignore => Reaction::Ignore,
            OnError::Stop => Reaction::Stop,
            OnError::StopWhenFull if is_full(error) => Reaction::Stop,
            OnError::StopWhenFull => Reaction::Report,
        }
    }
}

/// Whether the storage has no room left (ENOSPC or EDQUOT).
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What is done about one error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Report,
    Ignore,
    Stop,
}

/// Why a device has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The queue whose request failed first.
    pub queue: u16,
    /// Whether the storage is full.
    pub full: bool,
    /// What the storage said.
    pub error: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by a request of queue {}: {}", self.queue, self.error)
    }
}

/// Who is told that a device has stopped.
pub(crate) type OnStop = Arc<dyn Fn(&Stopped) + Send + Sync>;
