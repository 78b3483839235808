//! What the embedder wants done when storage fails, and storage that takes too long.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use virtio_blk::backend::RangeLimits;
use virtio_blk::{Block, BlockBuilder, OnError, OperationKind, Stopped};
use virtio_core::host::PauseError;
use virtio_core::testing::RingDriver;

use crate::held::Held;
use crate::rig::*;

each_transport! {
    errors_are_reported_unless_said_otherwise,
    errors_can_be_ignored,
    errors_can_stop_the_device,
    a_full_disk_can_stop_the_device,
    a_device_that_has_stopped_can_be_reset,
    a_device_that_has_stopped_is_not_paused,
    a_failing_range_is_done_again,
    reads_and_writes_have_policies_of_their_own,
    queues_stop_together,
    faults_of_the_driver_are_no_faults_of_storage,
    operations_that_take_too_long_are_given_up,
    memory_is_not_given_back_before_storage_lets_go,
    operations_that_are_quick_are_left_alone,
}

type Told = Arc<Mutex<Vec<Stopped>>>;

fn rig<P: Port>(change: impl FnOnce(BlockBuilder) -> BlockBuilder) -> (Rig<P>, Held, P::Driver, Told) {
    let held = Held::able(512 * 64, |can| can.write_zeroes = Some(RangeLimits::NONE));
    let told = Told::default();
    let sink = Arc::clone(&told);
    let block = change(Block::builder(held.clone())).on_stop(move |why| {
        sink.lock().expect("no test has panicked").push(why.clone());
    });
    let rig = Rig::<P>::new(block.build().expect("a device"));
    let driver = rig.live(USUAL | WRITE_ZEROES_FEATURE);
    (rig, held, driver, told)
}

fn told(told: &Told) -> Vec<Stopped> {
    std::mem::take(&mut *told.lock().expect("no test has panicked"))
}

fn submit<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, kind: u32) -> Pending {
    let (payload, room) = if kind == IN { (vec![], 512) } else { (vec![3; 512], 0) };
    let pending = rig.add(driver, kind, 0, &payload, room);
    rig.kick(driver);
    pending
}

fn answer<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, pending: &Pending) -> Answer {
    rig.runtime.poll();
    rig.answer(pending, driver.used().expect("an answer"))
}

fn errors_are_reported_unless_said_otherwise<P: Port>() {
    let (rig, held, mut driver, stops) = rig::<P>(|block| block);
    for kind in [IN, OUT] {
        for error in [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::TimedOut] {
            let pending = submit(&rig, &mut driver, kind);
            held.fail(0, error);
            assert_eq!(answer(&rig, &mut driver, &pending).status, IOERR);
        }
    }
    assert_eq!((told(&stops), rig.handle.stopped(), rig.handle.resume()), (vec![], None, false));
    assert_eq!(rig.handle.counts().failed, 6);
}

fn errors_can_be_ignored<P: Port>() {
    let (rig, held, mut driver, stops) =
        rig::<P>(|block| block.on_read_error(OnError::Ignore).on_write_error(OnError::Ignore));
    let pending = submit(&rig, &mut driver, IN);
    held.fail(0, ErrorKind::Other);
    let read = answer(&rig, &mut driver, &pending);
    assert_eq!((read.status, read.len, read.data), (OK, 513, vec![0; 512]), "nothing that was there before");
    let pending = submit(&rig, &mut driver, OUT);
    held.fail(0, ErrorKind::StorageFull);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
    let pending = submit(&rig, &mut driver, IN);
    held.finish_short(0, 100);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
    let counts = rig.handle.counts();
    assert_eq!((counts.ignored, counts.failed), (3, 0));
    assert_eq!(told(&stops), []);
}

