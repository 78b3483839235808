use std::collections::HashSet;
use std::sync::Mutex;
use std::thread::{self, ThreadId};

use super::*;
use crate::task::{Command, Outcome};
use crate::testing::suite::USUAL;

/// Devices that fit into half of the files that this process may open, and no more than `most`.
fn as_many_as_fit(most: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    most.min(files / 2 / 8)
}

#[test]
fn devices_that_are_idle_are_not_run_while_one_is_busy() {
    for (runtime, most) in runtimes().into_iter().zip([50, 1000, 1000, 1000]) {
        let memory = TestMemory::new(8 << 20);
        let idle: Vec<_> = (0..as_many_as_fit(most))
            .map(|_| {
                let (device, handle) = TestDevice::new(1);
                (Live::new(device, runtime.clone(), USUAL, memory.clone()), handle)
            })
            .collect();
        let (mut busy, busy_handle) = live(runtime, USUAL);
        until(|| idle.iter().all(|(_, handle)| handle.runs() == 1));
        until(|| busy_handle.runs() == 1);
        for answered in 0..1000 {
            busy.send();
            busy.answer();
            assert!(busy_handle.runs() > answered);
        }
        for (_, handle) in &idle {
            assert_eq!(handle.runs(), 1, "only at the start");
        }
    }
}

/// Where a task ran, and where it ended.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Places {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

#[test]
fn tasks_stay_on_their_thread_and_spread_evenly() {
    for (runtime, threads) in runtimes().into_iter().zip([8, 1, 2, 1]) {
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (places, bell, seen) = (Places::default(), event(), event());
            let (list, has_run) = (places.0.clone(), seen.clone());
            let (control, _) = spawn(&*runtime, vec![Source::Event(bell.clone())], move |_| {
                places.0.lock().unwrap().push(thread::current().id());
                has_run.signal();
                Next::Wait
            });
            tasks.push((list, bell, seen, control));
        }
        for _ in 0..20 {
            for (_, bell, seen, _) in &tasks {
                assert!(wait(seen), "it is run");
                bell.signal();
            }
        }
        for (_, _, seen, control) in &tasks {
            assert!(wait(seen));
            control.request(Command::Stop);
            assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
        }
        let places = tasks.iter().map(|(list, ..)| list.lock().unwrap().clone());
        let homes: Vec<_> = places
            .map(|list| {
                assert!(list.len() > 20 && list.iter().all(|thread| *thread == list[0]));
                list[0]
            })
            .collect();
        assert!(!homes.contains(&thread::current().id()));
        let distinct: HashSet<_> = homes.iter().collect();
        assert_eq!(distinct.len(), threads);
        for home in distinct {
            assert_eq!(homes.iter().filter(|other| *other == home).count(), 8 / threads);
        }
    }
}

/// What stays signalled has its thread run in circles.
#[test]
fn what_woke_a_task_is_taken() {
    for runtime in runtimes() {
        let seen = event();
        let has_run = seen.clone();
        let (control, _) = spawn(&*runtime, Vec::new(), move |_| {
            has_run.signal();
            Next::Wait
        });
        assert!(wait(&seen), "it is run");
        let (wake, rests) = (epoll_of(&[&control.wake]), &mut [EpollEvent::default()]);
        until(|| wake.wait(0, rests).unwrap() == 0);
        control.request(Command::Pause);
        assert!(matches!(control.wait(LIMIT), Some(Outcome::Paused(_))));
        until(|| wake.wait(0, rests).unwrap() == 0);
        control.request(Command::Stop);
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    }
}
