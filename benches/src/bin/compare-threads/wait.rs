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

/// A cache line that two threads send to each other. The driver's numbers are odd, the device's answers even.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Line(AtomicU32);

/// How often it goes to and fro at once: blocks, and round trips in each.
const BLOCKS: u32 = 33;
const TRIPS: u32 = 32;
/// Where it takes longer, the threads share a processor with each other or with other work.
const SHARED: Duration = Duration::from_micros(2);
/// Attempts to find them on processors of their own.
const ATTEMPTS: usize = 5;
/// Ends the echo.
const END: u32 = u32::MAX;

impl Line {
    /// The driver's part: what a round trip takes.
    pub(crate) fn round_trip(&self, alarm: &Alarm<'_>) -> Duration {
        let mut last = Duration::MAX;
        for _ in 0..ATTEMPTS {
            let blocks = (0..BLOCKS).map(|_| self.block(alarm).as_secs_f64());
            last = Duration::from_secs_f64(median(blocks)) / TRIPS;
            if last < SHARED {
                break;
            }
        }
        self.0.store(END, Ordering::Release);
        alarm.until(|| (self.0.load(Ordering::Acquire) == 0).then_some(()));
        last
    }

    /// Some round trips.
    fn block(&self, alarm: &Alarm<'_>) -> Duration {
        let start = Instant::now();
        for trip in 0..TRIPS {
            self.0.store(2 * trip + 1, Ordering::Release);
            alarm.until(|| (self.0.load(Ordering::Acquire) == 2 * trip + 2).then_some(()));
        }
        start.elapsed()
    }

    /// The device's part.
    pub(crate) fn echo(&self, alarm: &Alarm<'_>) {
        loop {
            let odd = || Some(self.0.load(Ordering::Acquire)).filter(|number| number % 2 == 1);
            let number = alarm.until(odd);
            if number == END {
                break;
            }
            self.0.store(number + 1, Ordering::Release);
        }
        self.0.store(0, Ordering::Release);
    }
}
