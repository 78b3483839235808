use super::*;
use crate::task::{Command, Outcome};
use crate::testing::suite::USUAL;

#[test]
fn what_a_task_holds_goes_when_it_ends() {
    for runtime in runtimes() {
        for done in [true, false] {
            let held = Arc::new(());
            let (mine, file) = (held.clone(), Arc::new(event()));
            let sources = vec![Source::Readable(file.clone())];
            let (control, lost) = spawn(&*runtime, sources, move |_| {
                let _ = &mine;
                if done { Next::Done } else { Next::WaitUntil(Instant::now() + LIMIT) }
            });
            if !done {
                control.request(Command::Stop);
            }
            assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
            assert_eq!((Arc::strong_count(&held), Arc::strong_count(&file)), (1, 1));
            assert_eq!(lost.take(), u64::from(done));
        }
    }
}

/// Threads of this process with that name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

#[test]
fn a_runtime_needs_a_thread() {
    assert_eq!(SharedRuntime::new(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn threads_end_with_a_runtime_that_had_no_tasks() {
    let runtime = SharedRuntime::named("test-unused", 3).unwrap();
    let other = runtime.clone();
    drop(runtime);
    until(|| threads("test-unused") == 3);
    drop(other);
    until(|| threads("test-unused") == 0);
}

#[test]
fn tasks_outlive_the_handles_of_their_runtime() {
    let runtime = SharedRuntime::named("test-outlived", 2).unwrap();
    let (bell, seen) = (event(), event());
    let has_run = seen.clone();
    let (control, _) = spawn(&runtime, vec![Source::Event(bell.clone())], move |_| {
        has_run.signal();
        Next::Wait
    });
    assert!(wait(&seen));
    drop(runtime);
    // The thread that has none ends; the other goes on.
    until(|| threads("test-outlived") == 1);
    bell.signal();
    assert!(wait(&seen));
    control.request(Command::Stop);
    assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    until(|| threads("test-outlived") == 0);
}

#[test]
fn a_task_that_nobody_ran_yet_is_served_after_the_last_handle_is_gone() {
    for _ in 0..100 {
        let runtime = SharedRuntime::named("test", 1).unwrap();
        let seen = event();
        let has_run = seen.clone();
        let (control, _) = spawn(&runtime, Vec::new(), move |_| {
            has_run.signal();
            Next::Done
        });
        drop(runtime);
        assert!(wait(&seen));
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    }
}

/// The last handle may go on one of the runtime's own threads.
#[test]
fn a_task_may_hold_its_runtime() {
    let runtime = Arc::new(SharedRuntime::named("test-held", 2).unwrap());
    let (held, bell) = (runtime.clone(), event());
    let (control, _) = spawn(&*runtime, vec![Source::Event(bell.clone())], move |cx| {
        let _ = &held;
        if starts(cx) { Next::Wait } else { Next::Done }
    });
    drop(runtime);
    bell.signal();
    assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    until(|| threads("test-held") == 0);
}

#[test]
fn hosts_and_their_runtime_go_in_any_order() {
    for host_first in [true, false] {
        let runtime = Arc::new(SharedRuntime::named("test-order", 1).unwrap());
        let (mut live, handle) = live(runtime.clone(), USUAL);
        if host_first {
            drop(live);
            assert_eq!(format!("{runtime:?}"), "SharedRuntime(0 tasks on 1 threads)");
            drop(runtime);
        } else {
            drop(runtime);
            live.send();
            live.answer();
            drop(live);
        }
        assert_eq!(handle.resets(), 1);
        until(|| threads("test-order") == 0);
    }
}
