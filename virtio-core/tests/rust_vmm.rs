//! Queues that virtio-queue and ours hand to each other.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::host::{QueueConfig, QueueState, SplitQueueError, SplitQueueState};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, QueuePosition, Virtqueue};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

fn theirs() -> impl Strategy<Value = virtio_queue::QueueState> {
    let size = || prop_oneof![4 => (0u32..16).prop_map(|bits| 1u16 << bits), 1 => any::<u16>()];
    let position =
        prop_oneof![any::<(u16, u16)>(), (any::<u16>(), 0u16..300).prop_map(|(a, b)| (a.wrapping_add(b), a))];
    (size(), size(), position, any::<[bool; 2]>(), any::<[u64; 3]>()).prop_map(
        |(max_size, size, position, flags, areas)| virtio_queue::QueueState {
            max_size,
            next_avail: position.0,
            next_used: position.1,
            event_idx_enabled: flags[0],
            size,
            ready: flags[1],
            desc_table: areas[0],
            avail_ring: areas[1],
            used_ring: areas[2],
        },
    )
}

fn ours() -> impl Strategy<Value = SplitQueueState> {
    let split = |(available, used, decided)| QueuePosition::Split { available, used, decided };
    let packed = QueuePosition::packed_from_base;
    let position = prop_oneof![8 => any::<(u16, u16, bool)>().prop_map(split), 1 => any::<u32>().prop_map(packed)];
    (theirs(), prop::option::of(position)).prop_map(|(theirs, position)| SplitQueueState {
        queue: QueueState {
            config: QueueConfig {
                size: theirs.size,
                descriptor_area: theirs.desc_table,
                driver_area: theirs.avail_ring,
                device_area: theirs.used_ring,
            },
            enabled: theirs.ready,
            awaits_enable: !theirs.ready && theirs.event_idx_enabled,
            position,
        },
        max_size: theirs.max_size,
        event_idx: theirs.event_idx_enabled,
    })
}

/// As virtio-queue has a queue that is not enabled, after a reset.
fn begins_anew(mut state: virtio_queue::QueueState) -> virtio_queue::QueueState {
    if !state.ready {
        (state.next_avail, state.next_used) = (0, 0);
    }
    state
}

/// What is lost: whether an interrupt was decided on, that a queue was reset by itself, and a position that nobody goes
/// on from.
fn without_what_is_lost(mut state: SplitQueueState) -> SplitQueueState {
    state.queue.awaits_enable = false;
    state.queue.position = match state.queue.position {
        _ if !state.queue.enabled => None,
        Some(QueuePosition::Split { available, used, .. }) => {
            Some(QueuePosition::Split { available, used, decided: false })
        }
        _ => Some(QueuePosition::Split { available: 0, used: 0, decided: false }),
    };
    state
}

proptest! {
    #[test]
    fn theirs_comes_back(state in theirs()) {
        let sizes = state.max_size.is_power_of_two() && state.size.is_power_of_two() && state.size <= state.max_size;
        let position = !state.ready || state.next_avail.wrapping_sub(state.next_used) <= state.size;
        match SplitQueueState::try_from(state) {
            Ok(ours) => {
                prop_assert!(sizes && position);
                prop_assert_eq!(virtio_queue::QueueState::try_from(ours), Ok(begins_anew(state)));
            }
            Err(SplitQueueError::Position { .. }) => prop_assert!(sizes && !position),
            Err(_) => prop_assert!(!sizes),
        }
    }

    #[test]
    fn ours_comes_back(state in ours()) {
        if let Ok(theirs) = virtio_queue::QueueState::try_from(state) {
            prop_assert_eq!(SplitQueueState::try_from(theirs), Ok(without_what_is_lost(state)));
        }
    }
}

fn good() -> virtio_queue::QueueState {
    let mut state = Queue::new(256).unwrap().state();
    (state.size, state.ready) = (16, true);
    (state.next_avail, state.next_used) = (7, 7);
    state
}

#[test]
fn what_is_wrong_is_said() {
    let mut state = good();
    state.max_size = 48;
    assert_eq!(SplitQueueState::try_from(state), Err(SplitQueueError::MaxSize { max_size: 48 }));
    for size in [0, 12, 512] {
        let mut state = good();
        state.size = size;
        assert_eq!(SplitQueueState::try_from(state), Err(SplitQueueError::Size { size, max_size: 256 }));
    }
    for (available, used) in [(17, 0), (0, 1)] {
        let mut state = good();
        (state.next_avail, state.next_used) = (available, used);
        let expected = SplitQueueError::Position { available, used, size: 16 };
        assert_eq!(SplitQueueState::try_from(state), Err(expected));
    }
    let mut state = SplitQueueState::try_from(good()).unwrap();
    let position = QueuePosition::packed_from_base(0x8000_8000);
    state.queue.position = Some(position);
    assert_eq!(virtio_queue::QueueState::try_from(state), Err(SplitQueueError::Packed { position }));
}

/// Who serves the ring.
enum Server {
    Ours(Box<Virtqueue>),
    Theirs(Queue),
}

struct World {
    mmap: GuestMemoryMmap,
    memory: TestMemory,
    driver: SplitDriver,
    event_idx: bool,
    server: Server,
    interrupts: Arc<AtomicU64>,
    /// Interrupts that virtio-queue wanted, and those that the driver has had.
    theirs: u64,
    heard: u64,
}

