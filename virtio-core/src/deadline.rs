//! When a time limit is over.

use std::time::{Duration, Instant};

/// As good as never, and still a time that a clock can show.
const LONG: Duration = Duration::from_secs(1 << 30);

/// The end of a time limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `limit` from now on; limits that no clock reaches, such as `Duration::MAX`, count as very long ones.
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline(Instant::now() + limit.min(LONG))
    }

    /// How long it is until then; none if that is over.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}
