//! Models: all that can happen between a side that publishes two messages and one that goes to sleep.
//!
//! Loom runs every interleaving, and every value that a read may return. In none of them may the sleeper miss a message
//! of which it is not notified, or see a message before what the message speaks of. And each model fails when a fence
//! or an ordering is taken out of it: otherwise it would show nothing.

mod packed;
mod split;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use loom::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, fence};
use loom::thread;

use super::Words;

/// What is taken out of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The device's full fence: the one in the functions that the rings call.
    DeviceFence,
    /// The driver's.
    DriverFence,
    /// The device's stores order nothing.
    Release,
    /// The device's loads order nothing.
    Acquire,
}

/// A model, by how notifications are suppressed and what is wrong with it.
#[derive(Clone, Copy, Debug)]
struct Case {
    event_idx: bool,
    flaw: Flaw,
}

impl Case {
    fn driver_fence(self) {
        if self.flaw != Flaw::DriverFence {
            fence(SeqCst);
        }
    }
}

/// A part of a ring, of so many words of each width, as the device sees it. The driver uses the words themselves.
struct Area {
    flaw: Flaw,
    u16s: Vec<(usize, AtomicU16)>,
    u32s: Vec<(usize, AtomicU32)>,
    u64s: Vec<(usize, AtomicU64)>,
}

impl Area {
    fn new(case: Case) -> Area {
        Area { flaw: case.flaw, u16s: Vec::new(), u32s: Vec::new(), u64s: Vec::new() }
    }

    fn with_u16(mut self, offset: usize, value: u16) -> Area {
        self.u16s.push((offset, AtomicU16::new(value)));
        self
    }

    fn with_u32(mut self, offset: usize, value: u32) -> Area {
        self.u32s.push((offset, AtomicU32::new(value)));
        self
    }

    fn with_u64(mut self, offset: usize, value: u64) -> Area {
        self.u64s.push((offset, AtomicU64::new(value)));
        self
    }

    fn u16(&self, offset: usize) -> &AtomicU16 {
        at(&self.u16s, offset)
    }

    fn u32(&self, offset: usize) -> &AtomicU32 {
        at(&self.u32s, offset)
    }

    fn u64(&self, offset: usize) -> &AtomicU64 {
        at(&self.u64s, offset)
    }

    fn order(&self, order: Ordering) -> Ordering {
        match (self.flaw, order) {
            (Flaw::Release, Release) | (Flaw::Acquire, Acquire) => Relaxed,
            _ => order,
        }
    }
}

fn at<T>(words: &[(usize, T)], offset: usize) -> &T {
    &words.iter().find(|(there, _)| *there == offset).expect("a word of this width").1
}

impl Words for Area {
    fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        self.u16(offset).load(self.order(order))
    }

    fn load_u32(&self, offset: usize, order: Ordering) -> u32 {
        self.u32(offset).load(self.order(order))
    }

    fn load_u64(&self, offset: usize, order: Ordering) -> u64 {
        self.u64(offset).load(self.order(order))
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        self.u16(offset).store(value, self.order(order));
    }

    fn store_u32(&self, offset: usize, value: u32, order: Ordering) {
        self.u32(offset).store(value, self.order(order));
    }

    fn store_u64(&self, offset: usize, value: u64, order: Ordering) {
        self.u64(offset).store(value, self.order(order));
    }

    fn full_fence(&self) {
        if self.flaw != Flaw::DeviceFence {
            fence(SeqCst);
        }
    }
}

/// Messages that are published, one by one.
const MESSAGES: usize = 2;

/// A ring on which one side publishes messages, from number 0 on, and the other goes to sleep. At first the sleeper
/// wants no notifications, or one that it has had.
trait Talk: Send + Sync + 'static {
    fn new(case: Case) -> Self;
    /// Publishes a message; whether the sleeper is notified of it.
    fn publish(&self, number: usize) -> bool;
    /// How many messages the sleeper sees, that has seen so many before.
    fn look(&self, seen: usize) -> usize;
    /// Wants to be notified of the message behind the first `seen`, and says how many there are now.
    fn arm(&self, seen: usize) -> usize;
}

/// Runs the model once.
fn talk<T: Talk>(case: Case) {
    let ring = Arc::new(T::new(case));
    let payload: Arc<[AtomicU16; MESSAGES]> = Arc::new(std::array::from_fn(|_| AtomicU16::new(0)));
    let publisher = {
        let (ring, payload) = (ring.clone(), payload.clone());
        thread::spawn(move || {
            [0, 1].map(|number| {
                payload[number].store(7, Relaxed);
                ring.publish(number)
            })
        })
    };
    let read = |messages: usize| {
        for word in &payload[..messages] {
            assert_eq!(word.load(Relaxed), 7, "a message is seen, and not what it speaks of");
        }
    };
    let seen = ring.look(0);
    read(seen);
    let now = ring.arm(seen);
    read(now);
    let notified: [bool; MESSAGES] = publisher.join().expect("the publisher");
    // Otherwise it does not go to sleep.
    if now == seen && seen != MESSAGES {
        assert!(notified[seen..].contains(&true), "asleep after {seen} messages, and never woken");
    }
}

/// What the model comes to: fails with the words of the assertion.
fn run(model: impl Fn() + Sync + Send + 'static) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| loom::model(model)));
    result.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or_default().to_string(),
    })
}

/// Nothing is lost; without one of the two fences something is, and without `order` something is seen too early.
fn prove<T: Talk>(event_idx: bool, order: Flaw) {
    let model = |flaw| run(move || talk::<T>(Case { event_idx, flaw }));
    assert_eq!(model(Flaw::None), Ok(()));
    for fence in [Flaw::DeviceFence, Flaw::DriverFence] {
        let failure = model(fence).expect_err("a lost wake-up");
        assert!(failure.contains("never woken"), "{fence:?}: {failure}");
    }
    let failure = model(order).expect_err("a payload that is not there yet");
    assert!(failure.contains("not what it speaks of"), "{order:?}: {failure}");
}
