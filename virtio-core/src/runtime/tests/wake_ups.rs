use std::sync::atomic::{Ordering, fence};

use super::*;
use crate::testing::RingDriver;
use crate::testing::suite::USUAL;

/// Chains that each driver sends.
const CHAINS: u32 = 20_000;

/// Sends chains in batches of changing size, and sleeps whenever there is nothing to do.
fn exchange(mut live: Live) {
    let Live { host, driver, memory, interrupt } = &mut live;
    let (from, to) = (memory.place(b"12345678"), memory.alloc(8, 8));
    let (mut sent, mut received) = (0u32, 0u32);
    while received < CHAINS {
        while sent < CHAINS && driver.add(&[Buffer::readable(from, 8), Buffer::writable(to, 8)]).is_some() {
            sent += 1;
            if sent.is_multiple_of(1 + sent % 7) && driver.publish() {
                host.notify(0);
            }
        }
        if driver.publish() {
            host.notify(0);
        }
        let before = received;
        while let Some(used) = driver.used() {
            assert_eq!(used.len, 8);
            received += 1;
        }
        // Asking for an interrupt and looking again is what `used` did last; now it is safe to sleep.
        fence(Ordering::SeqCst);
        if received == before && driver.used_index() == received as u16 {
            assert!(wait(interrupt), "an interrupt comes");
        }
    }
    assert_eq!(memory.bytes(to, 8), b"12345678");
    host.write_status(0);
    assert_eq!(host.status(), 0);
}

/// No wake-up is lost between a driver and a device on different threads, which suppress and ask for notifications all
/// the time.
#[test]
fn threads_lose_no_wake_up() {
    for features in [USUAL, USUAL - Features::EVENT_IDX] {
        for runtime in runtimes() {
            exchange(live(runtime, features).0);
        }
    }
}

/// Nor where the devices of a thread have drivers that all go their own ways.
#[test]
fn shared_threads_lose_no_wake_up_of_one_among_others() {
    let runtime = shared(2);
    std::thread::scope(|scope| {
        for features in [USUAL, USUAL - Features::EVENT_IDX, USUAL, USUAL - Features::EVENT_IDX] {
            let runtime = runtime.clone();
            scope.spawn(move || exchange(live(runtime, features).0));
        }
    });
}

#[test]
fn threads_that_are_idle_take_over_changes_of_memory() {
    for runtime in runtimes() {
        let (Live { host, memory, .. }, _) = live(runtime, USUAL);
        let more = TestMemory::with_regions(&[(0, 1 << 20), (1 << 32, 1 << 16)]);
        for address in (0..1 << 20).step_by(4096) {
            more.write(address, &memory.bytes(address, 4096));
        }
        let barrier = memory.ram().replace_with(more.ram());
        assert!(barrier.wait(LIMIT), "nobody uses the old mapping");
        host.write_status(0);
    }
}

#[test]
fn time_limits_may_be_as_long_as_there_are() {
    for runtime in runtimes() {
        let (Live { host, mut driver, memory, .. }, _) = live(runtime, USUAL);
        driver.add(&[Buffer::readable(memory.place(b"data"), 4)]);
        assert!(host.pause(Duration::MAX).is_ok());
        assert!(memory.ram().set_log(None).wait(Duration::MAX));
    }
}

/// A driver that refills its queue as fast as it can shares the thread with one that sends a chain at a time.
#[test]
fn a_queue_that_is_always_full_leaves_room_for_another_device() {
    use std::sync::atomic::AtomicBool;

    for runtime in runtimes() {
        let (mut full, _) = live(runtime.clone(), USUAL);
        let (mut other, _) = live(runtime, USUAL);
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let (from, mut received) = (full.memory.place(b"data"), 0);
                while !enough.load(Ordering::Relaxed) || received < 1000 {
                    while full.driver.add(&[Buffer::readable(from, 4), Buffer::writable(from, 4)]).is_some() {}
                    if full.driver.publish() {
                        full.host.notify(0);
                    }
                    while full.driver.used().is_some() {
                        received += 1;
                    }
                }
            });
            for _ in 0..200 {
                other.send();
                other.answer();
            }
            enough.store(true, Ordering::Relaxed);
            flood.join().unwrap();
        });
    }
}
