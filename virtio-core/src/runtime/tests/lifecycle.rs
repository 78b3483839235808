use std::sync::mpsc;

use super::*;
use crate::host::PauseError;
use crate::task::{Command, Outcome};
use crate::testing::RingDriver;
use crate::testing::suite::USUAL;

#[test]
fn threads_pause_resume_and_reset() {
    for runtime in runtimes() {
        let (mut live, handle) = live(runtime, USUAL);
        handle.hold(true);
        live.send();
        until(|| live.host.queue_counts(0).unwrap().chains != 0);
        assert_eq!(live.host.pause(Duration::from_millis(1)), Err(PauseError::InFlight));
        handle.hold(false);
        assert!(wait(&live.interrupt));
        assert_eq!(live.host.pause(LIMIT).unwrap().len(), 1);
        // What comes during the pause is found after it.
        assert_eq!(live.driver.used().map(|used| used.len), Some(4));
        live.send();
        let unmapped = live.memory.ram().set_log(None);
        assert!(unmapped.wait(LIMIT), "a paused task takes over changes of memory");
        assert_eq!(live.driver.used(), None);
        live.host.resume();
        live.answer();
        handle.hold(true);
        live.send();
        live.host.write_status(0);
        assert_eq!((live.host.status(), handle.resets()), (0, 1));
        assert_eq!(live.driver.used(), None);
    }
}

#[test]
fn a_runtime_that_takes_no_task_leaves_a_device_that_can_be_reset() {
    struct Full;
    impl Runtime for Full {
        fn spawn(&self, _runner: crate::TaskRunner) -> io::Result<()> {
            Err(io::ErrorKind::OutOfMemory.into())
        }

        fn assist(&self) {}
    }
    let (Live { host, .. }, handle) = live(Arc::new(Full), USUAL);
    assert_eq!((host.status() & 64, host.counts().needs_reset), (64, 1));
    host.write_status(0);
    assert_eq!((host.status(), handle.resets()), (0, 1));
}

#[test]
fn a_task_that_is_lost_asks_for_a_reset() {
    /// Loses every task at once.
    struct Careless;
    impl Runtime for Careless {
        fn spawn(&self, runner: crate::TaskRunner) -> io::Result<()> {
            drop(runner);
            Ok(())
        }

        fn assist(&self) {}
    }
    let (Live { host, .. }, _) = live(Arc::new(Careless), USUAL);
    assert_eq!(host.status() & 64, 64);
    assert_eq!(host.pause(Duration::ZERO), Err(PauseError::PositionUnknown));
    host.write_status(0);
    assert_eq!(host.status(), 0);
}

/// A task that is in the middle of a run until it is told to go on.
fn blocked(runtime: &dyn Runtime) -> (Arc<TaskControl>, mpsc::Sender<()>) {
    let ((entered, wait_entered), (go, wait_go)) = (mpsc::channel(), mpsc::channel());
    let (control, _) = spawn(runtime, Vec::new(), move |_| {
        entered.send(()).unwrap();
        wait_go.recv().unwrap();
        Next::Wait
    });
    wait_entered.recv().unwrap();
    (control, go)
}

/// A reset waits for the thread as long as it may, never lies, and ends when the thread has come to it.
#[test]
fn a_reset_ends_after_the_run_of_another_device_on_the_thread() {
    for runtime in [shared(1) as Arc<dyn Runtime>, Arc::new(Looped::new())] {
        let (device, handle) = TestDevice::new(1);
        let memory = TestMemory::new(1 << 20);
        let builder = DeviceHost::builder(device, memory.ram().clone(), runtime.clone()).reset_wait(Duration::ZERO);
        let host = builder.build(Features::NONE, Arc::new(Interrupted(event()))).unwrap();
        let driver = SplitDriver::new(&memory, 64, USUAL);
        let mut live = Live { host, driver, memory, interrupt: event() };
        live.start(USUAL);
        until(|| handle.runs() == 1);
        let (busy, go) = blocked(&*runtime);
        live.host.write_status(0);
        assert_ne!(live.host.status(), 0);
        assert_eq!((live.host.counts().slow_resets, handle.resets()), (1, 0));
        go.send(()).unwrap();
        until(|| live.host.status() == 0);
        assert_eq!(handle.resets(), 1);
        busy.request(Command::Stop);
        assert_eq!(busy.wait(LIMIT), Some(Outcome::Gone));
    }
}

/// A device that always has more to do keeps no other from its reset.
#[test]
fn a_reset_ends_beside_a_task_that_never_rests() {
    for runtime in runtimes() {
        let (control, _) = spawn(&*runtime, Vec::new(), |_| Next::Again);
        let (mut live, handle) = live(runtime, USUAL);
        for resets in 1..20 {
            handle.hold(true);
            live.send();
            live.host.write_status(0);
            assert_eq!((live.host.status(), handle.resets()), (0, resets));
            handle.hold(false);
            live.start(USUAL);
            live.send();
            live.answer();
        }
        assert_eq!(control.outcome(), None);
        control.request(Command::Stop);
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    }
}

#[test]
fn devices_come_and_go_on_all_threads_at_once() {
    for runtime in runtimes() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let (mut live, _) = live(runtime.clone(), USUAL);
                        live.send();
                        live.answer();
                    }
                });
            }
        });
    }
}
