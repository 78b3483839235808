//! The driver's thread: the same for both sides.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::wait::Alarm;
use benches::queues::BATCH;

/// Chains that are timed at once.
pub(crate) const BLOCK: u64 = 4096;

/// The driver's side of a ring, through references into memory that it shares with the device.
pub(crate) trait Port {
    /// Chains that there is room for.
    fn room(&self) -> u16;

    /// Adds a chain of one buffer with this number in it. The device does not see it yet.
    fn add(&mut self, number: u64);

    /// Makes what was added available.
    fn show(&mut self);

    /// Takes back what the device has given back; how many chains.
    fn reap(&mut self) -> u16;
}

/// A run that takes longer is disturbed, and is cut short.
const LIMIT: Duration = Duration::from_millis(500);

/// Sends so many chains to the device, or less where it takes too long, and takes them back; the time that each block of
/// them took. What is in `chains` afterwards was sent.
#[inline(never)]
pub(crate) fn drive(port: &mut impl Port, chains: &AtomicU64, alarm: &Alarm<'_>) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut total = chains.load(Ordering::Relaxed);
    let (mut sent, mut back) = (0, 0);
    let begin = Instant::now();
    let (mut start, mut counted) = (begin, 0);
    while back < total {
        while sent < total && port.room() >= BATCH {
            for _ in 0..BATCH {
                port.add(sent);
                sent += 1;
            }
            port.show();
        }
        back += alarm.until(|| reap(port));
        if back - counted >= BLOCK {
            let now = Instant::now();
            times.push((now - start).mul_f64(BLOCK as f64 / (back - counted) as f64));
            (start, counted) = (now, back);
            if now - begin > LIMIT && sent < total {
                total = sent;
                chains.store(sent, Ordering::Relaxed);
            }
        }
    }
    times
}

fn reap(port: &mut impl Port) -> Option<u64> {
    let reaped = port.reap();
    if reaped == 0 {
        spin_loop();
        return None;
    }
    Some(reaped.into())
}
