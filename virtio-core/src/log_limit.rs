//! Keeps what a driver can cause from filling the log.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// Lets through ten lines in ten seconds, and says how many it held back.
///
/// For everything that a driver can cause as often as it likes. Lines of a level that is not enabled cost nothing and do
/// not count. Send and Sync; no call blocks longer than a short mutex.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    held_back: u64,
}

impl LogLimit {
    /// Writes a line, unless there were too many lately.
    #[cold]
    pub fn log(&self, level: log::Level, line: fmt::Arguments<'_>) {
        if !log::log_enabled!(level) {
            return;
        }
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now()) {
            None => {}
            Some(0) => log::log!(level, "{line}"),
            Some(more) => log::log!(level, "{line} (and {more} lines that were held back)"),
        }
    }
}

impl State {
    /// Whether a line may be written now, and then how many before it were not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == LINES {
            self.held_back += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}
