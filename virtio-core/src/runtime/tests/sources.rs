use std::os::unix::net::UnixStream;

use super::*;
use crate::task::{Command, Outcome, Ready};

/// Waits for what is read from and written to one stream, and says which of the two it was run for alone.
struct Duplex {
    stream: Arc<UnixStream>,
    writes: bool,
    seen: [Event; 2],
}

impl QueueTask for Duplex {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Readable(self.stream.clone()), 0);
        if self.writes {
            sources.add(Source::Writable(self.stream.clone()), 1);
        }
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        match [0, 1].map(|token| cx.is_ready(token)) {
            [false, true] if self.writes => {
                self.writes = false;
                cx.sources_changed();
                self.seen[1].signal();
            }
            [true, false] => {
                let _ = std::io::Read::read(&mut &*self.stream, &mut [0; 8]);
                self.seen[0].signal();
            }
            _ => {}
        }
        Next::Wait
    }

    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut []
    }
}

fn duplex(paused: bool) -> (TaskRunner, Arc<TaskControl>, UnixStream, [Event; 2]) {
    let (stream, peer) = UnixStream::pair().unwrap();
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let seen = [Event::new().unwrap(), Event::new().unwrap()];
    let task = Duplex { stream: Arc::new(stream), writes: true, seen: seen.clone() };
    (TaskRunner::new(Box::new(task), control.clone(), || (), paused), control, peer, seen)
}

/// A file that has something would have the runtime spin until the task reads it.
#[test]
fn a_task_that_begins_paused_waits_for_no_file() {
    let (mut runner, control, ..) = duplex(true);
    assert_eq!(runner.sources().len(), 0);
    control.request(Command::Resume);
    let _ = runner.step(Ready::NONE);
    assert_eq!(runner.sources().len(), 2);
}

#[test]
fn threads_read_and_write_one_file() {
    for runtime in runtimes() {
        let (runner, control, mut peer, [read, written]) = duplex(false);
        runtime.spawn(runner).unwrap();
        assert!(wait(&written), "it can be written");
        std::io::Write::write_all(&mut peer, b"data").unwrap();
        assert!(wait(&read), "it can be read");
        control.request(Command::Stop);
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    }
}

/// A task that goes from one event to another, and back.
struct Fickle {
    bells: [Event; 2],
    now: usize,
    seen: [Event; 2],
}

impl QueueTask for Fickle {
    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.bells[self.now].clone()), 0);
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        if starts(cx) {
            return Next::Wait;
        }
        self.seen[self.now].signal();
        self.now = 1 - self.now;
        cx.sources_changed();
        Next::Wait
    }

    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut []
    }
}

#[test]
fn sources_change_while_tasks_run() {
    for runtime in runtimes() {
        let (bells, seen) = ([event(), event()], [event(), event()]);
        let (runner, control, _) = runner(Fickle { bells: bells.clone(), now: 0, seen: seen.clone() });
        runtime.spawn(runner).unwrap();
        for turn in 0..100 {
            // What is not waited for now is found when it is.
            bells[1 - turn % 2].signal();
            bells[turn % 2].signal();
            assert!(wait(&seen[turn % 2]));
            assert!(wait(&seen[1 - turn % 2]));
            bells[turn % 2].signal();
            assert!(wait(&seen[turn % 2]));
        }
        control.request(Command::Stop);
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
    }
}

#[test]
fn a_source_that_cannot_be_waited_for_costs_its_task_alone() {
    let file = Arc::new(std::fs::File::open("/proc/self/exe").unwrap());
    for runtime in runtimes() {
        let (bell, seen) = (event(), event());
        let has_run = seen.clone();
        let (good, _) = spawn(&*runtime, vec![Source::Event(bell.clone())], move |_| {
            has_run.signal();
            Next::Wait
        });
        assert!(wait(&seen));
        let (runner, control, lost) =
            runner(Script { sources: vec![Source::Readable(file.clone())], run: |_: &mut TaskContext| Next::Wait });
        // A thread of its own says so at once.
        let _ = runtime.spawn(runner);
        assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
        assert!(wait(&lost));
        bell.signal();
        assert!(wait(&seen));
        good.request(Command::Stop);
        assert_eq!(good.wait(LIMIT), Some(Outcome::Gone));
    }
    assert_eq!(Arc::strong_count(&file), 1);
}
