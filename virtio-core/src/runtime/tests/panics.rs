use std::panic::resume_unwind;

use super::*;
use crate::device::{ActivateError, Activation};
use crate::task::{Command, Outcome};
use crate::testing::suite::USUAL;
use crate::{ConfigSpace, DeviceType};

/// A panic that prints nothing.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("a test wants it"))
}

/// A device whose tasks panic when there is something to do.
struct Crashing(TestDevice);

impl VirtioDevice for Crashing {
    fn device_type(&self) -> DeviceType {
        self.0.device_type()
    }

    fn features(&self) -> Features {
        self.0.features()
    }

    fn queue_sizes(&self) -> &[u16] {
        self.0.queue_sizes()
    }

    fn config(&self) -> ConfigSpace {
        self.0.config()
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        let tasks = self.0.activate(activation)?;
        Ok(tasks.into_iter().map(|task| Box::new(Fragile(task)) as Box<dyn QueueTask>).collect())
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

struct Fragile(Box<dyn QueueTask>);

impl QueueTask for Fragile {
    fn sources(&self, sources: &mut Sources) {
        self.0.sources(sources);
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        if starts(cx) { Next::Wait } else { panic_quietly() }
    }

    fn queues(&mut self) -> &mut [Virtqueue] {
        self.0.queues()
    }
}

#[test]
fn a_task_that_panics_has_its_device_alone_ask_for_a_reset() {
    for runtime in runtimes() {
        let (mut other, _) = live(runtime.clone(), USUAL);
        let (device, handle) = TestDevice::new(1);
        let mut live = Live::new(Crashing(device), runtime, USUAL, TestMemory::new(1 << 20));
        for resets in 1..4 {
            live.send();
            until(|| live.host.status() & 64 == 64);
            other.send();
            other.answer();
            live.host.write_status(0);
            assert_eq!((live.host.status(), handle.resets()), (0, resets));
            live.start(USUAL);
        }
        assert_eq!(other.host.counts().needs_reset, 0);
    }
}

#[test]
fn a_task_that_panics_while_it_is_dropped_is_gone() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_quietly();
        }
    }
    for runtime in runtimes() {
        let (bell, seen) = (event(), event());
        let has_run = seen.clone();
        let (other, _) = spawn(&*runtime, vec![Source::Event(bell.clone())], move |_| {
            has_run.signal();
            Next::Wait
        });
        assert!(wait(&seen));
        for told in [true, false] {
            let bomb = Bomb;
            let (control, lost) = spawn(&*runtime, Vec::new(), move |_| {
                let _ = &bomb;
                if told { Next::Wait } else { Next::Done }
            });
            if told {
                control.request(Command::Stop);
            }
            assert_eq!(control.wait(LIMIT), Some(Outcome::Gone));
            assert_eq!(lost.take(), u64::from(!told));
        }
        bell.signal();
        assert!(wait(&seen));
        other.request(Command::Stop);
        assert_eq!(other.wait(LIMIT), Some(Outcome::Gone));
    }
}
