//! Limits on requests and bytes per second, through the device.

use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_blk::{Block, MemoryBackend, Rate, RateLimit};
use virtio_core::testing::{RingDriver, TestMemory};
use virtio_core::{DeviceHost, InlineRuntime, ThreadRuntime};

use crate::rig::*;

each_transport! {
    requests_above_the_limit_wait,
    a_group_shares_its_limit,
    a_limit_on_bytes_leaves_requests_without_data_alone,
    resets_and_pauses_do_not_wait_for_the_limit,
    queues_on_threads_share_a_limit_on_bytes,
    devices_on_threads_share_a_limit_on_bytes,
}

/// None of these tests takes that long to fill a bucket by one.
fn slow(burst: u64) -> Option<Rate> {
    Some(Rate { per_second: 1, burst })
}

fn rig<P: Port>(limit: &RateLimit) -> Rig<P> {
    let disk = MemoryBackend::new(pattern(512 * 64, 7));
    Rig::<P>::new(Block::builder(disk).rate_limit(limit.clone()).build().expect("a device"))
}

fn requests_above_the_limit_wait<P: Port>() {
    // Quick enough that the test gets to its end, slow enough that not all come at once.
    let limit = RateLimit::new(Some(Rate { per_second: 20, burst: 5 }), None);
    let rig = rig::<P>(&limit);
    let mut driver = rig.live(USUAL);
    let start = Instant::now();
    for sector in 0..10 {
        rig.add(&mut driver, IN, sector, &[], 512);
    }
    rig.kick(&mut driver);
    let at_once = std::iter::from_fn(|| driver.used()).count();
    assert!((5..10).contains(&at_once) || start.elapsed() > Duration::from_millis(200), "{at_once} at once");
    assert!(at_once == 10 || rig.runtime.next_deadline().is_some(), "the task says when it goes on");
    let mut done = at_once;
    while done < 10 {
        assert!(start.elapsed() < Duration::from_secs(60), "{done} of 10");
        rig.runtime.poll();
        done += std::iter::from_fn(|| driver.used()).count();
        std::thread::yield_now();
    }
    assert!(start.elapsed() >= Duration::from_millis(200), "five of them, at twenty in a second");
    assert!(rig.handle.counts().throttled > 0);
}

fn a_group_shares_its_limit<P: Port>() {
    let limit = RateLimit::new(slow(6), None);
    let rigs = [rig::<P>(&limit), rig::<P>(&limit)];
    let start = Instant::now();
    let done: usize = rigs
        .iter()
        .map(|rig| {
            let mut driver = rig.live(USUAL);
            for sector in 0..5 {
                rig.add(&mut driver, IN, sector, &[], 512);
            }
            rig.kick(&mut driver);
            std::iter::from_fn(|| driver.used()).count()
        })
        .sum();
    assert!(done == 6 || start.elapsed() > Duration::from_secs(1), "{done} of the six that both have together");
}

fn a_limit_on_bytes_leaves_requests_without_data_alone<P: Port>() {
    let limit = RateLimit::new(None, slow(512));
    let rig = rig::<P>(&limit);
    let mut driver = rig.live(USUAL);
    for _ in 0..20 {
        assert_eq!(rig.request(&mut driver, GET_ID, 0, &[], 20).status, OK);
    }
    // One more than there is, and then nothing for long.
    assert_eq!(rig.read(&mut driver, 0, 1 << 14).status, OK);
    rig.add(&mut driver, GET_ID, 0, &[], 20);
    rig.kick(&mut driver);
    assert!(driver.used().is_none());
}

fn resets_and_pauses_do_not_wait_for_the_limit<P: Port>() {
    let limit = RateLimit::new(slow(1), None);
    let rig = rig::<P>(&limit);
    let mut driver = rig.live(USUAL);
    for sector in 0..3 {
        rig.add(&mut driver, IN, sector, &[], 512);
    }
    rig.kick(&mut driver);
    rig.port.host().pause(Duration::from_millis(1)).expect("nothing is in flight");
    rig.port.host().resume();
    rig.port.set_status(0);
    rig.runtime.poll();
    assert_eq!(rig.port.status(), 0);
}

/// What `devices` of so many queues each, on threads, read together keeps to a limit on bytes all the time.
fn bytes_are_bounded<P: Port>(devices: usize, queues: u16) {
    const LEN: u64 = 16 << 10;
    let rate = Rate { per_second: 1 << 20, burst: 64 << 10 };
    let limit = RateLimit::new(None, Some(rate));
    let rigs: Vec<_> = (0..devices)
        .map(|_| {
            let disk = MemoryBackend::zeroed(LEN as usize);
            let block = Block::builder(disk).queues(queues).rate_limit(limit.clone()).build().expect("a device");
            let (handle, memory) = (block.handle(), TestMemory::new(16 << 20));
            let host = DeviceHost::builder(block, memory.ram().clone(), Arc::new(ThreadRuntime::new()));
            let port = P::connect(host.reset_wait(Duration::from_secs(20)));
            let rig: Rig<P> = Rig { port, handle, memory, runtime: InlineRuntime::new() };
            assert!(rig.negotiate(USUAL));
            rig
        })
        .collect();
    let mut drivers = Vec::new();
    for rig in &rigs {
        drivers.extend((0..queues).map(|queue| (rig, queue, rig.enable(queue, 64, USUAL))));
        rig.go();
    }
    let start = Instant::now();
    for (rig, queue, driver) in &mut drivers {
        (0..16).for_each(|_| _ = rig.add(driver, IN, 0, &[], LEN as usize));
        driver.kick(|| rig.port.notify(*queue));
    }
    let (all, mut done) = (16 * drivers.len() as u64, 0);
    while done < all {
        for (_, _, driver) in &mut drivers {
            done += std::iter::from_fn(|| driver.used()).count() as u64;
        }
        let passed = start.elapsed();
        // Each queue may be in the middle of one that takes more than there is.
        let most =
            rate.burst as f64 + passed.as_secs_f64() * rate.per_second as f64 + (drivers.len() as u64 * LEN) as f64;
        assert!((done * LEN) as f64 <= most, "{done} of {LEN} bytes in {passed:?}");
        assert!(passed < Duration::from_secs(60), "{done} of {all}");
        std::thread::yield_now();
    }
    assert!(rigs.iter().map(|rig| rig.handle.counts().throttled).sum::<u64>() > 0);
}

fn queues_on_threads_share_a_limit_on_bytes<P: Port>() {
    bytes_are_bounded::<P>(1, 2);
}

fn devices_on_threads_share_a_limit_on_bytes<P: Port>() {
    bytes_are_bounded::<P>(2, 1);
}
