//! A log of what is in flight: after a device has been killed, whenever that was, it names the chains that the driver
//! waits for.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use virtio_core::ring::{InFlight, Recorder};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, QueuePosition, Ticket, Virtqueue};

both_layouts! {
    a_killed_device_leaves_what_is_in_flight,
}

const SIZE: u16 = 8;

/// What a log makes of the calls.
trait Log: Recorder + Default + 'static {
    /// The chains in flight, in the order in which they were taken, when the driver has seen the used index (split
    /// layout) move to `used`.
    fn outstanding(&self, used: u16) -> Vec<u16>;
}

/// A plain one.
#[derive(Default)]
struct Plain(Mutex<PlainLog>);

#[derive(Default)]
struct PlainLog {
    in_flight: Vec<InFlight>,
    staged: Vec<u16>,
}

impl Recorder for Plain {
    fn popped(&self, chain: InFlight) {
        let log = &mut self.0.lock().unwrap().in_flight;
        assert!(log.iter().all(|other| other.id != chain.id), "{chain:?} is there already");
        log.push(chain);
    }

    fn staged(&self, id: u16, _len: u32) {
        let mut log = self.0.lock().unwrap();
        assert!(log.in_flight.iter().any(|chain| chain.id == id) && !log.staged.contains(&id));
        log.staged.push(id);
    }

    fn published(&self, position: QueuePosition) {
        let mut log = self.0.lock().unwrap();
        let staged = std::mem::take(&mut log.staged);
        assert!(!staged.is_empty());
        log.in_flight.retain(|chain| !staged.contains(&chain.id));
        // What lies between used and available is what is in flight, and nothing else.
        let slots = log.in_flight.iter().map(|chain| chain.slots).sum::<u16>();
        assert_eq!(in_flight_slots(position), slots);
    }
}

impl Log for Plain {
    fn outstanding(&self, _used: u16) -> Vec<u16> {
        self.0.lock().unwrap().in_flight.iter().map(|chain| chain.id).collect()
    }
}

fn in_flight_slots(position: QueuePosition) -> u16 {
    match position {
        QueuePosition::Split { available, used, .. } => available.wrapping_sub(used),
        QueuePosition::Packed { available, available_wrap, used, used_wrap, .. } => {
            (available + if available_wrap == used_wrap { 0 } else { SIZE }) - used
        }
        _ => unreachable!("another layout"),
    }
}

/// The log that vhost-user keeps of a ring in the split layout, in memory that outlives the device.
#[derive(Default)]
struct VhostUser(Mutex<Region>);

#[derive(Default)]
struct Region {
    descriptors: [Descriptor; SIZE as usize],
    last_batch_head: u16,
    used_index: u16,
    /// Counts chains that are taken.
    counter: u64,
    /// The device is killed before it hears that the queue is published.
    deaf: bool,
}

#[derive(Default)]
struct Descriptor {
    in_flight: bool,
    next: u16,
    counter: u64,
}

impl Region {
    /// The last so many that were staged are not in flight any more.
    fn clear(&mut self, batch: u16) {
        let mut head = self.last_batch_head;
        for _ in 0..batch {
            let descriptor = &mut self.descriptors[usize::from(head)];
            descriptor.in_flight = false;
            head = descriptor.next;
        }
    }
}

impl Recorder for VhostUser {
    fn popped(&self, chain: InFlight) {
        let mut log = self.0.lock().unwrap();
        log.counter += 1;
        let counter = log.counter;
        let descriptor = &mut log.descriptors[usize::from(chain.id)];
        (descriptor.counter, descriptor.in_flight) = (counter, true);
    }

    fn staged(&self, id: u16, _len: u32) {
        let mut log = self.0.lock().unwrap();
        log.descriptors[usize::from(id)].next = log.last_batch_head;
        log.last_batch_head = id;
    }

    fn published(&self, position: QueuePosition) {
        let mut log = self.0.lock().unwrap();
        let QueuePosition::Split { used, .. } = position else { unreachable!("another layout") };
        if !log.deaf {
            let batch = used.wrapping_sub(log.used_index);
            log.clear(batch);
            log.used_index = used;
        }
    }
}

