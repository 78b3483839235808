//! How the rate grows from one queue to two, each with a driver in the thread that serves it.
//!
//! What counts as a time is what two queues take for twice the work in relation to one: a million nanoseconds where they take
//! twice as long, half of that where they take no longer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use virtio_core::testing::TestMemory;

use super::bare::Bare;
use super::device::{Options, builder, live};
use super::requests::{DEPTH, Requests, memory};
use super::{FILE, RANDOM_READ, file};
use crate::contest::{Contest, Run, Side};
use crate::live::step;
use crate::queues::Layout;

/// Two queues of one device, against two loops.
pub(super) fn contest() -> Contest {
    let (file, memory) = (file::make(FILE), memory());
    let driven = TestMemory::over(&memory);
    let requests: Vec<_> = (0..2).map(|_| Requests::split(&driven, RANDOM_READ)).collect();
    let (host, runners) = live(builder(Options::new(), &file), Layout::Split, &driven, &requests);
    let ours = (0..).zip(requests).zip(runners).map(|((index, mut requests), mut runner)| {
        let doorbell = host.doorbell(index).expect("a queue").clone();
        Worker::start(move |batches| {
            requests.time(batches, || doorbell.signal(), |first| step(&mut runner, first));
        })
    });
    let ours: Vec<_> = ours.collect();
    let bare = (0..2).map(|index| {
        let mut bare = Bare::new(RANDOM_READ, &file, &memory, index);
        Worker::start(move |batches| {
            bare.time(batches);
        })
    });
    let bare: Vec<_> = bare.collect();
    let ours = side(ours);
    Contest::new(
        Box::new({
            let mut ours = ours;
            move |batches| {
                assert_eq!(host.last_fault(), None);
                ours(batches)
            }
        }),
        side(bare),
    )
}

fn side(workers: Vec<Worker>) -> Side {
    Box::new(move |batches| {
        let [one, two] = [1, 2].map(|count| {
            let start = Instant::now();
            workers.iter().take(count).for_each(|worker| worker.begin(batches));
            workers.iter().take(count).for_each(Worker::wait);
            start.elapsed()
        });
        let share = two.as_secs_f64() / (2.0 * one.as_secs_f64());
        let time = Duration::from_secs_f64(share * 1e-3 * f64::from(DEPTH));
        Run { times: vec![time], round_trip: None }
    })
}

/// A thread that does batches when it is told to.
struct Worker {
    orders: Sender<u32>,
    done: Receiver<()>,
}

impl Worker {
    fn start(mut work: impl FnMut(u32) + Send + 'static) -> Worker {
        let ((orders, ordered), (finished, done)) = (channel(), channel());
        thread::spawn(move || {
            for batches in ordered {
                work(batches);
                if finished.send(()).is_err() {
                    return;
                }
            }
        });
        Worker { orders, done }
    }

    fn begin(&self, batches: u32) {
        self.orders.send(batches).expect("the thread");
    }

    fn wait(&self) {
        self.done.recv().expect("the thread has not panicked");
    }
}