impl World {
    fn new(event_idx: bool, start: u16) -> World {
        let mmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 16)]).unwrap();
        let memory = TestMemory::over(&mmap);
        let features = Features::VERSION_1 | if event_idx { Features::EVENT_IDX } else { Features::NONE };
        let mut driver = SplitDriver::new(&memory, 16, features);
        driver.start_at(start);
        driver.set_used_event(start);
        let (descriptors, available, used) = driver.areas();
        let state = virtio_queue::QueueState {
            max_size: 256,
            next_avail: start,
            next_used: start,
            event_idx_enabled: event_idx,
            size: 16,
            ready: true,
            desc_table: descriptors,
            avail_ring: available,
            used_ring: used,
        };
        let server = Server::Theirs(Queue::try_from(state).unwrap());
        World { mmap, memory, driver, event_idx, server, interrupts: Arc::default(), theirs: 0, heard: 0 }
    }

    /// Hands the queue over to the other one.
    fn hand_over(&mut self) {
        self.server = match &self.server {
            Server::Theirs(queue) => {
                let SplitQueueState { queue, max_size, event_idx } = queue.state().try_into().unwrap();
                assert_eq!((max_size, event_idx), (256, self.event_idx));
                let mut setup = self.driver.setup();
                let QueueState { config: QueueConfig { size, descriptor_area, driver_area, device_area }, .. } = queue;
                (setup.size, setup.position) = (size, queue.position);
                assert_eq!(self.driver.areas(), (descriptor_area, driver_area, device_area));
                let count = self.interrupts.clone();
                setup.interrupt = Arc::new(move || {
                    count.fetch_add(1, SeqCst);
                });
                Server::Ours(Box::new(Virtqueue::new(setup).unwrap()))
            }
            Server::Ours(queue) => {
                let (descriptor_area, driver_area, device_area) = self.driver.areas();
                let position = Some(queue.position());
                let config = QueueConfig { size: 16, descriptor_area, driver_area, device_area };
                let queue = QueueState { config, enabled: true, awaits_enable: false, position };
                let state = SplitQueueState { queue, max_size: 256, event_idx: self.event_idx };
                Server::Theirs(Queue::try_from(virtio_queue::QueueState::try_from(state).unwrap()).unwrap())
            }
        };
    }

    /// Serves up to `count` chains, in one batch: each is told the first byte that it brings.
    fn serve(&mut self, count: usize) {
        match &mut self.server {
            Server::Ours(queue) => {
                for _ in 0..count {
                    let Some(chain) = queue.pop() else { break };
                    let [byte] = chain.reader().read_array::<1>().unwrap();
                    chain.complete(byte.into());
                }
                queue.publish();
            }
            Server::Theirs(queue) => {
                let mut any = false;
                for _ in 0..count {
                    let Some(mut chain) = queue.pop_descriptor_chain(&self.mmap) else { break };
                    let byte = self.memory.bytes(chain.next().unwrap().addr().0, 1)[0];
                    queue.add_used(&self.mmap, chain.head_index(), byte.into()).unwrap();
                    any = true;
                }
                self.theirs += u64::from(any && queue.needs_notification(&self.mmap).unwrap());
            }
        }
    }

    /// Says whether there is more, or a doorbell will be rung.
    fn arm(&mut self) -> bool {
        match &mut self.server {
            Server::Ours(queue) => queue.arm(),
            Server::Theirs(queue) => queue.enable_notification(&self.mmap).unwrap(),
        }
    }

    /// The driver takes back what there is, if it was interrupted since the last time.
    fn reap(&mut self, back: &mut Vec<u32>) {
        let interrupts = self.theirs + self.interrupts.load(SeqCst);
        if std::mem::replace(&mut self.heard, interrupts) != interrupts {
            back.extend(std::iter::from_fn(|| self.driver.used()).map(|used| used.len));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u8),
    Serve(usize),
    Reap,
    HandOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..6).prop_map(Step::Offer),
        3 => (0usize..6).prop_map(Step::Serve),
        2 => Just(Step::Reap),
        1 => Just(Step::HandOver),
    ]
}

proptest! {
    /// A driver that looks only when it is interrupted, and a device that looks only when the doorbell was rung or arming
    /// told it to.
    #[test]
    fn no_chain_is_lost_between_the_two(
        event_idx: bool,
        start in prop::sample::select(vec![0u16, 65_530]),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(event_idx, start);
        let (mut offered, mut back) = (Vec::new(), Vec::new());
        let mut awake = true;
        for step in steps {
            match step {
                Step::Offer(count) => {
                    for _ in 0..count {
                        let byte = offered.len() as u8;
                        let buffer = Buffer::readable(world.memory.place(&[byte]), 1);
                        if world.driver.add(&[buffer]).is_some() {
                            offered.push(u32::from(byte));
                        }
                    }
                    awake |= world.driver.publish();
                }
                Step::Serve(count) if awake => {
                    world.serve(count);
                    awake = world.arm();
                }
                Step::Serve(_) => {}
                Step::Reap => world.reap(&mut back),
                Step::HandOver => world.hand_over(),
            }
        }
        while awake {
            world.serve(16);
            awake = world.arm();
        }
        world.reap(&mut back);
        prop_assert_eq!(back, offered);
    }
}
