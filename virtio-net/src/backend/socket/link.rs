//! When to connect again, and who has the connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait before another attempt: twice as long each time, from the first of these to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// Attempts to connect, less and less often.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// How many in a row were of no use.
    in_vain: u32,
    next: Option<Instant>,
}

impl Attempts {
    /// The first one may be made now.
    pub(super) fn now() -> Attempts {
        Attempts { in_vain: 0, next: Some(Instant::now()) }
    }

    /// There is no connection: another attempt is to be made after a while.
    pub(super) fn again(&mut self) {
        let pause = PAUSE.0.saturating_mul(1 << self.in_vain.min(16)).min(PAUSE.1);
        self.in_vain = self.in_vain.saturating_add(1);
        self.next = Instant::now().checked_add(pause);
    }

    /// There is one.
    pub(super) fn made(&mut self) {
        self.next = None;
    }

    /// It was good for something.
    pub(super) fn of_use(&mut self) {
        self.in_vain = 0;
    }

    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// What goes on from one queue to the next: the connection that none has now.
#[derive(Debug)]
pub(super) struct Spare<T>(Mutex<Option<T>>);

impl<T> Spare<T> {
    pub(super) fn new(connection: Option<T>) -> Spare<T> {
        Spare(Mutex::new(connection))
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, connection: Option<T>) {
        *self.lock() = connection;
    }

    /// Takes it for a queue. Where there is none, and `again` says that one can be made, that is to be tried now.
    pub(super) fn take(&self, again: bool) -> (Option<T>, Attempts) {
        let connection = self.lock().take();
        let attempts = if connection.is_none() && again { Attempts::now() } else { Attempts::default() };
        (connection, attempts)
    }
}