impl Log for VhostUser {
    fn outstanding(&self, used: u16) -> Vec<u16> {
        let mut log = self.0.lock().unwrap();
        let batch = used.wrapping_sub(log.used_index);
        log.clear(batch);
        let in_flight = (0..SIZE).filter(|head| log.descriptors[usize::from(*head)].in_flight);
        let mut outstanding: Vec<_> = in_flight.collect();
        outstanding.sort_by_key(|head| log.descriptors[usize::from(*head)].counter);
        outstanding
    }
}

/// A driver, a device with a log, and what the log should say.
struct Run<D, L> {
    driver: D,
    queue: Virtqueue,
    log: Arc<L>,
    tickets: Vec<Ticket>,
    /// The chains that were taken and have not come back, in their order.
    taken: Vec<u16>,
    /// The chains that were made available, the next one last.
    offered: Vec<u16>,
}

#[derive(Clone, Debug)]
enum Step {
    Offer(usize),
    Reap,
    Complete(u32),
    Drop,
    PutBack,
    Keep,
    CompleteLate(usize, u32),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..4).prop_map(Step::Offer),
        2 => Just(Step::Reap),
        2 => (0u32..25).prop_map(Step::Complete),
        1 => Just(Step::Drop),
        1 => Just(Step::PutBack),
        3 => Just(Step::Keep),
        3 => (any::<usize>(), 0u32..25).prop_map(|(which, len)| Step::CompleteLate(which, len)),
        2 => Just(Step::Publish),
    ]
}

impl<D: RingDriver, L: Log> Run<D, L> {
    fn new(features: Features) -> Run<D, L> {
        let driver = D::new(&TestMemory::new(1 << 16), SIZE, features);
        let log = Arc::new(L::default());
        let mut setup = driver.setup();
        setup.recorder = Some(log.clone());
        let queue = Virtqueue::new(setup).unwrap();
        Run { driver, queue, log, tickets: Vec::new(), taken: Vec::new(), offered: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer(buffers) => {
                let id = self.driver.add(&vec![Buffer::writable(0x8000, 8); *buffers]);
                self.driver.publish();
                self.offered.splice(0..0, id);
            }
            Step::Reap => self.reap(),
            Step::Publish => self.queue.publish(),
            Step::CompleteLate(which, len) => {
                if !self.tickets.is_empty() {
                    let ticket = self.tickets.remove(which % self.tickets.len());
                    self.queue.complete(ticket, *len).unwrap();
                }
            }
            Step::Complete(_) | Step::Drop | Step::PutBack | Step::Keep => self.take(step),
        }
    }

    fn take(&mut self, step: &Step) {
        let Some(chain) = self.queue.pop() else { return };
        match step {
            Step::PutBack => return chain.put_back(),
            Step::Complete(len) => chain.complete(*len),
            Step::Drop => drop(chain),
            _ => self.tickets.push(chain.into_ticket()),
        }
        self.taken.push(self.offered.pop().expect("a chain that was offered"));
    }

    fn reap(&mut self) {
        while let Some(used) = self.driver.used() {
            let at = self.taken.iter().position(|id| u32::from(*id) == used.id).expect("a chain that was taken");
            self.taken.remove(at);
        }
    }
}

fn features() -> impl Strategy<Value = Features> {
    any::<bool>().prop_map(|in_order| if in_order { Features::IN_ORDER } else { Features::NONE })
}

fn a_killed_device_leaves_what_is_in_flight<D: RingDriver>() {
    let history = (features(), prop::collection::vec(step(), 1..150));
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(500) };
    proptest!(config, |((features, steps) in history)| {
        let mut run = Run::<D, Plain>::new(features);
        steps.iter().for_each(|step| run.step(step));
        // Killed: nothing of the device runs any more. The driver takes back what it can see.
        run.reap();
        prop_assert_eq!(run.log.outstanding(0), run.taken);
    });
}

/// Killed anywhere, also behind the used index and before the log knows of it.
#[test]
fn the_log_of_vhost_user_for_split_rings() {
    let history = (features(), any::<bool>(), prop::collection::vec(step(), 1..150));
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(500) };
    proptest!(config, |((features, deaf, steps) in history)| {
        let mut run = Run::<SplitDriver, VhostUser>::new(features);
        steps.iter().for_each(|step| run.step(step));
        run.log.0.lock().unwrap().deaf = deaf;
        if deaf {
            run.queue.publish();
        }
        run.reap();
        prop_assert_eq!(run.log.outstanding(run.driver.used_index()), run.taken);
    });
}
