//! Keeps what a driver can cause from filling the log.

use std::time::{Duration, Instant};

/// Lines in one period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// Lets through a few lines per period.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    since: Option<Instant>,
    said: u32,
    held_back: u64,
}

impl LogLimit {
    /// Writes a line, unless there were too many lately.
    #[cold]
    pub(crate) fn log(&mut self, level: log::Level, line: std::fmt::Arguments<'_>) {
        if !log::log_enabled!(level) {
            return;
        }
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == LINES {
            self.held_back += 1;
            return;
        }
        self.said += 1;
        match std::mem::take(&mut self.held_back) {
            0 => log::log!(level, "{line}"),
            more => log::log!(level, "{line} (and {more} lines that were held back)"),
        }
    }
}
