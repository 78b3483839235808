//! Reset, pause and changes of memory while requests are in flight.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use virtio_blk::{Block, MemoryBackend};
use virtio_core::host::PauseError;
use virtio_core::memory::DirtyLog;
use virtio_core::testing::{RingDriver, TestMemory};
use virtio_core::{DeviceHost, Features, InlineRuntime, ThreadRuntime};

use crate::held::Held;
use crate::rig::*;

each_transport! {
    basic_reset_02_reset_cancels_what_is_in_flight,
    status_stays_until_the_backend_lets_go,
    pause_waits_for_what_is_in_flight,
    removal_cancels_what_is_in_flight,
    a_broken_ring_lets_requests_in_flight_end,
    memory_that_goes_away_stays_until_its_requests_end,
    dirty_pages_are_marked_at_completion_in_the_log_of_then,
    payload_of_writes_is_not_marked,
    queues_on_threads_of_their_own,
}

fn rig<P: Port>() -> (Rig<P>, Held) {
    let held = Held::new(512 * 64);
    (Rig::<P>::new(Block::builder(held.clone()).build().expect("a device")), held)
}

fn submit<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, count: u64) -> Vec<Pending> {
    let pending = (0..count).map(|sector| rig.add(driver, IN, sector, &[], 512)).collect();
    rig.kick(driver);
    pending
}

/// What the device could still write.
fn untouched<P: Port>(rig: &Rig<P>, pending: &[Pending]) -> bool {
    pending.iter().all(|pending| rig.memory.bytes(pending.data, 513) == [UNTOUCHED; 513])
}

// spec: BASIC-RESET-01
fn basic_reset_02_reset_cancels_what_is_in_flight<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 5);
    assert_eq!((held.in_flight(), held.queues()), (5, 1));
    rig.port.set_status(0);
    assert_eq!(rig.port.status(), 0);
    assert_eq!((held.in_flight(), held.queues(), held.cancelled()), (0, 0, 1));
    // Nothing is touched from now on.
    let before: Vec<_> = pending.iter().map(|pending| rig.memory.bytes(pending.data, 513)).collect();
    rig.ring();
    let after: Vec<_> = pending.iter().map(|pending| rig.memory.bytes(pending.data, 513)).collect();
    assert_eq!(before, after);
    // And the device works again.
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 1);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(rig.answer(&pending[0], driver.used().expect("an answer")).status, OK);
}

fn status_stays_until_the_backend_lets_go<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 2);
    held.refuse_cancel(true);
    rig.port.set_status(0);
    assert_ne!(rig.port.status(), 0);
    assert!(untouched(&rig, &pending));
    held.finish(0);
    assert_ne!(rig.port.status(), 0);
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(rig.port.status(), 0);
    assert_eq!(held.queues(), 0);
}

fn pause_waits_for_what_is_in_flight<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 3);
    assert!(matches!(rig.port.host().pause(Duration::from_millis(1)), Err(PauseError::InFlight)));
    // It goes on after that.
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(rig.answer(&pending[0], driver.used().expect("an answer")).status, OK);

    held.finish_all();
    assert_eq!(rig.port.host().pause(Duration::from_secs(1)).expect("paused").len(), 1);
    for pending in &pending[1..] {
        assert_eq!(rig.answer(pending, driver.used().expect("an answer")).status, OK);
    }
    // Paused, it takes nothing; resumed, it takes what came meanwhile, without another doorbell.
    let late = submit(&rig, driver, 1);
    assert_eq!(held.in_flight(), 0);
    rig.port.host().resume();
    rig.runtime.poll();
    assert_eq!(held.in_flight(), 1);
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(rig.answer(&late[0], driver.used().expect("an answer")).status, OK);
    assert_eq!(held.cancelled(), 0);
}

fn removal_cancels_what_is_in_flight<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    submit(&rig, driver, 3);
    let Rig { port, memory, .. } = rig;
    drop(port);
    assert_eq!((held.in_flight(), held.queues()), (0, 0));
    drop(memory);
}

fn a_broken_ring_lets_requests_in_flight_end<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    submit(&rig, driver, 3);
    driver.break_ring();
    driver.show();
    rig.ring();
    assert!(rig.is_broken());
    held.finish_all();
    rig.runtime.poll();
    assert_eq!(driver.used(), None);
    rig.port.set_status(0);
    assert_eq!((rig.port.status(), held.cancelled()), (0, 0));
}

