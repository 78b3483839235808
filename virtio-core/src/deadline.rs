//! When a time limit is over.

use std::time::{Duration, Instant};

/// As good as never, and still a time that a clock can show.
const LONG: Duration = Duration::from_secs(1 << 30);

/// The end of `limit` from now on; limits that no clock reaches, such as `Duration::MAX`, count as very long ones.
pub(crate) fn after(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONG)
}
