use super::*;
use crate::task::{Command, Outcome};

#[test]
fn inline_tasks_have_deadlines() {
    struct Timer {
        due: Instant,
        fired: u32,
    }
    impl QueueTask for Timer {
        fn run(&mut self, _cx: &mut TaskContext) -> Next {
            if Instant::now() < self.due {
                return Next::WaitUntil(self.due);
            }
            self.fired += 1;
            if self.fired == 3 { Next::Wait } else { Next::Again }
        }
        fn queues(&mut self) -> &mut [Virtqueue] {
            &mut []
        }
    }
    let runtime = InlineRuntime::new();
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let due = Instant::now() + Duration::from_millis(20);
    let lost = || panic!("it was told to end");
    let task = Box::new(Timer { due, fired: 0 });
    runtime.spawn(TaskRunner::new(task, control.clone(), lost, false)).unwrap();
    assert!(!runtime.poll());
    assert_eq!(runtime.next_deadline(), Some(due));
    while Instant::now() < due {
        std::hint::spin_loop();
    }
    assert!(!runtime.poll());
    assert_eq!(runtime.next_deadline(), None);
    control.request(Command::Stop);
    runtime.poll();
    assert_eq!(control.outcome(), Some(Outcome::Gone));
}

#[test]
fn whoever_assists_does_not_wait_for_whoever_polls() {
    use std::sync::mpsc;
    struct Slow(mpsc::Sender<()>, mpsc::Receiver<()>);
    impl QueueTask for Slow {
        fn run(&mut self, _cx: &mut TaskContext) -> Next {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            Next::Wait
        }
        fn queues(&mut self) -> &mut [Virtqueue] {
            &mut []
        }
    }
    let ((entered, wait_entered), (go, wait_go)) = (mpsc::channel(), mpsc::channel());
    let control = Arc::new(TaskControl::new(Event::new().unwrap()));
    let runtime = InlineRuntime::new();
    let task = Box::new(Slow(entered, wait_go));
    runtime.spawn(TaskRunner::new(task, control, || (), false)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.poll());
        wait_entered.recv().unwrap();
        let (done, wait_done) = mpsc::channel();
        let runtime = &runtime;
        scope.spawn(move || {
            runtime.assist();
            done.send(()).unwrap();
        });
        let assisted = wait_done.recv_timeout(Duration::from_secs(10));
        go.send(()).unwrap();
        assert_eq!(assisted, Ok(()));
    });
}
