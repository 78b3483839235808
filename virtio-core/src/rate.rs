//! Limits on how much a device, or a group of them, may do in a second.
//!
//! The device asks before it takes a request from the driver, and waits until the time that it is told.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much of something there may be in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run; at least 1.
    pub per_second: u64,
    /// At once, after a pause; at least 1.
    pub burst: u64,
}

impl Rate {
    /// So much in a second, and as much at once.
    pub fn new(per_second: u64) -> Rate {
        Rate { per_second, burst: per_second }
    }
}

/// A limit on requests and bytes per second, for all devices that it is given to together. For a network device each frame is
/// a request.
///
/// A request is taken while one request and one byte are left, however much it moves: what it takes too much is waited for
/// before the next one. So the limit holds over time, and a request larger than a burst gets through. Requests that move no data count
/// as requests alone.
///
/// Cheap to clone; all clones are the same limit. Send and Sync. No call blocks longer than a short mutex.
#[derive(Clone)]
pub struct RateLimit(Arc<Mutex<Buckets>>);

#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Until when both are filled.
    at: Instant,
}

/// What may be taken, in parts of one: as many as there are nanoseconds in a second, so that filling is a product.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    left: i128,
}

/// Parts of one.
const PARTS: i128 = 1_000_000_000;

impl RateLimit {
    /// A limit on requests, on bytes, on both or on nothing.
    pub fn new(requests: Option<Rate>, bytes: Option<Rate>) -> RateLimit {
        RateLimit::starting(Instant::now(), requests, bytes)
    }

    /// Limits other rates from now on, for all clones. What was taken too much stays so, and is made up for at the new rates.
    ///
    /// A device that waits sees it when it has waited for as long as it was told, or is woken before.
    pub fn set(&self, requests: Option<Rate>, bytes: Option<Rate>) {
        self.set_at(Instant::now(), requests, bytes);
    }

    fn set_at(&self, now: Instant, requests: Option<Rate>, bytes: Option<Rate>) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.fill(now);
        change(&mut buckets.requests, requests);
        change(&mut buckets.bytes, bytes);
    }

    fn starting(at: Instant, requests: Option<Rate>, bytes: Option<Rate>) -> RateLimit {
        let buckets = Buckets { requests: requests.map(Bucket::new), bytes: bytes.map(Bucket::new), at };
        RateLimit(Arc::new(Mutex::new(buckets)))
    }

    /// Until when nothing may be taken; none if something may be now.
    pub fn wait(&self, now: Instant) -> Option<Instant> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.fill(now);
        let Buckets { requests, bytes, at } = &*buckets;
        let wait = [requests, bytes].into_iter().flatten().map(Bucket::missing).max()?;
        (!wait.is_zero()).then(|| *at + wait)
    }

    /// Takes a request that moves so many bytes.
    pub fn take(&self, len: u64) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(requests) = &mut buckets.requests {
            requests.left -= PARTS;
        }
        if let Some(bytes) = &mut buckets.bytes {
            bytes.left -= i128::from(len) * PARTS;
        }
    }
}

impl Buckets {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        for bucket in [&mut self.requests, &mut self.bytes].into_iter().flatten() {
            // 2^64 nanoseconds times 2^64 per second fit.
            let more =
                i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX).saturating_mul(bucket.rate.per_second.into());
            bucket.left = bucket.left.saturating_add(more).min(i128::from(bucket.rate.burst) * PARTS);
        }
    }
}

/// Has a bucket be filled at another rate, or at none.
fn change(bucket: &mut Option<Bucket>, rate: Option<Rate>) {
    let left = bucket.as_ref().map(|bucket| bucket.left);
    *bucket = rate.map(Bucket::new).map(|new| Bucket { left: left.map_or(new.left, |left| left.min(new.left)), ..new });
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        let rate = Rate { per_second: rate.per_second.max(1), burst: rate.burst.max(1) };
        Bucket { rate, left: i128::from(rate.burst) * PARTS }
    }

    /// How long until there is one again.
    fn missing(&self) -> Duration {
        let missing = PARTS - self.left;
        if missing <= 0 {
            return Duration::ZERO;
        }
        let per_second = i128::from(self.rate.per_second);
        let nanos = (missing + per_second - 1) / per_second;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }
}

/// The longest wait for what a single request took too much.
const LONGEST: Duration = Duration::from_secs(3600);

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = |bucket: &Option<Bucket>| bucket.as_ref().map(|bucket| bucket.rate);
        f.debug_struct("RateLimit")
            .field("requests", &rate(&buckets.requests))
            .field("bytes", &rate(&buckets.bytes))
            .finish()
    }
}
