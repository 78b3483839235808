//! A deadline as a file.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

/// A file that is readable from the time on that it is set to.
pub(super) struct Timer {
    file: TimerFd,
    time: Option<Instant>,
}

impl Timer {
    /// One that is not set.
    pub(super) fn new() -> io::Result<Timer> {
        Ok(Timer { file: TimerFd::new()?, time: None })
    }

    /// Sets it, whatever it was set to before; without a time it is not readable.
    pub(super) fn set(&mut self, time: Option<Instant>) -> io::Result<()> {
        if self.time == time {
            return Ok(());
        }
        match time {
            // Nothing left would mean no time at all.
            Some(time) => {
                let left = time.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
                self.file.reset(left, None)?;
            }
            None => self.file.clear()?,
        }
        self.time = time;
        Ok(())
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
