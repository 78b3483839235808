#![allow(clippy::unwrap_used)] // a test fails by panicking

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn no_limit_is_no_limit() {
    let limit = RateLimit::new(None, None);
    limit.take(u64::MAX);
    assert_eq!(limit.wait(Instant::now()), None);
}

#[test]
fn a_burst_and_then_as_many_as_in_a_second() {
    let start = Instant::now();
    let limit = RateLimit::starting(start, Some(Rate { per_second: 100, burst: 5 }), None);
    let mut now = start;
    let mut taken = Vec::new();
    while now < start + 1000 * MS {
        match limit.wait(now) {
            Some(at) => {
                assert!(at > now && at <= now + 10 * MS + Duration::from_nanos(1));
                now = at;
            }
            None => {
                limit.take(4096);
                taken.push(now);
            }
        }
    }
    assert_eq!(taken.iter().filter(|at| **at == start).count(), 5, "the burst");
    assert!((103..=105).contains(&taken.len()), "{} in a second", taken.len());
}

#[test]
fn a_request_larger_than_a_burst_is_paid_for_afterwards() {
    let start = Instant::now();
    let limit = RateLimit::starting(start, None, Some(Rate::new(1000)));
    limit.take(10_000);
    let at = limit.wait(start).unwrap();
    assert!(at > start + 9000 * MS && at <= start + 9001 * MS);
    assert!(limit.wait(at - MS).is_some());
    assert_eq!(limit.wait(at), None);
}

#[test]
fn the_stricter_of_two_limits_holds() {
    let start = Instant::now();
    let limit = RateLimit::starting(start, Some(Rate::new(10)), Some(Rate { per_second: 1 << 20, burst: 4096 }));
    for _ in 0..2 {
        limit.take(1 << 20);
    }
    assert!(limit.wait(start).unwrap() > start + 1900 * MS, "the bytes");
    for _ in 0..100 {
        limit.take(0);
    }
    assert!(limit.wait(start).unwrap() > start + 9000 * MS, "the requests");
}

#[test]
fn numbers_without_measure_are_harmless() {
    let start = Instant::now();
    let limit = RateLimit::starting(start, Some(Rate::new(0)), Some(Rate { per_second: u64::MAX, burst: u64::MAX }));
    for _ in 0..10 {
        limit.take(u64::MAX);
    }
    assert!(limit.wait(start).unwrap() <= start + LONGEST);
    assert!(limit.wait(start + Duration::from_secs(1 << 40)).is_none());
    let slow = RateLimit::starting(start, None, Some(Rate { per_second: 1, burst: 1 }));
    slow.take(u64::MAX);
    assert_eq!(slow.wait(start), Some(start + LONGEST));
    // A clock that goes back.
    assert!(slow.wait(start - MS).is_some());
}

#[test]
fn rates_change_and_what_was_taken_too_much_stays() {
    let start = Instant::now();
    let limit = RateLimit::starting(start, Some(Rate { per_second: 1, burst: 10 }), None);
    let other = limit.clone();
    (0..20).for_each(|_| limit.take(100));
    assert_eq!(limit.wait(start), Some(start + 11 * Duration::from_secs(1)));
    // Of all clones, and sooner at a higher rate.
    other.set_at(start, Some(Rate::new(1000)), None);
    assert_eq!(limit.wait(start), Some(start + 11 * MS));
    // What was saved up is no more than the new burst.
    let later = start + Duration::from_secs(100);
    assert_eq!(limit.wait(later), None);
    other.set_at(later, Some(Rate { per_second: 1, burst: 2 }), Some(Rate { per_second: 1, burst: 500 }));
    (0..2).for_each(|_| limit.take(1));
    assert_eq!(limit.wait(later), Some(later + Duration::from_secs(1)));
    other.set_at(later, None, Some(Rate { per_second: 1, burst: 500 }));
    assert_eq!(limit.wait(later), None, "of bytes there are some left");
    limit.take(500);
    assert_eq!(limit.wait(later), Some(later + 3 * Duration::from_secs(1)));
    other.set_at(later, None, None);
    assert_eq!(limit.wait(later), None);
}
