#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use vmm_sys_util::epoll::{ControlOperation, EpollEvent, EventSet};

use super::*;
use crate::TaskContext;
use crate::runtime::tests::{Live, Script, epoll_of, event, live, runner, starts};
use crate::task::{Command, Next, Outcome, Source, TaskControl};
use crate::testing::suite::USUAL;

/// A task that does nothing but say where it is run, and what a test says it wants next.
fn add(
    runtime: &LoopRuntime,
    sources: Vec<Source>,
    mut next: impl FnMut(&TaskContext) -> Next + Send + 'static,
) -> (Arc<TaskControl>, mpsc::Receiver<ThreadId>) {
    let (sender, runs) = mpsc::channel();
    let run = move |cx: &mut TaskContext| {
        let _ = sender.send(thread::current().id());
        next(cx)
    };
    let (runner, control, _) = runner(Script { sources, run });
    runtime.spawn(runner).unwrap();
    (control, runs)
}

/// Whether there is something to do now.
fn readable(runtime: &LoopRuntime) -> bool {
    epoll_of(&[runtime]).wait(0, &mut [EpollEvent::default()]).unwrap() == 1
}

/// Waits until there is something to do.
fn wait_readable(runtime: &LoopRuntime) {
    assert_eq!(epoll_of(&[runtime]).wait(60_000, &mut [EpollEvent::default()]).unwrap(), 1);
}

/// Does all there is to do.
fn rest(runtime: &LoopRuntime) {
    while runtime.turn() {}
    assert!(!readable(runtime));
}

#[test]
fn it_is_readable_for_as_long_as_there_is_something_to_do() {
    let runtime = LoopRuntime::new().unwrap();
    assert!(!readable(&runtime) && !runtime.turn());
    let bell = event();
    let (control, runs) = add(&runtime, vec![Source::Event(bell.clone())], |_| Next::Wait);
    assert!(readable(&runtime), "a task is new");
    assert!(runs.try_recv().is_err(), "it is not run before its turn");
    assert!(runtime.turn() && !readable(&runtime));
    bell.signal();
    assert!(readable(&runtime) && runtime.turn() && !readable(&runtime));
    assert!(!runtime.turn());
    assert_eq!(runs.try_iter().count(), 2);
    control.request(Command::Stop);
    assert!(readable(&runtime) && runtime.turn() && !readable(&runtime));
    assert_eq!((control.outcome(), format!("{runtime:?}")), (Some(Outcome::Gone), "LoopRuntime(0 tasks)".into()));
}

#[test]
fn it_is_readable_while_a_task_has_more_to_do() {
    let runtime = LoopRuntime::new().unwrap();
    let mut left = 10;
    let (_, runs) = add(&runtime, Vec::new(), move |_| {
        left -= 1;
        if left == 0 { Next::Wait } else { Next::Again }
    });
    for _ in 0..10 {
        assert!(readable(&runtime) && runtime.turn());
        assert_eq!(runs.try_iter().count(), 1, "a turn runs it once");
    }
    assert!(!readable(&runtime) && !runtime.turn());
}

#[test]
fn it_becomes_readable_when_a_time_has_come() {
    let runtime = LoopRuntime::new().unwrap();
    let start = Instant::now();
    let tasks: Vec<_> = [6, 2, 4, 1000 * 3600]
        .map(|after| {
            let due = start + Duration::from_millis(after);
            let next = move |cx: &TaskContext| if starts(cx) { Next::WaitUntil(due) } else { Next::Wait };
            (due, add(&runtime, Vec::new(), next))
        })
        .into();
    rest(&runtime);
    for which in [1, 2, 0] {
        let (due, (_, runs)) = &tasks[which];
        // Once at the start, and once when it is time, which it may have been before all was at rest.
        let mut count = runs.try_iter().count();
        while count < 2 {
            wait_readable(&runtime);
            assert!(runtime.turn());
            count += runs.try_iter().count();
        }
        assert_eq!(count, 2);
        assert!(Instant::now() >= *due);
    }
    rest(&runtime);
    // A time that nobody waits for any more.
    tasks[3].1.0.request(Command::Stop);
    rest(&runtime);
    assert_eq!(tasks[3].1.0.outcome(), Some(Outcome::Gone));
}

#[test]
fn a_time_that_has_come_already_is_no_wait() {
    let runtime = LoopRuntime::new().unwrap();
    let start = Instant::now();
    let (_, runs) =
        add(&runtime, Vec::new(), move |cx: &TaskContext| if starts(cx) { Next::WaitUntil(start) } else { Next::Wait });
    assert!(runtime.turn());
    wait_readable(&runtime);
    rest(&runtime);
    assert_eq!(runs.try_iter().count(), 2);
}

#[test]
fn a_task_from_another_thread_wakes_the_loop() {
    let runtime = LoopRuntime::new().unwrap();
    thread::scope(|scope| {
        let spawned = scope.spawn(|| add(&runtime, Vec::new(), |_| Next::Wait));
        wait_readable(&runtime);
        assert!(runtime.turn());
        assert_eq!(spawned.join().unwrap().1.try_recv(), Ok(thread::current().id()));
    });
}