fn errors_can_stop_the_device<P: Port>() {
    let (rig, held, mut driver, stops) =
        rig::<P>(|block| block.on_read_error(OnError::Stop).on_write_error(OnError::Stop));
    for kind in [IN, OUT] {
        let first = submit(&rig, &mut driver, kind);
        let second = submit(&rig, &mut driver, kind);
        held.fail(0, ErrorKind::Other);
        rig.runtime.poll();
        let why = rig.handle.stopped().expect("it has stopped");
        assert_eq!((why.queue, why.full), (0, false));
        assert_eq!(told(&stops), [why]);
        // What is in flight ends; what fails too is kept, and the embedder is not told again.
        held.fail(0, ErrorKind::Other);
        rig.runtime.poll();
        let third = submit(&rig, &mut driver, kind);
        assert!(driver.used().is_none() && held.in_flight() == 0);
        assert_eq!(told(&stops), []);

        assert!(rig.handle.resume());
        assert_eq!(rig.handle.stopped(), None);
        rig.runtime.poll();
        assert_eq!(held.in_flight(), 3, "both that failed, and the one that was not taken");
        held.finish_all();
        rig.runtime.poll();
        assert_eq!(std::iter::from_fn(|| driver.used()).count(), 3);
        for pending in [first, second, third] {
            assert_eq!(rig.memory.bytes(pending.status, 1), [OK]);
        }
    }
    assert_eq!(held.disk()[..512], [3; 512]);
    let counts = rig.handle.counts();
    assert_eq!((counts.held, counts.failed, counts.reads, counts.writes), (4, 0, 3, 3));
}

fn a_full_disk_can_stop_the_device<P: Port>() {
    let (rig, held, mut driver, stops) = rig::<P>(|block| block.on_write_error(OnError::StopWhenFull));
    let pending = submit(&rig, &mut driver, OUT);
    held.fail(0, ErrorKind::Other);
    assert_eq!(answer(&rig, &mut driver, &pending).status, IOERR, "anything else is reported");
    for error in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        let pending = submit(&rig, &mut driver, OUT);
        held.fail(0, error);
        rig.runtime.poll();
        assert!(driver.used().is_none());
        assert!(rig.handle.stopped().is_some_and(|why| why.full));
        // Still full.
        assert!(rig.handle.resume());
        rig.runtime.poll();
        held.fail(0, error);
        rig.runtime.poll();
        assert_eq!(told(&stops).len(), 2);
        assert!(rig.handle.resume());
        rig.runtime.poll();
        held.finish(0);
        assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
    }
}

fn a_device_that_has_stopped_can_be_reset<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.on_write_error(OnError::Stop));
    submit(&rig, &mut driver, OUT);
    submit(&rig, &mut driver, IN);
    held.fail(0, ErrorKind::Other);
    rig.runtime.poll();
    assert!(rig.handle.stopped().is_some());
    rig.port.set_status(0);
    rig.runtime.poll();
    assert_eq!((rig.port.status(), held.in_flight(), rig.handle.stopped()), (0, 0, None));
    assert!(!rig.handle.resume());
    let mut driver = rig.live(USUAL);
    let pending = submit(&rig, &mut driver, IN);
    held.finish(0);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
}

fn a_device_that_has_stopped_is_not_paused<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.on_write_error(OnError::Stop));
    let pending = submit(&rig, &mut driver, OUT);
    held.fail(0, ErrorKind::Other);
    rig.runtime.poll();
    let paused = rig.port.host().pause(Duration::from_millis(1));
    assert!(matches!(paused, Err(PauseError::InFlight)), "{paused:?}");
    rig.port.host().resume();
    assert!(rig.handle.resume());
    rig.runtime.poll();
    held.finish(0);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
}

fn a_failing_range_is_done_again<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.on_write_error(OnError::Stop));
    let segment = |sector: u64| [&sector.to_le_bytes()[..], &2u32.to_le_bytes(), &[0; 4]].concat();
    let payload = [segment(0), segment(8), segment(16)].concat();
    let pending = rig.add(&mut driver, WRITE_ZEROES, 0, &payload, 0);
    rig.kick(&mut driver);
    held.finish(0);
    rig.runtime.poll();
    held.fail(0, ErrorKind::Other);
    rig.runtime.poll();
    assert!(rig.handle.resume());
    rig.runtime.poll();
    held.finish(0);
    rig.runtime.poll();
    held.finish(0);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
    let zeroes = OperationKind::WriteZeroes { unmap: false, durable: false };
    assert_eq!(held.take_log(), [0, 8, 8, 16].map(|sector| (zeroes, sector * 512, 1024)));
}

