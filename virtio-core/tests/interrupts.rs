//! How many interrupts a driver gets for 1000 chains: exact counts, for each way to ask for them.

#![allow(clippy::unwrap_used)] // tests may panic

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory, Wish};
use virtio_core::{Features, Virtqueue};

/// Chains that the driver keeps in flight.
const DEPTH: usize = 64;

/// What the driver asks for whenever it has taken everything that came back.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// The next one.
    Every,
    /// The one after the next.
    OneAhead,
    /// When three quarters of what is in flight have come back, as Linux does where it is in no hurry.
    ThreeQuarters,
    Disabled,
}

impl Policy {
    fn wish(self, in_flight: usize) -> Wish {
        match self {
            Policy::Every => Wish::Always,
            Policy::OneAhead => Wish::After(1),
            Policy::ThreeQuarters => Wish::After((in_flight * 3 / 4) as u16),
            Policy::Disabled => Wish::Never,
        }
    }
}

struct Machine<D> {
    driver: D,
    queue: Virtqueue,
    interrupts: Arc<AtomicU64>,
    buffer: Buffer,
}

impl<D: RingDriver> Machine<D> {
    fn new(features: Features) -> Machine<D> {
        let memory = TestMemory::new(1 << 20);
        let driver = D::new(&memory, 128, features);
        let interrupts = Arc::new(AtomicU64::new(0));
        let (count, mut setup) = (interrupts.clone(), driver.setup());
        setup.interrupt = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let queue = Virtqueue::new(setup).unwrap();
        Machine { driver, queue, interrupts, buffer: Buffer::writable(memory.alloc(8, 8), 8) }
    }

    /// The device answers up to `batch` chains, and shows them at once; how many there were.
    fn serve(&mut self, batch: usize) -> usize {
        let mut served = 0;
        while served < batch
            && let Some(chain) = self.queue.pop()
        {
            chain.complete(8);
            served += 1;
        }
        self.queue.publish();
        served
    }

    /// Interrupts until 1000 chains have been served. The driver does nothing before it is interrupted, or the device
    /// has nothing left.
    fn run(&mut self, policy: Policy, batch: usize) -> u64 {
        let (mut in_flight, mut served, mut seen) = (0, 0, 0);
        self.driver.want(policy.wish(DEPTH));
        while served < 1000 {
            while in_flight < DEPTH {
                assert!(self.driver.add(&[self.buffer]).is_some());
                in_flight += 1;
            }
            self.driver.show();
            let before = served;
            loop {
                let now = self.serve(batch);
                served += now;
                if now == 0 || self.interrupts.load(SeqCst) != seen || served >= 1000 {
                    break;
                }
            }
            assert_ne!(served, before, "the device has stopped");
            seen = self.interrupts.load(SeqCst);
            while self.driver.used().is_some() {
                in_flight -= 1;
            }
            self.driver.want(policy.wish(DEPTH));
        }
        seen
    }
}

fn counts<D: RingDriver>(features: Features, expected: &[(Policy, [u64; 3])]) {
    for in_order in [Features::NONE, Features::IN_ORDER] {
        for (policy, expected) in expected {
            let counts = [1, 8, 40].map(|batch| Machine::<D>::new(features | in_order).run(*policy, batch));
            assert_eq!(counts, *expected, "{policy:?} with {in_order:?}");
        }
    }
}

/// The first batch interrupts; after that, from the 49th chain on, when its batch is shown. With batches of 40 that is
/// with the rest of the 64 chains.
const THREE_QUARTERS: [u64; 3] = [1 + 999 / 49, 1 + 992 / 56, 1 + 960 / 64];

const EVENT_IDX: [(Policy, [u64; 3]); 3] = [
    (Policy::Every, [1000, 125, 25]),
    // The first batch interrupts, then every second chain.
    (Policy::OneAhead, [1 + 999 / 2, 125, 25]),
    (Policy::ThreeQuarters, THREE_QUARTERS),
];

#[test]
fn split_with_event_idx() {
    counts::<SplitDriver>(Features::EVENT_IDX, &EVENT_IDX);
    // There is no way to say never: the first batch interrupts.
    counts::<SplitDriver>(Features::EVENT_IDX, &[(Policy::Disabled, [1, 1, 1])]);
}

#[test]
fn packed_with_event_idx() {
    counts::<PackedDriver>(Features::EVENT_IDX, &EVENT_IDX);
    counts::<PackedDriver>(Features::EVENT_IDX, &[(Policy::Disabled, [0, 0, 0])]);
}

/// Flags know only all or nothing. With batches of 40, the 64 chains in flight make batches of 40 as well: the driver
/// fills up after each.
const FLAGS: [(Policy, [u64; 3]); 4] = [
    (Policy::Every, [1000, 125, 25]),
    (Policy::OneAhead, [1000, 125, 25]),
    (Policy::ThreeQuarters, [1000, 125, 25]),
    (Policy::Disabled, [0, 0, 0]),
];

#[test]
fn split_without_event_idx() {
    counts::<SplitDriver>(Features::NONE, &FLAGS);
}

#[test]
fn packed_without_event_idx() {
    counts::<PackedDriver>(Features::NONE, &FLAGS);
}