fn memory_that_goes_away_stays_until_its_requests_end<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 1);
    // The same memory again, as another version of it.
    let barrier = rig.memory.ram().replace_with(rig.memory.ram());
    rig.runtime.poll();
    assert!(!barrier.is_complete());
    held.finish_all();
    rig.runtime.poll();
    assert!(barrier.is_complete());
    assert_eq!(rig.answer(&pending[0], driver.used().expect("an answer")).status, OK);
}

#[derive(Default)]
struct Log(Mutex<Vec<(u64, u64)>>);

impl DirtyLog for Log {
    fn mark(&self, address: u64, len: u64) {
        self.0.lock().expect("no test has panicked").push((address, len));
    }
}

impl Log {
    fn covers(&self, address: u64, len: u64) -> bool {
        let marks = self.0.lock().expect("no test has panicked");
        (address..address + len).all(|at| marks.iter().any(|(start, len)| (*start..start + len).contains(&at)))
    }
}

fn dirty_pages_are_marked_at_completion_in_the_log_of_then<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let pending = submit(&rig, driver, 2);
    let early = Arc::new(Log::default());
    let barrier = rig.memory.ram().set_log(Some(early.clone()));
    rig.runtime.poll();
    assert!(barrier.is_complete());
    held.finish(0);
    rig.runtime.poll();
    assert!(early.covers(pending[0].data, 513));
    assert!(!early.covers(pending[1].data, 1));

    let late = Arc::new(Log::default());
    assert!(!rig.memory.ram().set_log(Some(late.clone())).is_complete());
    // A failed read may have written something, too.
    held.fail(0, std::io::ErrorKind::Other);
    rig.runtime.poll();
    assert!(late.covers(pending[1].data, 513));
    let (ring, _, used) = driver.areas();
    match P::Driver::LAYOUT.contains(Features::RING_PACKED) {
        // Length, id and flags of the descriptor behind the three of the first one.
        true => assert!(late.covers(ring + 3 * 16 + 8, 8)),
        false => assert!(late.covers(used + 4 + 8, 8) && late.covers(used + 2, 2)),
    }
    assert!(!early.covers(pending[1].data, 1));
}

fn payload_of_writes_is_not_marked<P: Port>() {
    let (rig, held) = rig::<P>();
    let driver = &mut rig.live(USUAL);
    let log = Arc::new(Log::default());
    rig.memory.ram().set_log(Some(log.clone())).on_complete(|| {});
    let payload = pattern(512, 5);
    let before = rig.memory.alloc(0, 1);
    let pending = rig.add(driver, OUT, 0, &payload, 0);
    rig.kick(driver);
    // What the driver itself wrote above is in the log, too.
    log.0.lock().expect("no test has panicked").clear();
    held.finish_all();
    rig.runtime.poll();
    assert!(log.covers(pending.status, 1));
    let marks = log.0.lock().expect("no test has panicked").clone();
    assert!(marks.iter().all(|(start, len)| *start + *len <= before || *start >= pending.status));
}

fn queues_on_threads_of_their_own<P: Port + Sync>() {
    let disk = MemoryBackend::zeroed(512 * 64);
    let block = Block::builder(disk.clone()).queues(4).build().expect("a device");
    let (handle, memory) = (block.handle(), TestMemory::new(32 << 20));
    let host = DeviceHost::builder(block, memory.ram().clone(), Arc::new(ThreadRuntime::new()));
    let port = P::connect(host.reset_wait(Duration::from_secs(20)));
    let rig = Rig { port, handle, memory, runtime: InlineRuntime::new() };
    assert!(rig.negotiate(USUAL));
    let drivers: Vec<_> = (0..4).map(|index| rig.enable(index, 16, USUAL)).collect();
    rig.go();
    thread::scope(|scope| {
        for (index, mut driver) in (0u16..).zip(drivers) {
            let rig = &rig;
            scope.spawn(move || {
                let mut serve = |kind, payload: &[u8], answer| {
                    let pending = rig.add(&mut driver, kind, 16 * u64::from(index), payload, answer);
                    driver.kick(|| rig.port.notify(index));
                    let deadline = Instant::now() + Duration::from_secs(20);
                    let used = loop {
                        match driver.used() {
                            Some(used) => break used,
                            None if Instant::now() < deadline => thread::yield_now(),
                            None => panic!("no answer"),
                        }
                    };
                    rig.answer(&pending, used)
                };
                for round in 0..100 {
                    let data = pattern(8192, round ^ index as u8);
                    assert_eq!(serve(OUT, &data, 0).status, OK);
                    assert_eq!(serve(IN, &[], 8192).data, data);
                }
            });
        }
    });
    assert_eq!(rig.handle.counts().writes, 400);
    rig.port.set_status(0);
    assert_eq!(rig.port.status(), 0);
}