/// One that is told of changes alone misses nothing, if it goes on until there is nothing.
#[test]
fn a_loop_that_hears_of_changes_alone_misses_nothing() {
    let runtime = LoopRuntime::new().unwrap();
    let epoll = epoll_of(&[]);
    let edges = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, 0);
    epoll.ctl(ControlOperation::Add, runtime.as_raw_fd(), edges).unwrap();
    let (file, peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = Arc::new(file);
    let mine = file.clone();
    // Takes less than there is.
    let (_, runs) = add(&runtime, vec![Source::Readable(file)], move |cx| {
        if !starts(cx) {
            assert_eq!(std::io::Read::read(&mut &*mine, &mut [0]).unwrap(), 1);
        }
        Next::Wait
    });
    while runtime.turn() {}
    assert_eq!(runs.try_iter().count(), 1);
    for _ in 0..100 {
        std::io::Write::write_all(&mut &peer, &[0; 10]).unwrap();
        assert_eq!(epoll.wait(60_000, &mut [EpollEvent::default()]).unwrap(), 1);
        while runtime.turn() {}
        assert_eq!(runs.try_iter().count(), 10);
    }
}

#[test]
fn a_panic_costs_its_task_alone() {
    let runtime = LoopRuntime::new().unwrap();
    let bell = event();
    let (other, runs) = add(&runtime, vec![Source::Event(bell.clone())], |_| Next::Wait);
    let (control, _) = add(&runtime, Vec::new(), |_| resume_unwind(Box::new("a test wants it")));
    rest(&runtime);
    assert_eq!((control.outcome(), other.outcome()), (Some(Outcome::Gone), None));
    bell.signal();
    rest(&runtime);
    assert_eq!(runs.try_iter().count(), 2);
}

#[test]
fn a_task_may_call_what_runs_it() {
    let runtime = LoopRuntime::new().unwrap();
    let inner = runtime.clone();
    let (control, runs) = add(&runtime, Vec::new(), move |_| {
        inner.assist();
        assert!(!inner.turn());
        Next::Done
    });
    rest(&runtime);
    assert_eq!((control.outcome(), runs.try_iter().count()), (Some(Outcome::Gone), 1));
}

#[test]
fn tasks_that_are_left_are_lost_with_the_runtime() {
    let runtime = LoopRuntime::new().unwrap();
    let (running, _runs) = add(&runtime, Vec::new(), |_| Next::Wait);
    rest(&runtime);
    let (new, _runs) = add(&runtime, Vec::new(), |_| Next::Wait);
    let other = runtime.clone();
    drop(runtime);
    assert_eq!((running.outcome(), new.outcome()), (None, None));
    drop(other);
    assert_eq!((running.outcome(), new.outcome()), (Some(Outcome::Gone), Some(Outcome::Gone)));
}

/// The thread of the loop handles the driver's register accesses, too.
#[test]
fn a_reset_on_the_thread_of_the_loop_ends_within_the_write() {
    let runtime = LoopRuntime::new().unwrap();
    let (Live { host, .. }, handle) = live(Arc::new(runtime.clone()), USUAL);
    rest(&runtime);
    assert_eq!(handle.runs(), 1);
    host.write_status(0);
    assert_eq!((host.status(), handle.resets()), (0, 1));
    rest(&runtime);
}

#[test]
fn who_waits_runs_tasks_where_no_loop_does() {
    let runtime = LoopRuntime::new().unwrap();
    let bell = event();
    let (control, runs) = add(&runtime, vec![Source::Event(bell.clone())], |_| Next::Wait);
    let here = thread::current().id();
    runtime.assist();
    assert_eq!(runs.try_recv(), Ok(here), "there is no loop yet");
    let (go, wait) = mpsc::channel::<()>();
    let (turned, wait_turned) = mpsc::channel();
    let (looped, rings) = (runtime.clone(), bell.clone());
    let home = thread::spawn(move || {
        rings.signal();
        looped.turn();
        turned.send(()).unwrap();
        wait.recv().unwrap();
    });
    wait_turned.recv().unwrap();
    assert_eq!(runs.try_recv(), Ok(home.thread().id()));
    bell.signal();
    runtime.assist();
    assert!(runs.try_recv().is_err(), "they belong to the thread of the loop");
    go.send(()).unwrap();
    home.join().unwrap();
    runtime.assist();
    assert_eq!(runs.try_recv(), Ok(here), "it has ended");
    control.request(Command::Stop);
    runtime.assist();
    assert_eq!(control.outcome(), Some(Outcome::Gone));
}

/// Something comes while a thread that waits runs the tasks: the loop looks again.
#[test]
fn what_was_done_by_another_is_looked_after() {
    let runtime = LoopRuntime::new().unwrap();
    let (_, runs) = add(&runtime, Vec::new(), |_| Next::Wait);
    runtime.assist();
    assert!(runs.try_recv().is_ok() && readable(&runtime));
    rest(&runtime);
}

#[test]
fn doorbells_wake_the_loop() {
    let runtime = LoopRuntime::new().unwrap();
    let (mut live, handle) = live(Arc::new(runtime.clone()), USUAL);
    rest(&runtime);
    for runs in 1..100 {
        assert_eq!(handle.runs(), runs);
        live.send();
        assert!(readable(&runtime) && runtime.turn() && !readable(&runtime));
        live.answer();
    }
}

#[test]
fn it_is_a_file() {
    let runtime = LoopRuntime::new().unwrap();
    assert_eq!(runtime.as_fd().as_raw_fd(), runtime.as_raw_fd());
    assert!(runtime.as_fd().try_clone_to_owned().is_ok());
}
