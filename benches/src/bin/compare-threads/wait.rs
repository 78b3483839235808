//! How the two threads wait for each other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use benches::contest::median;

/// Looks between two yields of the processor: the other thread may need it.
const PATIENCE: u32 = 1 << 14;
/// After so long the other thread is not coming.
const LIMIT: Duration = Duration::from_secs(20);

/// Raised by a thread that panics, so that the other does not wait for it.
pub(crate) struct Alarm<'a>(&'a AtomicBool);

impl<'a> Alarm<'a> {
    pub(crate) fn new(raised: &'a AtomicBool) -> Alarm<'a> {
        Alarm(raised)
    }

    /// Looks again and again until there is something.
    #[inline(always)]
    pub(crate) fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            for _ in 0..PATIENCE {
                if let Some(found) = look() {
                    return found;
                }
            }
            if let Some(found) = self.until_late(&mut look) {
                return found;
            }
        }
    }

    /// As [`until`](Self::until), when it has taken long.
    #[cold]
    fn until_late<T>(&self, look: &mut dyn FnMut() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            std::thread::yield_now();
            for _ in 0..PATIENCE {
                let found = look();
                if found.is_some() {
                    return found;
                }
            }
            assert!(!self.0.load(Ordering::Relaxed), "the other thread is gone");
            assert!(start.elapsed() < LIMIT, "the other thread does nothing");
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A cache line that two threads send to each other.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Line(AtomicU32);

/// How often it goes to and fro: blocks, and round trips in each.
const BLOCKS: u32 = 33;
const TRIPS: u32 = 256;

impl Line {
    /// One thread's part: what a round trip takes, as the median of blocks.
    pub(crate) fn round_trip(&self, alarm: &Alarm<'_>) -> Duration {
        let block = |block| {
            let start = Instant::now();
            for trip in 0..TRIPS {
                let sent = 2 * (block * TRIPS + trip) + 1;
                self.0.store(sent, Ordering::Release);
                self.receive(sent + 1, alarm);
            }
            start.elapsed().as_secs_f64()
        };
        Duration::from_secs_f64(median((0..BLOCKS).map(block)) / f64::from(TRIPS))
    }

    /// The other thread's part.
    pub(crate) fn echo(&self, alarm: &Alarm<'_>) {
        for trip in 0..BLOCKS * TRIPS {
            self.receive(2 * trip + 1, alarm);
            self.0.store(2 * trip + 2, Ordering::Release);
        }
    }

    #[inline(always)]
    fn receive(&self, value: u32, alarm: &Alarm<'_>) {
        alarm.until(|| (self.0.load(Ordering::Acquire) == value).then_some(()));
    }
}