fn reads_and_writes_have_policies_of_their_own<P: Port>() {
    let (rig, held, mut driver, _) =
        rig::<P>(|block| block.on_read_error(OnError::Report).on_write_error(OnError::Ignore));
    for (kind, wanted) in [(IN, IOERR), (OUT, OK)] {
        let pending = submit(&rig, &mut driver, kind);
        held.fail(0, ErrorKind::Other);
        assert_eq!(answer(&rig, &mut driver, &pending).status, wanted);
    }
    let pending = rig.add(&mut driver, FLUSH, 0, &[], 0);
    rig.kick(&mut driver);
    held.fail(0, ErrorKind::Other);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK, "a flush is about writes");
}

fn queues_stop_together<P: Port>() {
    let held = Held::new(512 * 64);
    let block = Block::builder(held.clone()).queues(2).on_read_error(OnError::Stop).build().expect("a device");
    let rig = Rig::<P>::new(block);
    assert!(rig.negotiate(USUAL | MQ));
    let mut drivers = [0, 1].map(|index| rig.enable(index, 16, USUAL));
    rig.go();
    let mut read = |index: usize| {
        rig.add(&mut drivers[index], IN, 0, &[], 512);
        drivers[index].kick(|| rig.port.notify(index as u16));
        rig.runtime.poll();
    };
    read(0);
    held.fail(0, ErrorKind::Other);
    rig.runtime.poll();
    read(1);
    assert_eq!(held.in_flight(), 0, "the other queue takes nothing either");
    assert!(rig.handle.resume());
    rig.runtime.poll();
    assert_eq!(held.in_flight(), 2, "both go on");
}

fn faults_of_the_driver_are_no_faults_of_storage<P: Port>() {
    for policy in [OnError::Ignore, OnError::Stop] {
        let (rig, held, mut driver, stops) = rig::<P>(|block| block.on_read_error(policy).on_write_error(policy));
        assert_eq!(rig.read(&mut driver, 64, 512).status, IOERR);
        assert_eq!(rig.request(&mut driver, 99, 0, &[], 0).status, UNSUPP);
        let pending = submit(&rig, &mut driver, OUT);
        held.finish_as(0, &[], Err(virtio_blk::OperationError::Unsupported));
        assert_eq!(answer(&rig, &mut driver, &pending).status, UNSUPP);
        assert_eq!((told(&stops), rig.handle.stopped()), (vec![], None));
    }
}

/// Polls until something is so, for up to a minute.
fn until<P: Port>(rig: &Rig<P>, so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < limit, "it does not come about");
        rig.runtime.poll();
        std::thread::yield_now();
    }
}

const SHORT: Duration = Duration::from_millis(5);

fn operations_that_take_too_long_are_given_up<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.timeout(SHORT));
    let pending = submit(&rig, &mut driver, IN);
    assert!(rig.runtime.next_deadline().is_some_and(|at| at <= Instant::now() + SHORT), "the task asks to be run then");
    until(&rig, || rig.memory.bytes(pending.status, 1) != [UNTOUCHED]);
    let read = answer(&rig, &mut driver, &pending);
    assert_eq!((read.status, read.len), (IOERR, 0));
    assert_eq!(held.take_overdue().len(), 1);
    assert_eq!(rig.handle.counts().overdue, 1);
    // The next one is as good as any.
    let pending = submit(&rig, &mut driver, OUT);
    held.finish(0);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
}

fn memory_is_not_given_back_before_storage_lets_go<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.timeout(SHORT));
    held.refuse_cancel(true);
    let pending = submit(&rig, &mut driver, IN);
    until(&rig, || rig.handle.counts().overdue == 1);
    for _ in 0..10 {
        rig.runtime.poll();
    }
    assert!(driver.used().is_none(), "the storage may still write");
    assert_eq!(held.take_overdue().len(), 1, "it is asked once");
    held.complete_late(0, Err(io::ErrorKind::Other.into()));
    assert_eq!(answer(&rig, &mut driver, &pending).status, IOERR);
    // What comes late, and well, is well.
    let pending = submit(&rig, &mut driver, IN);
    until(&rig, || rig.handle.counts().overdue == 2);
    held.finish(0);
    assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
}

fn operations_that_are_quick_are_left_alone<P: Port>() {
    let (rig, held, mut driver, _) = rig::<P>(|block| block.timeout(Duration::from_secs(3600)));
    for _ in 0..100 {
        let pending = submit(&rig, &mut driver, IN);
        held.finish(0);
        assert_eq!(answer(&rig, &mut driver, &pending).status, OK);
    }
    assert_eq!((held.take_overdue(), rig.handle.counts().overdue), (vec![], 0));
}
